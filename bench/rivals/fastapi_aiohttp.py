"""The service that a competent team writes by hand: FastAPI, a pydantic model, one shared session of aiohttp; not durable.

python bench/rivals/fastapi_aiohttp.py PORT PLATFORM_URL
"""

import sys
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp
from fastapi import Depends, FastAPI, HTTPException, Request
from models import TOKEN, Message, let_in, serve

PLATFORM = sys.argv[2]


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with aiohttp.ClientSession(PLATFORM, timeout=aiohttp.ClientTimeout(total=30)) as session:
        app.state.session = session
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/telegram/send/bench", dependencies=[Depends(let_in)])
async def send(message: Message, request: Request):
    try:
        async with request.app.state.session.post(f"/bot{TOKEN}/sendMessage", json=message.call()) as answer:
            said = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise HTTPException(502, "the platform did not answer") from error
    if not said.get("ok"):
        raise HTTPException(502, said.get("description", "refused"))
    return {"data": {"tid": str(uuid4()), "id": message.id, "platform_id": said["result"]["message_id"]}}


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
