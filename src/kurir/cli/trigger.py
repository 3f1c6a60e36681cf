"""``kurir trigger``: let a person of the sandbox do something on their phone, as the page of the phones does."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer

from kurir.cli import options, running
from kurir.sandbox.config import CHANNELS

#: Seconds for a request to the sandbox, which answers at once.
ANSWER_SECONDS: Final = 10.0

#: What can be triggered: the act of the sandbox, None for a switch of the phone, and what it is in words.
TRIGGERS: Final[Mapping[str, tuple[str | None, str]]] = {
    "inbound.text": ("text", "a person writes --text"),
    "inbound.image": ("image", "a person sends a picture, with --text as its caption"),
    "inbound.video": ("video", "a person sends a video"),
    "inbound.audio": ("audio", "a person sends an audio file"),
    "inbound.voice": ("voice", "a person sends a voice note"),
    "inbound.document": ("document", "a person sends a file"),
    "inbound.sticker": ("sticker", "a person sends a sticker"),
    "inbound.location": ("location", "a person sends a place"),
    "inbound.contact": ("contact", "a person shares the own phone number"),
    "inbound.reaction": ("react", "a person puts the emoji --text on the newest message"),
    "inbound.edited": ("edit", "a person changes the own newest text to --text"),
    "inbound.deleted": ("delete", "a person takes the own newest message back"),
    "postback": ("press", "a person taps the newest button, row or quick reply, or the one that --text names"),
    "contact.opened": ("open", "a person follows a deep link with the payload --text"),
    "contact.followed": ("follow", "a person follows the account or presses Start"),
    "contact.blocked": ("block", "a person blocks the account"),
    "contact.unblocked": ("unblock", "a person lets the account in again"),
    "message.delivered": (None, "the phone goes online, so that what waits for it is delivered"),
    "message.read": (None, "the phone goes online and the chat is opened, so that what waits is read"),
    "phone.offline": (None, "the phone goes offline: receipts wait, and so does what the person does"),
    "phone.closed": (None, "the chat is closed: messages are delivered and stay unread"),
    "clock.day": (None, "a day passes: Meta's windows close, reply tokens end"),
}
_SWITCHES: Final[Mapping[str, Mapping[str, bool]]] = {
    "message.delivered": {"online": True},
    "message.read": {"online": True, "chat_open": True},
    "phone.offline": {"online": False},
    "phone.closed": {"chat_open": False},
}
_DAY: Final = 24 * 3600


def trigger(
    what: Annotated[str, typer.Argument(metavar="EVENT", help="What happens; --list names them.")] = "",
    channel: Annotated[str, typer.Option(help="whatsapp, telegram, line or messenger.")] = "whatsapp",
    person: Annotated[str, typer.Option(help="The person's name or address; else the first one.")] = "",
    text: Annotated[str, typer.Option(help="The text, caption, emoji, payload, or the title to tap.")] = "",
    message: Annotated[str, typer.Option(help="The platform's id of the message that is meant.")] = "",
    reply_to: Annotated[str, typer.Option(help="The platform's id of the message that is answered.")] = "",
    file: Annotated[Path | None, typer.Option(help="The file that is sent, instead of the demo's.")] = None,
    names: Annotated[bool, typer.Option("--list", help="Print what can be triggered.")] = False,
    as_json: options.AsJson = False,
    url: options.SandboxUrl = "",
    data: options.Data = options.DATA,
) -> None:
    """Let a person of the sandbox do something on their phone; the gateway hears of it as from the platform."""
    if names:
        _print_list(as_json=as_json)
        return
    if what not in TRIGGERS:
        raise typer.BadParameter("name an event; --list prints them" if not what else f"there is no {what}; see --list")
    if channel not in CHANNELS:
        raise typer.BadParameter(f"there are {', '.join(CHANNELS)}", param_hint="--channel")
    if what == "inbound.text" and not text.strip():
        text = "Hi from kurir trigger"
    act = TRIGGERS[what][0]
    content = _content(file) if file else b""
    body = _body(act, text, message, reply_to) if act else {}
    place = running.sandbox_place(url, data)
    answer = asyncio.run(_do(place, what, channel, person, body, (file.name, content) if file else None))
    if as_json:
        running.print_json(answer)
    else:
        _print(what, answer)


def _print_list(*, as_json: bool) -> None:
    if as_json:
        running.print_json({"data": {name: words for name, (_, words) in TRIGGERS.items()}})
        return
    for name, (_, words) in TRIGGERS.items():
        print(f"{name:<18} {words}")


def _body(act: str, text: str, message: str, reply_to: str) -> dict[str, Any]:
    names = {"react": "emoji", "press": "choice"}
    body: dict[str, Any] = {"do": act}
    if act == "react" and not text:
        text = "👍"
    if text:
        body[names.get(act, "text")] = text
    if message:
        body["message"] = message
    if reply_to:
        body["reply_to"] = reply_to
    return body


async def _do(
    url: str, what: str, channel: str, person: str, body: dict[str, Any], file: tuple[str, bytes] | None
) -> dict[str, Any]:
    """Return the sandbox's answer; ends with a sentence when it refuses or is not there."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            if what == "clock.day":
                return await _call(session, "POST", f"{url}/sandbox/clock", {"move": _DAY})
            phones = await _call(session, "GET", f"{url}/sandbox/phones?people=20", None)
            phone = _phone(phones["data"], channel, person)
            address = phone["address"] if phone else person
            path = f"{url}/sandbox/phones/{channel}/{address}"
            if what in _SWITCHES:
                return await _call(session, "POST", path, dict(_SWITCHES[what]))
            if file is not None:
                body["file"] = await _upload(session, url, file)
            return await _call(session, "POST", f"{path}/acts", body)
    except (aiohttp.ClientError, TimeoutError) as error:
        running.sandbox_not_reached(url, error)


def _phone(phones: list[dict[str, Any]], channel: str, person: str) -> dict[str, Any] | None:
    for phone in phones:
        if phone["channel"] == channel and person.lower() in ("", phone["person"].lower(), phone["address"].lower()):
            return phone
    return None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        running.fail(f"{file} cannot be read: {error.strerror}")


async def _upload(session: aiohttp.ClientSession, url: str, file: tuple[str, bytes]) -> str:
    async with session.post(f"{url}/sandbox/files", params={"name": file[0]}, data=file[1]) as response:
        return str((await _read(response))["data"]["file"])


async def _call(session: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any] | None) -> dict[str, Any]:
    async with session.request(method, url, json=body) as response:
        return await _read(response)


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        answer = json.loads(await response.read())
    except ValueError:
        answer = None
    if response.headers.get("X-Kurir-Sandbox") is None or not isinstance(answer, dict):
        running.fail(f"what answers at {response.url.origin()} is no sandbox of kurir; name one with --url")
    if response.status != HTTPStatus.OK:
        running.fail(running.plain(answer.get("detail", f"the sandbox answered {response.status}")))
    return answer


def _print(what: str, answer: Mapping[str, Any]) -> None:
    data = answer.get("data") or {}
    if what == "clock.day":
        days = data["ahead"] / _DAY
        print(f"the platforms are {days:g} {'day' if days == 1 else 'days'} ahead; POST /sandbox/reset sets them back")
    elif "bubbles" in data:
        state = "online" if data["online"] else "offline"
        chat = "open" if data["chat_open"] else "closed"
        print(f"{running.plain(data['person'])}'s {data['channel']} phone is {state}, its chat {chat}")
    else:
        told = "" if what.startswith("contact.") and what != "contact.opened" else str(data.get("id", ""))
        print(f"{what} {running.plain(told)}".rstrip())
