"""What a person's message on Messenger holds: words, files, places, and links that were shared.

One message may hold several attachments, of several types. All files of one type belong together; another type is a
message of its own to the client, whose ``type`` names one kind. Sources: Meta's page "messages" of the Messenger
platform's webhook events (2026-03-27), and its changelog for stickers, which until 2026-08-30 came twice: as ``sticker``
and as an ``image`` with a ``sticker_id``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qs, urlsplit

from kurir.channels.base import InboundLocation, InboundMedia, JsonObject, Kind, Press
from kurir.channels.messenger.content import file_name
from kurir.channels.messenger.errors import identifier
from kurir.channels.messenger.event import number, words

_FILES: Final = {
    "image": Kind.IMAGE,
    "video": Kind.VIDEO,
    "audio": Kind.AUDIO,  # a voice message too: nothing tells them apart
    "file": Kind.DOCUMENT,
    "sticker": Kind.STICKER,
}
#: What a person shared from elsewhere: a title and a link. ``share`` was seen in the wild, the others are on Meta's page.
_LINKS: Final = frozenset({"fallback", "share", "post", "ig_post", "reel", "ig_reel"})
#: What a message may hold beside its content.
_NO_CONTENT: Final = frozenset(
    {"mid", "seq", "text", "attachments", "quick_reply", "reply_to", "referral", "nlp", "tags", "prior_message"}
    | {"app_id", "metadata", "is_echo", "is_deleted"}
)
#: A bound of ours: Meta's own links have some hundred characters.
_LONGEST_URL: Final = 8192
_LONGEST_NAME: Final = 40
#: In how much of the words a shared link is looked for. People's messages are shorter; the bound is against others.
_SEARCHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Content:
    """What one message to the client holds, in the words of ``InboundMessage``."""

    kind: Kind
    text: str = ""
    media: tuple[InboundMedia, ...] = ()
    location: InboundLocation | None = None
    press: Press | None = None


def contents(message: JsonObject) -> list[Content]:
    """Return what *message* holds, at least one. The words stand with the first file or place, else alone.

    A tapped quick reply is a press, and its words are its title: they are not said twice.
    """
    attachments = message.get("attachments")
    given = attachments if isinstance(attachments, list) else [] if attachments is None else [attachments]
    found = _grouped(given)
    tapped = message.get("quick_reply")
    if isinstance(tapped, dict):
        press = Press(words(tapped.get("payload")), words(message.get("text")))
        return [Content(Kind.POSTBACK, press=press), *found]
    text = "\n".join(filter(None, _lines(words(message.get("text")), given)))
    if text and found and found[0].kind is not Kind.UNSUPPORTED:
        return [replace(found[0], text=text), *found[1:]]
    if text.strip():
        return [Content(Kind.TEXT, text), *found]
    return found or [Content(Kind.UNSUPPORTED, _name_of(message))]


def _grouped(attachments: list[object]) -> list[Content]:
    """Return files by their kind, each place, and each type that is not known; links are told as words."""
    files: dict[Kind, list[InboundMedia]] = {}
    places: list[Content] = []
    unknown: dict[str, Content] = {}
    for attachment in attachments:
        name, payload = _read(attachment)
        kind = _FILES.get(name)
        # The thumb, and until 2026-08-30 every sticker: {"type": "image", "payload": {"url": "…", "sticker_id": 3692…}}
        if kind is Kind.IMAGE and payload.get("sticker_id"):
            kind = Kind.STICKER
        media = _media(kind, payload) if kind else None
        place = _place(attachment, payload) if name == "location" else None
        if kind and media:
            files.setdefault(kind, []).append(media)
        elif place:
            places.append(Content(Kind.LOCATION, location=place))
        elif name not in _LINKS or not _url(attachment, payload):
            # Also a share that pages cannot be shown: a fallback without payload.
            unknown[name] = Content(Kind.UNSUPPORTED, name)
    media_of = [
        Content(kind, media=_once(media) if kind is Kind.STICKER else tuple(media)) for kind, media in files.items()
    ]
    return [*media_of, *places, *unknown.values()]


def _read(attachment: object) -> tuple[str, JsonObject]:
    """Return the type of *attachment* and its payload; ``attachment`` and {} where it has none."""
    if not isinstance(attachment, dict):
        return "attachment", {}
    payload = attachment.get("payload")
    kind = identifier(attachment.get("type"))[:_LONGEST_NAME]
    return kind or "attachment", payload if isinstance(payload, dict) else {}


def _media(kind: Kind, payload: JsonObject) -> InboundMedia | None:
    """Return the file; None where nothing tells where it is kept.

    {"type": "image", "payload": {"url": "https://scontent.xx.fbcdn.net/1.jpg"}}
    """
    url = _absolute(payload.get("url"))
    if not url:
        return None
    # The name that the person gave it stands in the path; the paths of the other kinds are numbers.
    name = words(re.split(r"[/\\]", file_name(url))[-1]) if kind is Kind.DOCUMENT else ""
    sticker = number(payload.get("sticker_id")) if kind is Kind.STICKER else ""
    return InboundMedia(id=sticker, url=url, name=name, public=True)


def _once(stickers: list[InboundMedia]) -> tuple[InboundMedia, ...]:
    """Return *stickers*, each once, though it came in both of its shapes."""
    return tuple({sticker.id or sticker.url: sticker for sticker in stickers}.values())


def _place(attachment: object, payload: JsonObject) -> InboundLocation | None:
    """Return the place; None where the coordinates are none.

    {"type": "location", "title": "Ann's Location", "payload": {"coordinates": {"lat": 52.5, "long": 13.4}}}
    """
    coordinates = payload.get("coordinates")
    if not isinstance(coordinates, dict) or not isinstance(attachment, dict):
        return None
    latitude, longitude = (_degrees(coordinates.get(name), most) for name, most in (("lat", 90), ("long", 180)))
    if latitude is None or longitude is None:
        return None
    return InboundLocation(latitude, longitude, name=words(attachment.get("title")))


def _degrees(value: object, most: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        return None
    return float(value)


def _lines(text: str, attachments: list[object]) -> Iterator[str]:
    """Yield the words of a message, line by line: its text, then the links that it shares and does not spell out."""
    yield text
    searched = text[:_SEARCHED].casefold()
    for attachment in attachments:
        kind, payload = _read(attachment)
        url = _url(attachment, payload) if kind in _LINKS else ""
        if not url or (urlsplit(url).hostname or "").removeprefix("www.") in searched:
            continue  # the preview of a link that was typed
        title = words(payload.get("title")) or words(attachment.get("title") if isinstance(attachment, dict) else "")
        if title.strip() and title.casefold() not in searched:
            yield title
        yield url


def _url(attachment: object, payload: JsonObject) -> str:
    """Return the link of a shared thing, without Facebook's detour around it; "" where there is none.

    {"type": "fallback", "payload": {"url": "https://l.facebook.com/l.php?u=https%3A%2F%2Fexample.com", "title": "…"}}, in
    older versions beside ``payload``. Reels were seen with a path: {"url": "/reel/1234/", "reel_video_id": 1234}.
    """
    outer = attachment.get("url") if isinstance(attachment, dict) else None
    value = payload.get("url") or outer
    if isinstance(value, str) and value.startswith("/") and not value.startswith("//"):
        value = "https://www.facebook.com" + value
    url = _absolute(value)
    parts = urlsplit(url)
    if parts.hostname in ("l.facebook.com", "lm.facebook.com") and parts.path == "/l.php":
        return _absolute(parse_qs(parts.query).get("u", [""])[0]) or url
    return url


def _absolute(value: object) -> str:
    """Return *value* where it is an absolute web address, else ""."""
    url = identifier(value)
    if not url.startswith(("https://", "http://")) or len(url) > _LONGEST_URL:
        return ""
    try:
        return url if urlsplit(url).hostname else ""
    except ValueError:  # brackets that hold no IPv6 address
        return ""


def _name_of(message: JsonObject) -> str:
    """Return what to call a message that holds nothing we know: the first field that may be its content."""
    names = (identifier(name)[:_LONGEST_NAME] for name in message if name not in _NO_CONTENT)
    return next(filter(None, names), "empty")
