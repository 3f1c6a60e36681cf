"""What the two services by hand share: the model of a message, the check of the credentials, how they are served."""

import hmac
from typing import Annotated, Literal

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

from kurir.bench.processes import PASSWORD

TOKEN = f"1:{'a' * 35}"


class Text(BaseModel):
    text: str = Field(min_length=1, max_length=4096)


class Message(BaseModel):
    id: str = Field(min_length=1, max_length=1024)
    timestamp: str
    recipient: str = Field(pattern=r"^tg:\d+$")
    type: Literal["text"]
    body: Text

    def call(self) -> dict[str, object]:
        return {"chat_id": int(self.recipient.removeprefix("tg:")), "text": self.body.text}


def let_in(auth_username: Annotated[str, Header()], auth_password: Annotated[str, Header()]) -> None:
    if auth_username != "bench" or not hmac.compare_digest(auth_password.encode(), PASSWORD.encode()):
        raise HTTPException(401, "wrong credentials")


def serve(app: FastAPI, port: int) -> None:
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop", http="httptools")
