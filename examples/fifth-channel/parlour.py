"""The made-up platform: a Parlour server in memory, with a door for each person.

It is written from the README beside it and knows nothing of the channel, so that a wrong mapping shows here.

    python parlour.py --port 8090 --token T --secret S --webhook http://127.0.0.1:8080/webhooks/acme-parlour
"""

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

TEXT, BUTTONS, TITLE, KEY = 2000, 6, 40, 100
KINDS = ("image", "video", "audio", "voice", "document")


@dataclass
class Parlour:
    """The server. ``people`` maps each person to what arrived at their door; ``trouble`` are the next answers."""

    token: str
    secret: str
    webhook: str = ""
    people: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"ani": [], "budi": []})
    blocked: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)
    trouble: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def app(self) -> web.Application:
        """Return the server as an application of aiohttp."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/messages", self.take),
                web.get("/v1/me", self.me),
                web.get("/v1/files/{id}", self.file),
                web.get("/people/{name}", self.door),
                web.post("/people/{name}/say", self.say),
                web.post("/people/{name}/press", self.press),
                web.post("/people/{name}/read", self.read),
                web.post("/people/{name}/block", self.block),
            ]
        )
        return app

    # --- what the bot calls ---------------------------------------------------------------------------------------

    async def me(self, request: web.Request) -> web.Response:
        """Tell the bot who it is."""
        return web.json_response({"name": "bot"}) if self._known(request) else error(401, "bad_token")

    async def take(self, request: web.Request) -> web.Response:
        """Take a message, once for each key."""
        if not self._known(request):
            return error(401, "bad_token")
        if self.trouble:
            status, body, headers = self.trouble.pop(0)
            return web.json_response(body, status=status, headers=headers)
        message = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        if key in self.taken:
            return web.json_response({"id": self.taken[key]})
        name = message.get("to")
        if name not in self.people:
            return error(404, "no_such_person")
        if name in self.blocked:
            return error(403, "blocked")
        if not fits(message):
            return error(422, "bad_message")
        number = f"m{next(self.numbers)}"
        self.people[name].append({"id": number, **message})
        self.taken[key] = number
        return web.json_response({"id": number}, status=201)

    async def file(self, request: web.Request) -> web.Response:
        """Hand out a file that a person sent."""
        found = self.files.get(request.match_info["id"])
        if not self._known(request) or found is None:
            return error(404, "no_such_file")
        return web.Response(body=found, content_type="image/png")

    def _known(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode())

    # --- what people do -------------------------------------------------------------------------------------------

    async def door(self, request: web.Request) -> web.Response:
        """Show what arrived at a person's door."""
        return web.json_response(self.people.get(request.match_info["name"], []))

    async def say(self, request: web.Request) -> web.Response:
        """Let a person write: {"text": "…", "reply_to": "m1"}, or with a file {"kind": "image", "name": "…"}."""
        said = await request.json()
        number = f"m{next(self.numbers)}"
        message = {"id": number, "text": said.get("text", ""), "reply_to": said.get("reply_to", "")}
        if said.get("kind") in KINDS:
            self.files[f"f-{number}"] = b"a picture"
            message["file"] = {
                "id": f"f-{number}",
                "kind": said["kind"],
                "type": "image/png",
                "name": said.get("name", ""),
            }
        return await self.post({"type": "message", "from": _who(request), "message": message})

    async def press(self, request: web.Request) -> web.Response:
        """Let a person press the button with this title, of the last message that has one."""
        title = (await request.json())["title"]
        for message in reversed(self.people[request.match_info["name"]]):
            for button in message.get("buttons", ()):
                if button["title"] == title:
                    event = {"type": "press", "from": _who(request), "message_id": message["id"], "button": button}
                    return await self.post(event)
        return error(404, "no_such_button")

    async def read(self, request: web.Request) -> web.Response:
        """Let a person read all that arrived: two receipts for each message."""
        for message in self.people[request.match_info["name"]]:
            for status in ("delivered", "read"):
                await self.post({"type": "receipt", "message_id": message["id"], "status": status})
        return web.json_response({})

    async def block(self, request: web.Request) -> web.Response:
        """Let a person block the bot."""
        self.blocked.add(request.match_info["name"])
        return await self.post({"type": "blocked", "from": _who(request)})

    async def post(self, event: dict[str, Any]) -> web.Response:
        """Post one event to the webhook, signed, and answer with what it answered."""
        event = {"id": f"e{next(self.numbers)}", "at": int(time.time()), **event}
        body = json.dumps({"events": [event]}).encode()
        signature = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Parlour-Signature": signature}
        async with aiohttp.request("POST", self.webhook, data=body, headers=headers) as answer:
            return web.json_response({"webhook": answer.status})


def fits(message: dict[str, Any]) -> bool:
    """Return whether a message is one that the README describes."""
    text, buttons, file = message.get("text", ""), message.get("buttons", []), message.get("file")
    if not (text or file) or len(text) > TEXT or len(buttons) > BUTTONS:
        return False
    if file is not None and (file.get("kind") not in KINDS or not file.get("url")):
        return False
    return all(0 < len(one["title"]) <= TITLE and 0 < len(one["id"].encode()) <= KEY for one in buttons)


def error(status: int, code: str) -> web.Response:
    """Return an error as the README describes it."""
    return web.json_response({"error": {"code": code, "message": code.replace("_", " ")}}, status=status)


def _who(request: web.Request) -> dict[str, str]:
    name = request.match_info["name"]
    return {"id": name, "name": name.capitalize()}


async def main() -> None:
    """Serve until interrupted."""
    arguments = argparse.ArgumentParser(description="A Parlour server in memory.")
    arguments.add_argument("--port", type=int, default=8090)
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--secret", required=True)
    arguments.add_argument("--webhook", required=True)
    given = arguments.parse_args()
    runner = web.AppRunner(Parlour(given.token, given.secret, given.webhook).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", given.port).start()
    print(f"Parlour listens on http://127.0.0.1:{given.port}; ani and budi are in", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
