"""The same by hand with httpx, the client that FastAPI's own documentation uses. Nothing is durable.

python bench/rivals/fastapi_httpx.py PORT PLATFORM_URL
"""

import sys
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from models import TOKEN, Message, let_in, serve

PLATFORM = sys.argv[2]
#: As many kept as may be open: with the defaults httpx would open 44 of 64 connections anew for each call.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with httpx.AsyncClient(base_url=PLATFORM, timeout=30, limits=LIMITS) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/telegram/send/bench", dependencies=[Depends(let_in)])
async def send(message: Message, request: Request):
    try:
        answer = await request.app.state.client.post(f"/bot{TOKEN}/sendMessage", json=message.call())
    except httpx.HTTPError as error:
        raise HTTPException(502, "the platform did not answer") from error
    said = answer.json()
    if not said.get("ok"):
        raise HTTPException(502, said.get("description", "refused"))
    return {"data": {"tid": str(uuid4()), "id": message.id, "platform_id": said["result"]["message_id"]}}


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
