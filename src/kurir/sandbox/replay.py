"""A transcript played on fresh phones: what people did and what arrived for them, without a word to the account.

What was sent goes through the emulators again, so that the phones, the receipts and the ledger are the real ones; only the
webhooks stay here. What was refused is shown as it was refused. Ids differ from run to run: what names an earlier message
names the new one. Files that were uploaded are not part of a transcript, a demo file stands for each.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kurir.sandbox.acts import ActError, read_act
from kurir.sandbox.graph import member, members
from kurir.sandbox.media import RESERVED_HOST, is_web_url
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.receipts import QUIET
from kurir.sandbox.sketches import ids_of
from kurir.sandbox.state import SWITCHES, Sandbox
from kurir.sandbox.transcript import FORMAT, MAX_STEPS, Received
from kurir.sandbox.view import Phone, RefusedCall
from kurir.sandbox.wire import JsonObject

#: Bytes of a transcript.
MAX_TRANSCRIPT: Final = 8 * 1024 * 1024
#: Seconds by which one step may move the clock.
MAX_MOVE: Final = 30 * 24 * 3600
#: So much longer than its delay may a message be on its way to a phone.
ARRIVAL_SECONDS: Final = 1.0
#: The members that name an earlier message.
_NAMES: Final = ("message_id", "mid", "message", "reply_to", "quoteToken")
_DEMO: Final = {
    "photo": "demo.jpg",
    "image": "demo.jpg",
    "sticker": "demo.webp",
    "video": "demo.mp4",
    "animation": "demo.mp4",
    "audio": "demo.m4a",
    "voice": "demo.ogg",
    "document": "demo.pdf",
    "file": "demo.pdf",
}


class ReplayError(Exception):
    """A transcript that cannot be played, in a sentence; *status* is that of the answer."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(slots=True)
class Played:
    """What was played: the steps, and of each that could not be a sentence. *ids* are the new ones of earlier messages."""

    steps: int = 0
    refused: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)


async def play(sandbox: Sandbox, transcript: Any, pause: float = 0.0) -> Played:
    """Reset *sandbox* and play *transcript* on its phones, waiting at most *pause* seconds between two steps.

    Raises ReplayError before anything is changed where the transcript or one of its people is unknown.
    """
    steps = steps_of(transcript)
    for step in steps:
        if step.get("person") and _phone(sandbox, step) is None:
            raise ReplayError(f"There is no {step['person']} on {step.get('channel')} in this sandbox.", 409)
    if sandbox.platforms is None:
        raise ReplayError("This sandbox has no platforms beside it.", 409)
    sandbox.reset()
    played, before = Played(), 0.0
    quiet = QUIET.set(True)
    try:
        for step in steps:
            at = step.get("at")
            now = float(at) if isinstance(at, int | float) else before
            await _wait(sandbox, min(max(now - before, 0.0), pause))
            before = now
            await _step(sandbox, step, played)
            played.steps += 1
    finally:
        QUIET.reset(quiet)
    return played


def steps_of(transcript: Any) -> list[JsonObject]:
    """Return the steps of a transcript; raises ReplayError where it is none."""
    steps = transcript.get("steps") if isinstance(transcript, dict) else None
    if not isinstance(transcript, dict) or not isinstance(steps, list) or not all(isinstance(s, dict) for s in steps):
        raise ReplayError("A transcript as GET /sandbox/transcript gives it is expected.")
    if transcript.get("kurir_transcript") != FORMAT:
        raise ReplayError(f"kurir_transcript: This version reads {FORMAT}.")
    if len(steps) > MAX_STEPS:
        raise ReplayError(f"steps: At most {MAX_STEPS} are played.")
    return steps


def _phone(sandbox: Sandbox, step: JsonObject) -> Phone | None:
    return sandbox.phones.of_person(str(step.get("channel", "")), str(step.get("person", "")))


async def _wait(sandbox: Sandbox, seconds: float) -> None:
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await sandbox.stopping.wait()


async def _step(sandbox: Sandbox, step: JsonObject, played: Played) -> None:
    moved = step.get("moved")
    if isinstance(moved, int | float) and 0 <= moved <= MAX_MOVE:
        sandbox.move_clock(float(moved))
        return
    phone = _phone(sandbox, step) if step.get("person") else None
    if phone is None:
        return  # a fault, or a call for nobody: what came of it is in the later steps
    if isinstance(step.get("switched"), dict):
        switches = {name: on for name, on in step["switched"].items() if name in SWITCHES and isinstance(on, bool)}
        sandbox.switch(phone, switches)
    elif isinstance(step.get("did"), dict):
        await _all_there(sandbox, phone)
        try:
            bubble = sandbox.people.act(phone, read_act(renamed(step["did"], played.ids.get)))
        except ActError as error:
            played.refused.append(f"{phone.person}, {phone.channel}: {error.detail}")
            return
        if bubble is not None and step.get("id"):
            played.ids[str(step["id"])] = bubble.id
    elif isinstance(step.get("received"), dict):
        await _receive(sandbox, phone, step["received"], played)


async def _all_there(sandbox: Sandbox, phone: Phone) -> None:
    """Wait until what was sent is on the phone: nobody taps what is on its way."""
    with sandbox.phones.listen() as listener, suppress(TimeoutError):
        async with asyncio.timeout(sandbox.config.delays.sent + ARRIVAL_SECONDS):
            while any(not bubble.mine and bubble.tick == "clock" for bubble in phone.bubbles):
                await listener.changes(ARRIVAL_SECONDS)


async def _receive(sandbox: Sandbox, phone: Phone, received: JsonObject, played: Played) -> None:
    """Let what was sent arrive once more, or show once more that it was refused."""
    call, status = str(received.get("call", "")), received.get("status")
    if not isinstance(status, int) or not 200 <= status < 300:
        moment = rfc3339(sandbox.clock.now())
        said = status if isinstance(status, int) else 0
        sandbox.phones.refuse(
            phone.channel,
            RefusedCall(moment, f"POST {call}", said, "refused then, and not asked again", phone.address),
        )
        return
    body = renamed(_without_files(phone.channel, call, dict(member(received, "body"))), played.ids.get)
    path, body = _addressed(sandbox, phone, call, body)
    answered, answer = await _post(sandbox, path, body)
    new = ids_of(phone.channel, answer)
    if not 200 <= answered < 300:
        played.refused.append(f"{phone.person}, {phone.channel}: {call} was answered {answered}")
    for old, now in zip(members(received, "ids"), new, strict=False):
        played.ids[str(old)] = now
    bubbles = [sandbox.phones.find(phone, number) for number in new]
    shown = tuple(bubble.blocks for bubble in bubbles if bubble is not None)
    again = Received(call, json.dumps(body).encode(), "application/json", {}, answered, new, shown)
    sandbox.transcript.received(phone.channel, phone.person, again)


def renamed(value: Any, new: Callable[[str], str | None]) -> Any:
    """Return *value* with the ids of earlier messages, in the members that name them, as *new* says."""
    if isinstance(value, list):
        return [renamed(item, new) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, item in value.items():
        found = new(str(item)) if name in _NAMES and isinstance(item, str | int) else None
        changed[name] = renamed(item, new) if found is None else type(item)(found)
    return changed


def _without_files(channel: str, call: str, body: JsonObject) -> JsonObject:
    """Return *body* with a demo file for each file that was uploaded, which no transcript holds."""
    body.pop("files", None)
    if channel == "telegram":
        return _telegram_files(call.lower().removeprefix("send"), body)
    if channel == "whatsapp":
        kind = str(body.get("type"))
        media = member(body, kind)
        if kind in _DEMO and media.get("id"):
            body[kind] = {name: item for name, item in media.items() if name != "id"} | {"link": _demo(kind)}
    if channel == "messenger":
        attachment = member(member(body, "message"), "attachment")
        if attachment.get("type") in _DEMO and not member(attachment, "payload").get("url"):
            payload = {"url": _demo(str(attachment["type"]))}
            body["message"] = body["message"] | {"attachment": attachment | {"payload": payload}}
    return body


def _telegram_files(kind: str, body: JsonObject) -> JsonObject:
    if kind in _DEMO and not is_web_url(body.get(kind)):
        body[kind] = _demo(kind)
    if kind == "mediagroup" and isinstance(body.get("media"), list):
        body["media"] = [
            item if is_web_url(item.get("media")) else item | {"media": _demo(str(item.get("type")))}
            for item in body["media"]
            if isinstance(item, dict)
        ]
    return body


def _demo(kind: str) -> str:
    return f"https://{RESERVED_HOST}/{_DEMO.get(kind, 'demo.pdf')}"


def _addressed(sandbox: Sandbox, phone: Phone, call: str, body: JsonObject) -> tuple[str, JsonObject]:
    """Return the path at this sandbox's accounts and the body for this sandbox's person."""
    config = sandbox.config
    if phone.channel == "telegram":
        return f"/telegram/bot{config.telegram.token}/{call}", body | {"chat_id": phone.address}
    if phone.channel == "line":
        tokens = sandbox.quote_tokens
        for message in members(body, "messages"):
            if isinstance(message, dict) and "quoteToken" in message:
                quoted = sandbox.phones.shows(phone, str(message["quoteToken"]))
                token = tokens.issue(phone.address, str(message.pop("quoteToken")))
                message.update({"quoteToken": token} if quoted else {})
        body = {name: item for name, item in body.items() if name not in ("replyToken", "to")}
        return "/line/v2/bot/message/push", body | {"to": phone.address}
    if phone.channel == "messenger":
        return "/graph/v26.0/me/messages", body | {"recipient": {"id": phone.address}}
    body = {name: item for name, item in body.items() if name != "recipient"} | {"to": phone.address}
    return f"/graph/v26.0/{config.whatsapp.phone_number_id}/messages", body


async def _post(sandbox: Sandbox, path: str, body: JsonObject) -> tuple[int, Any]:
    """Call an emulator as its client would, inside this process; return the status and the answer's JSON."""
    tokens = {
        "line": sandbox.config.line.channel_access_token,
        "graph": sandbox.config.messenger.page_access_token
        if path.startswith("/graph/v26.0/me/")
        else sandbox.config.whatsapp.access_token,
    }
    token = tokens.get(path.split("/")[1], "")
    headers = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {token}".encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers if token else headers[:1],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
    raw, status = b"", 0

    async def receive() -> JsonObject:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Any) -> None:
        nonlocal raw, status
        status = message.get("status", status)
        raw += message.get("body", b"")

    if sandbox.platforms is not None:
        await sandbox.platforms(scope, receive, send)
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, None
