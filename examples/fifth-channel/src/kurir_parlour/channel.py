"""The channel: what it can do, and messages as calls of Parlour's API.

What shapes it: a message has a text, perhaps a file, perhaps up to six buttons, and nothing else. So a header's words go
above the text and a footer's below it, a list becomes buttons, and more than six choices become several messages. A call
carries an ``Idempotency-Key`` made of tid and part: Parlour keeps it for a day, so that a repeat is harmless.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from kurir.channels.base import (
    Answer,
    Call,
    Capabilities,
    Facts,
    InboundMedia,
    JsonObject,
    Limit,
    Needs,
    Rejected,
    Rendering,
)
from kurir.channels.keys import Keys
from kurir.channels.text import code_points, fit, split, utf8
from kurir.domain.account import Account, ChannelSettings, Rate
from kurir.domain.message import Button, HeaderType, Message, MessageType
from kurir.domain.problem import Loss, Problem, pointer
from kurir.domain.recipient import Addresses
from kurir.domain.status import Status
from kurir_parlour.errors import ERRORS, PLATFORM_CODES, classify
from kurir_parlour.settings import ParlourSettings, settings_of
from kurir_parlour.webhooks import parse, verify

__all__ = (
    "ADDRESSES",
    "API_BASE",
    "CAPABILITIES",
    "CONCURRENCY",
    "ERRORS",
    "LIMITS",
    "NAME",
    "PLATFORM_CODES",
    "RATES",
    "SETTINGS",
    "classify",
    "fetch",
    "look",
    "needs",
    "parse",
    "problems",
    "refusal",
    "render",
    "verify",
)

NAME: Final = "parlour"
API_BASE: Final = "http://127.0.0.1:8090"  # a Parlour server has no home of its own: an account names its address
SETTINGS: Final[type[ChannelSettings]] = ParlourSettings

_PERSON: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")
#: ``parlour:ani``; and ``ani`` alone, which nobody can take for a phone.
ADDRESSES: Final = Addresses("parlour", _PERSON, "the name of a person, such as ani", bare=_PERSON)

TEXT: Final = 2000
BUTTONS: Final = 6
TITLE: Final = 40
KEY: Final = 100

_SOURCE: Final = "the README of this example"
LIMITS: Final[Sequence[Limit]] = (
    Limit("text", TEXT, "code points", "sent as several messages", _SOURCE),
    Limit("buttons of a message", BUTTONS, "buttons", "several messages", _SOURCE),
    Limit("button.title", TITLE, "code points", "cut", _SOURCE),
    Limit("button.key", KEY, "UTF-8 bytes", "replaced by a token", _SOURCE),
)
RATES: Final[Mapping[str, Rate | None]] = {"account": Rate(20, 1), "recipient": None}
CONCURRENCY: Final = 4

CAPABILITIES: Final = Capabilities(
    types={
        MessageType.TEXT: ("native", "2,000 characters a message, longer texts are split"),
        MessageType.IMAGE: ("native", "by URL, with a caption"),
        MessageType.VIDEO: ("native", "as image"),
        MessageType.AUDIO: ("native", "as image"),
        MessageType.VOICE: ("native", "as image"),
        MessageType.DOCUMENT: ("native", "as image"),
        MessageType.BUTTON: ("native", "6 to a message, more as several messages"),
        MessageType.LIST: ("degraded", "buttons"),
        MessageType.LOCATION: ("degraded", "a link to a map"),
        MessageType.TEMPLATE: ("no", "templates are WhatsApp's"),
    },
    receipts=(Status.DELIVERED, Status.READ),
    final_status=Status.READ,
    tells_blocking=True,
    idempotent=True,
)

#: Never to be changed: a repeat after an update has to carry the same key.
_REPEATS: Final = uuid.UUID("6f0f2f5e-5d0c-4c5c-9a55-0a9f6f6c6a01")


def problems(message: Message) -> list[Problem]:
    """Return what Parlour can neither send nor show in another way."""
    found = []
    if message.type is MessageType.TEMPLATE:
        found.append(
            Problem("/type", "unsupported_type", "templates are WhatsApp's; on parlour send the words as text")
        )
    if message.fallback is not None:
        found.append(Problem("/fallback", "unsupported_type", "parlour has no templates to fall back to; leave it out"))
    return found


def needs(message: Message, account: Account) -> Needs:  # noqa: ARG001 - the protocol's signature
    """Return that nothing has to be known of the files: Parlour takes every kind by URL."""
    return Needs()


def refusal(message: Message, account: Account, facts: Facts) -> Rejected | None:  # noqa: ARG001 - the protocol's
    """Return None: Parlour has no window that closes."""
    return None


def render(message: Message, account: Account, facts: Facts) -> Rendering:
    """Return *message* as calls, in order. Same input, same bytes: nothing is drawn and no clock is read."""
    losses: list[Loss] = []
    keys = Keys(account.client_id, length=utf8, limit=KEY)
    bodies = _bodies(message, facts, keys, losses)
    if message.reply_id and facts.reply is not None:
        bodies[0]["reply_to"] = facts.reply.platform_id
    elif message.reply_id:
        losses.append(
            Loss("/reply_id", "reply_id_not_found", "no message with this id is known here: sent without a quote")
        )
    if message.reply_token:
        losses.append(Loss("/reply_token", "reply_token_not_used", "parlour has no reply tokens"))
    calls = tuple(_call(account, facts, part, body) for part, body in enumerate(bodies, 1))
    return Rendering(calls, tuple(losses), keys.tokens())


def _bodies(message: Message, facts: Facts, keys: Keys, losses: list[Loss]) -> list[JsonObject]:
    """Return what is said, message by message: the file first, the choices below the last words."""
    words = split(_words(message, facts, losses), TEXT, code_points)
    if len(words) > 1:
        detail = f"the words are longer than {TEXT} characters: they are sent as {len(words)} messages"
        losses.append(Loss("/body/text", "text_split", detail))
    bodies: list[JsonObject] = [{"text": one} for one in words if one]
    file = _file(message)
    if file is not None:
        bodies = [{**(bodies[0] if bodies else {}), "file": file}, *bodies[1:]]
    choices = _choices(message, losses)
    groups = [choices[start : start + BUTTONS] for start in range(0, len(choices), BUTTONS)]
    for number, group in enumerate(groups):
        if number:
            first = number * BUTTONS + 1
            bodies.append({"text": facts.labels.options.format(first=first, last=first + len(group) - 1)})
        bodies[-1]["buttons"] = [_button(at, one, keys, losses) for at, one in group]
    return bodies


def _words(message: Message, facts: Facts, losses: list[Loss]) -> str:
    """Return all that is read: header, words, a list's own texts, a place, the footer."""
    paragraphs = [
        message.header.text if message.header and message.header.type is HeaderType.TEXT else "",
        message.text,
    ]
    if message.list is not None:
        losses.append(Loss("/body/list", "list_as_buttons", "parlour has no lists: the rows are buttons"))
        paragraphs[1] = message.text or message.list.title
        for section in message.list.sections:
            rows = [f"{row.title} – {row.description}" if row.description else row.title for row in section.actions]
            heads = [one for one in (section.title, section.description) if one]
            paragraphs.append("\n".join((*heads, *rows)))
    if message.location is not None:
        losses.append(Loss("/body/location", "location_as_link", "parlour has no places: a link to a map is sent"))
        place = facts.labels.map_url.format(latitude=message.location.latitude, longitude=message.location.longitude)
        paragraphs.append(place)
    if message.footer is not None:
        paragraphs += [message.footer.title, message.footer.text]
    return "\n\n".join(one for one in paragraphs if one.strip())


def _file(message: Message) -> JsonObject | None:
    if message.media is not None:
        return {"kind": message.type.value, "url": message.media.url, "name": message.media.name}
    if message.header is not None and message.header.type is not HeaderType.TEXT:
        return {"kind": message.header.type.value, "url": message.header.media_url, "name": ""}
    return None


def _choices(message: Message, losses: list[Loss]) -> list[tuple[str, Button]]:
    """Return the buttons, or a list's rows as buttons, each with where the request has it."""
    choices = [(pointer("body", "button", index), one) for index, one in enumerate(message.buttons)]
    for number, section in enumerate(message.list.sections if message.list else ()):
        for index, row in enumerate(section.actions):
            at = pointer("body", "list", "sections", number, "actions", index)
            choices.append((at, Button(row.key, row.title)))
    if len(choices) > BUTTONS:
        at = "/body/list" if message.list else "/body/button"
        losses.append(
            Loss(at, "choices_split", f"parlour shows {BUTTONS} buttons: the others follow in further messages")
        )
    return choices


def _button(at: str, button: Button, keys: Keys, losses: list[Loss]) -> JsonObject:
    title = fit(button.title, TITLE, code_points)
    if title != button.title:
        losses.append(
            Loss(f"{at}/title", "title_truncated", f"parlour shows {TITLE} characters on one line: «{title}»")
        )
    return {"id": keys.field(button.key), "title": title}


def _call(account: Account, facts: Facts, part: int, body: JsonObject) -> Call:
    headers = (
        ("Authorization", f"Bearer {settings_of(account).token}"),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", str(uuid.uuid5(_REPEATS, f"{facts.tid}:{part}"))),
    )
    url = f"{account.api_base}/v1/messages"
    return Call(part, "POST", url, headers, {"to": facts.address, **body}, repeatable=True)


def look(account: Account) -> Call:
    """Return a call that sends nothing, by which the gateway sees that Parlour answers again."""
    return Call(0, "GET", f"{account.api_base}/v1/me", _login(account), {})


def fetch(account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:
    """Return the call that fetches a file: one is enough, with the account's token."""
    if answer is not None or not media.id:
        return None
    url = f"{account.api_base}/v1/files/{quote(media.id, safe='')}"
    return Call(1, "GET", url, _login(account), {}, file=True)


def _login(account: Account) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {settings_of(account).token}"),)
