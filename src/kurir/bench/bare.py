"""What the gateway is measured against: two bare ASGI applications under the same server, on the same core.

    python -m kurir.bench.bare echo PORT
    python -m kurir.bench.bare relay PORT PLATFORM_URL

The echo reads a request and sends its body back: what the HTTP server alone can do. The relay decodes the body, posts the text
on to the platform and hands the platform's answer back: no validation, no credentials, nothing durable, nothing kept.
"""

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import aiohttp
import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Takes a call's body to the platform, and returns what it answered.
Post = Callable[[bytes], Awaitable[bytes]]
PATH: Final = f"/bot1:{'a' * 35}/sendMessage"


async def body_of(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    message = await receive()
    content: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        content += message.get("body", b"")
    return content


async def answer(send: Send, content: bytes) -> None:
    """Answer 200 with *content*."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body back."""
    if scope["type"] == "http":
        await answer(send, await body_of(receive))


def relay(open_client: Callable[[], Awaitable[tuple[Post, Callable[[], Awaitable[object]]]]]) -> App:
    """Return an application that posts each text on; *open_client* gives how, and how to close."""
    post: Post

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal post
        if scope["type"] == "lifespan":
            await receive()
            post, close = await open_client()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await close()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            message = json.loads(await body_of(receive))
            call = {"chat_id": int(message["recipient"].removeprefix("tg:")), "text": message["body"]["text"]}
            await answer(send, await post(json.dumps(call).encode()))

    return app


def serve(app: App, port: int, *, lifespan: bool = True) -> None:
    """Serve *app* as the gateway is served, until SIGTERM."""
    on = "on" if lifespan else "off"
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, lifespan=on, http="httptools")  # type: ignore[arg-type] # a str, as uvicorn has it


def aiohttp_client(platform: str) -> Callable[[], Awaitable[tuple[Post, Callable[[], Awaitable[object]]]]]:
    """Return what opens a session of aiohttp for the relay."""

    async def opened() -> tuple[Post, Callable[[], Awaitable[object]]]:
        session = aiohttp.ClientSession()

        async def post(content: bytes) -> bytes:
            async with session.post(
                platform + PATH, data=content, headers={"Content-Type": "application/json"}
            ) as said:
                return await said.read()

        return post, session.close

    return opened


def main() -> None:
    """Run the application that the arguments name."""
    if sys.argv[1] == "echo":
        serve(echo, int(sys.argv[2]), lifespan=False)
    else:
        serve(relay(aiohttp_client(sys.argv[3])), int(sys.argv[2]))


if __name__ == "__main__":
    main()
