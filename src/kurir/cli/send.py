"""``kurir send``: a message of any type from the command line, over the gateway's own HTTP."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import aiohttp
import typer

from kurir.cli import options, running
from kurir.cli.running import Place, Reply
from kurir.clock import uuid7

_ENDINGS: Final = {
    "image": ("jpg", "jpeg", "png", "gif", "webp"),
    "video": ("mp4", "3gp", "mov", "webm"),
    "audio": ("mp3", "m4a", "aac", "amr", "wav"),
    "voice": ("ogg", "opus", "oga"),
}


@options.bundled
def send(
    channel: Annotated[str, typer.Argument(help="whatsapp, telegram, line or messenger.")],
    recipient: Annotated[str, typer.Argument(help="A phone with country code, or tg:…, line:…, fb:…, wa:….")] = "",
    text: Annotated[str, typer.Argument(help="The text, or the caption.")] = "",
    kind: Annotated[
        str, typer.Option("--type", help="The type; else told by the other options and the file's name.")
    ] = "",
    media: Annotated[str, typer.Option(help="The URL of an image, video, audio, voice note or document.")] = "",
    name: Annotated[str, typer.Option(help="The display name of the file.")] = "",
    latitude: Annotated[float | None, typer.Option(help="Degrees, for a location.")] = None,
    longitude: Annotated[float | None, typer.Option(help="Degrees, for a location.")] = None,
    button: Annotated[list[str] | None, typer.Option(help="key=title; repeat for more.")] = None,
    row: Annotated[list[str] | None, typer.Option(help="section/key=title|description; repeat for more.")] = None,
    list_title: Annotated[str, typer.Option(help="The label that opens a list.")] = "",
    header: Annotated[str, typer.Option(help="A header's text, or type:URL (image:https://…).")] = "",
    footer: Annotated[str, typer.Option(help="A footer's text.")] = "",
    reply_id: Annotated[str, typer.Option(help="The message that is answered.")] = "",
    account: Annotated[str, typer.Option(help="The account to send from.")] = "",
    identifier: Annotated[str, typer.Option("--id", help="Your id; else a new one. The same id is sent once.")] = "",
    body: Annotated[Path | None, typer.Option(help="A file with the whole JSON body; - reads standard input.")] = None,
    preview: Annotated[bool, typer.Option(help="Show what would be sent; send nothing.")] = False,
    wait: Annotated[
        float, typer.Option(help="Wait so many seconds for the message to leave, and show its status.")
    ] = 0,
    client_id: Annotated[str, typer.Option(envvar="KURIR_CLIENT_ID", help="Else the user name.")] = "",
    *,
    login: options.AsClient,
) -> None:
    """Send a message. Without KURIR_URL and credentials it goes to the «kurir up» of this folder."""
    place = login.place(client_id)
    if body is not None:
        content = _read(body)
    elif not recipient:
        raise typer.BadParameter("name a recipient, or give the whole message with --body")
    else:
        content = {
            "id": identifier or uuid7(),
            "times": int(datetime.now(UTC).timestamp()),
            "timestamp": datetime.now(UTC).isoformat(),
            "recipient": recipient,
            **_content(text, kind, media, name, _point(latitude, longitude), button or [], row or [], list_title),
            **_around(header, footer),
            **{key: value for key, value in (("reply_id", reply_id), ("account", account)) if value},
        }
    asyncio.run(_post(place, channel, content, preview=preview, wait=wait))


def _read(body: Path) -> Any:
    """Return the JSON in the file, or in standard input for «-»."""
    try:
        return json.loads(typer.get_text_stream("stdin").read() if str(body) == "-" else body.read_text("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{body} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"{body} is not JSON in UTF-8: {error}") from None


def _point(latitude: float | None, longitude: float | None) -> dict[str, float] | None:
    if latitude is None and longitude is None:
        return None
    if latitude is None or longitude is None:
        raise typer.BadParameter("a location needs --latitude and --longitude")
    return {"latitude": latitude, "longitude": longitude}


def _content(
    text: str,
    kind: str,
    media: str,
    name: str,
    point: dict[str, float] | None,
    buttons: list[str],
    rows: list[str],
    list_title: str,
) -> dict[str, Any]:
    content: dict[str, Any] = {"text": text}
    if media:
        content["media"] = {"url": media, "name": name}
    if point is not None:
        content["location"] = point
    if buttons:
        content["button"] = [dict(zip(("key", "title"), _pair(one, "--button"), strict=True)) for one in buttons]
    if rows:
        content["list"] = {"title": list_title, "sections": _sections(rows)}
    told = _type_of(media) if media else "location" if point else "button" if buttons else "list" if rows else "text"
    return {"type": kind or told, "body": content}


def _type_of(url: str) -> str:
    """Return the type that the file's name tells; a file of an unknown kind is a document."""
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    return next((kind for kind, endings in _ENDINGS.items() if ending in endings), "document")


def _pair(text: str, option: str) -> tuple[str, str]:
    key, separator, title = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{option} takes key=title, and got «{text}»")
    return key, title


def _sections(rows: list[str]) -> list[dict[str, Any]]:
    sections: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        section, slash, rest = row.partition("/")
        key, words = _pair(rest if slash else section, "--row")
        title, _, description = words.partition("|")
        sections.setdefault(section if slash else "", []).append(
            {"key": key, "title": title, "description": description}
        )
    return [{"title": title, "description": "", "actions": actions} for title, actions in sections.items()]


def _around(header: str, footer: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if header:
        kind, separator, rest = header.partition(":")
        media = bool(separator) and kind in ("image", "video", "document")
        found["header"] = {"type": kind, "media_url": rest} if media else {"type": "text", "text": header}
    if footer:
        found["footer"] = {"text": footer}
    return found


async def _post(place: Place, channel: str, content: Any, *, preview: bool, wait: float) -> None:
    verb = "preview" if preview else "send"
    timeout = aiohttp.ClientTimeout(total=running.CALL_SECONDS)
    try:
        async with aiohttp.ClientSession(headers=place.headers, timeout=timeout) as session:
            path = f"{place.url}/{quote(channel, safe='')}/{verb}/{quote(place.client_id, safe='')}"
            async with session.post(path, json=content) as response:
                answer = await running.read_answer(response, place.url)
                running.print_json(answer)
                if response.status != 200:
                    raise typer.Exit(1)
            if wait > 0 and not preview:
                await _wait(session, place.url, answer["data"]["tid"], wait)
    except (aiohttp.ClientError, TimeoutError) as error:
        running.not_reached(place.url, error)


async def _wait(session: aiohttp.ClientSession, url: str, tid: str, seconds: float) -> None:
    """Poll the message until it is final or *seconds* are over, and print where it stands."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with session.get(f"{url}/v1/messages/{tid}") as response:
            data = running.data_of(Reply(response.status, await running.read_answer(response, url)))
        if data["final"] or asyncio.get_running_loop().time() >= deadline:
            running.print_json({key: data[key] for key in ("tid", "status", "final", "reason", "error")})
            if data["status"] < 0:
                raise typer.Exit(1)
            return
        await asyncio.sleep(0.1)
