"""Writes the pages of the reference that are tables of the code: errors, platform errors, channels, callbacks.

``python tools/make_reference.py`` writes them, ``--check`` only says which are stale (exit code 1). A test does the same.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kurir.callbacks import dialects
from kurir.channels import BUILT_IN
from kurir.channels.base import (
    AgentMessage,
    Channel,
    ContactNews,
    Deleted,
    Edited,
    Facts,
    InboundLocation,
    InboundMedia,
    InboundMessage,
    JsonObject,
    Kind,
    Person,
    Press,
    Reaction,
)
from kurir.channels.line import errors as line_errors
from kurir.channels.messenger import errors as messenger_errors
from kurir.channels.telegram import errors as telegram_errors
from kurir.channels.whatsapp import errors as whatsapp_errors
from kurir.configuration.values import show_rate
from kurir.domain.account import (
    Account,
    ChannelSettings,
    LineSettings,
    MessengerSettings,
    TelegramSettings,
    WhatsAppSettings,
)
from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.domain.message import Message, MessageType
from kurir.domain.problem import Loss
from kurir.domain.status import Status
from kurir.intake import inbound_data, wire
from kurir.store.base import ErrorRecord, PartRecord, Phase
from kurir.store.feed import COMPAT_KINDS, KINDS, STATUS_KIND, EventRecord, StatusChange

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE: Final = "<!-- Written by tools/make_reference.py. Change the code that it reads, then run it. -->\n\n"

#: The two answers that carry a list of problems; every other 422 code is one of those problems.
LISTING: Final = ("invalid_message", "invalid_parameters")
#: Why a message is pending. Codes of this group that begin with ``account_`` are told by their prefix.
WAITING: Final = (
    "queued",
    "waiting_for_lane",
    "sending",
    "scheduled",
    "awaiting_receipt",
    "rate_limited",
    "platform_unavailable",
    "not_reached",
    "no_answer",
    "ambiguous_error",
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(one) for one in line) + " |\n" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: object) -> str:
    """Return *text* as code, "" for nothing."""
    return f"`{text}`" if str(text) else ""


# --- errors -----------------------------------------------------------------------------------------------------------


def errors() -> str:
    """Return the page of the error registry."""
    answers = [one for one in ERRORS.values() if one.status is not None and not _is_problem(one)]
    problems = [one for one in ERRORS.values() if _is_problem(one)]
    reasons = [one for one in ERRORS.values() if one.status is None]
    waiting = [one for one in reasons if one.code in WAITING or one.code.startswith("account_")]
    ended = [one for one in reasons if one not in waiting]
    return (
        MADE
        + "# Errors\n\n"
        + "Every error has one stable code. A running gateway explains each at `GET /errors/{code}` (JSON, or a page in\n"
        + "a browser) and lists them all at `GET /errors`. The `type` of an error's body is the path of that page. How the\n"
        + "bodies look is in [the API](api.md#errors). What the platforms' own codes become is in\n"
        + "[platform errors](platform-errors.md).\n\n"
        + "## Answers to a request\n\n"
        + "The member `code` of an error's body. An error that can be repeated carries `Retry-After`.\n\n"
        + table(
            ("code", "HTTP", "what happened", "why", "what to do", "repeat"),
            ((code(e.code), str(e.status), e.title, e.cause, e.fix, "yes" if e.retryable else "no") for e in answers),
        )
        + "## Problems of a request\n\n"
        + "The member `code` of each item in `errors` of a 422. All problems of a request come at once.\n\n"
        + table(
            ("code", "what happened", "why", "what to do"), ((code(e.code), e.title, e.cause, e.fix) for e in problems)
        )
        + "## Why a message waits\n\n"
        + "`reason.code` of a message with status 0. A code that begins with `account_` means that the account is stopped,\n"
        + "and no message fails by that: by the operator (`account_paused`), by the configuration (`account_disabled`), and\n"
        + "else by the platform. Then it is parked, and tried now and then whether it works again.\n\n"
        + table(
            ("code", "what happened", "why", "what to do"), ((code(e.code), e.title, e.cause, e.fix) for e in waiting)
        )
        + "## Why a message ended\n\n"
        + "`error.code` of a message with status −1, −2 or −3. A failure receipt of WhatsApp may bring a code of the table\n"
        + "above, such as `account_payment`. Where an advice says «retry»: `POST /v1/messages/{tid}/retry`, or\n"
        + "`kurir message retry`.\n\n"
        + table(
            ("code", "what happened", "why", "what to do"), ((code(e.code), e.title, e.cause, e.fix) for e in ended)
        )
        + "## Platform codes\n\n"
        + "Which codes of a platform, or words of its answer, become each of ours. What each of them means, and what\n"
        + "follows, is in [platform errors](platform-errors.md). A code that is not here comes of no platform's code:\n"
        + "kurir finds by itself that a message is `expired`.\n\n"
        + table(("code", *BUILT_IN), (row for row in map(_by_platform, ERRORS) if any(row[1:])))
    )


def _by_platform(ours: str) -> tuple[str, ...]:
    """Return a code of ours and the codes of each platform that become it."""
    given = (
        dict.fromkeys(theirs for theirs, ours_ in one.PLATFORM_CODES if ours_ == ours) for one in BUILT_IN.values()
    )
    return code(ours), *(", ".join(_runs(list(each))) for each in given)


def _runs(codes: list[str]) -> Iterator[str]:
    """Yield the codes, three and more numbers that follow one another as one range."""
    while codes:
        length = 1
        while length < len(codes) and codes[0].isdigit() and codes[length] == str(int(codes[0]) + length):
            length += 1
        run, codes = (codes[:length], codes[length:]) if length > 2 else (codes[:1], codes[1:])
        yield code(run[0]) if len(run) == 1 else f"{code(run[0])} to {code(run[-1])}"


def _is_problem(entry: ErrorEntry) -> bool:
    return entry.status == 422 and entry.code not in LISTING


# --- platform errors --------------------------------------------------------------------------------------------------


def platform_errors() -> str:
    """Return the page of what the platforms' codes become."""
    return (
        MADE
        + "# Platform errors\n\n"
        + "What the gateway makes of each answer of a platform. The left column is what `provider_code` holds, or the words\n"
        + "that are looked for; the last is the code that you see, explained in [errors](errors.md). The kind decides:\n\n"
        + table(
            ("kind", "what follows"),
            (
                ("transient", "the part is tried again after the waits of the row, else with waits that double"),
                ("throttled", "the part waits as long as the platform says, at least; its scope waits with it"),
                ("content", "the message ends with −3"),
                ("recipient", "the message ends with −2"),
                ("account", "the account is parked; the message stays 0"),
                (
                    "ambiguous",
                    "nobody knows whether it was sent: see [the promise](../explanation/delivery-promise.md)",
                ),
            ),
        )
        + _whatsapp()
        + _messenger()
        + _telegram()
        + _line()
    )


def _whatsapp() -> str:
    own = whatsapp_errors
    groups: dict[whatsapp_errors.ErrorRow, list[int]] = {}
    for number, row in own.ERRORS.items():
        groups.setdefault(row, []).append(number)
    named = [(ranges(numbers), row) for row, numbers in groups.items()]
    named += [(f"{a}/{b}", row) for (a, b), row in own.SUBCODES.items()]
    named += [(f"{ranges(own.FILE_CODES)}, details with an HTTP 5xx or a time-out", own.FILE_LATER)]
    named += [("100 that names `appsecret_proof`", own.PROOF_WANTED)]
    return (
        "## WhatsApp\n\n"
        "Meta's code, or code and subcode. A code that is not here: HTTP 429 is throttled, 5xx transient, another 4xx\n"
        "content, anything else ambiguous.\n\n"
        + table(
            ("code", "meaning", "kind", "waits", "ours"),
            (
                (
                    codes,
                    row.meaning,
                    f"{row.kind.value}{_scope(row.kind.value, row.scope.value)}",
                    _waits(row),
                    code(row.code),
                )
                for codes, row in named
            ),
        )
    )


def _scope(kind: str, scope: str) -> str:
    return f" ({scope})" if kind == "throttled" else ""


def _waits(row: whatsapp_errors.ErrorRow | messenger_errors.Meaning) -> str:
    """Return the waits that the platform's pages name, and their bound on tries: ``1, 4, 16 … s``, ``30 s; 2 tries``."""
    count = row.attempts - 1 if row.attempts else 3
    waits = [f"{row.base * row.growth**number:g}" for number in range(count if row.growth > 1 else 1)]
    shape = f"{', '.join(waits)}{'' if row.attempts or row.growth == 1 else ' …'} s" if row.base else ""
    each = " each" if row.growth == 1 and row.attempts != 2 and shape else ""
    return "; ".join(filter(None, (shape + each, f"{row.attempts} tries" if row.attempts else "")))


def _messenger() -> str:
    own = messenger_errors
    groups: dict[messenger_errors.Meaning, dict[int, list[int]]] = {}
    for (number, subcode), row in own.ERRORS.items():
        groups.setdefault(row, {}).setdefault(number, []).append(subcode)
    return (
        "## Messenger\n\n"
        "Meta's code, or code and subcode. Unknown codes follow the same rule as on WhatsApp; an error\n"
        "without any code is ambiguous unless its HTTP status says 4xx. A 100 that names `appsecret_proof` parks the\n"
        "account, as on WhatsApp.\n\n"
        + table(
            ("code", "meaning", "kind", "waits", "ours"),
            (
                (
                    "; ".join(map(_subcodes, places, places.values())),
                    row.text,
                    f"{row.verdict.name.lower()}{_scope(row.verdict.name.lower(), row.scope.value)}",
                    _waits(row),
                    code(row.code),
                )
                for row, places in groups.items()
            ),
        )
    )


def _subcodes(number: int, subcodes: Sequence[int]) -> str:
    """Return a code with its subcodes: ``10``, ``10/2018278``, ``100/2534013–2534037``, ``any/36000``."""
    name = str(number) if number != messenger_errors.ANY else "any"
    found = [name] if 0 in subcodes else []
    named = [one for one in subcodes if one]
    return ", ".join([*found, f"{name}/{ranges(named)}"] if named else found)


def _telegram() -> str:
    kinds = {"url_not_fetched": "uploaded once, then content", "reply_gone": "once without the reply, then content"}
    kinds |= {"moved": "once to the new chat, then recipient", "sent": "sent", "too_large": "content"}
    groups: dict[tuple[int, str, str], list[str]] = {}
    for row in telegram_errors.ERRORS:
        groups.setdefault((row.error_code, row.kind.value, row.code), []).append(row.text)
    return (
        "## Telegram\n\n"
        "Telegram's `error_code` and words of its `description`; the first that fits decides. An answer without Telegram's\n"
        "JSON is ambiguous, but for 429 (throttled) and 413 (content).\n\n"
        + table(
            ("code", "description has", "kind", "ours"),
            (
                (
                    str(number),
                    " · ".join(f"«{text}»" if text else "anything else" for text in texts),
                    kinds.get(kind, kind),
                    code(ours),
                )
                for (number, kind, ours), texts in groups.items()
            ),
        )
    )


def _line() -> str:
    kinds = {
        "duplicate": "sent (this key was accepted before)",
        "rate": "throttled (account)",
        "recipient_rate": "throttled (recipient)",
        "reply": "once by push, then content",
        "quote": "once without the quote, then content",
        "fault": "transient (a push); ambiguous (a reply)",
    }
    return (
        "## LINE\n\n"
        "The HTTP status and words of LINE's `message`, or the field that its `details` name; the first that fits decides.\n"
        "500 stands for every 5xx. An answer that is not LINE's JSON and has no row marked * is ambiguous.\n\n"
        + table(
            ("status", "message has", "kind", "ours"),
            (
                (
                    f"{row.status}{' *' if row.bare else ''}",
                    f"«{row.says}»" if row.says else f"the field `{row.field}`" if row.field else "anything else",
                    kinds.get(row.kind.value, row.kind.value),
                    code(row.code),
                )
                for row in line_errors.ERRORS
            ),
        )
    ).rstrip("\n") + "\n"


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as text, neighbours as a range: ``1, 3–5``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


# --- channels ---------------------------------------------------------------------------------------------------------


def channels() -> str:
    """Return the page of what the channels can do."""
    names = list(BUILT_IN)
    return (
        MADE
        + "# Channels\n\n"
        + "What each channel does with each type, what it counts, and how fast it may be called. What is lost where a\n"
        + "channel has less than a message asks for is in [losses](losses.md).\n\n"
        + "## Types\n\n"
        + "**native**: the platform has it. **degraded**: the nearest thing that a person would recognise. **no**: a 422.\n\n"
        + table(
            ("type", *names),
            (
                (code(kind.value), *(_capability(BUILT_IN[name], kind) for name in names))
                for kind in MessageType
                if any(kind in BUILT_IN[name].CAPABILITIES.types for name in names)
            ),
        )
        + "On the phones of the sandbox, which draw what arrived there, some of them look like this. There is no picture\n"
        + "of each type on each channel here: `kurir up` shows them.\n\n"
        + "![Four phones side by side, each with the sender's ledger](../images/phones.png)\n\n"
        + "## What becomes of a message\n\n"
        + "Messages as they are, made into calls by each channel as a send makes them. What is not counted as a loss is\n"
        + "shown as asked, if perhaps by another part. A code after 422 refuses the message at accept.\n"
        + "A call of LINE carries up to five messages, and the LINE account of this table has no preview picture for\n"
        + "videos. What a kind means is in [losses](losses.md); the preview tells it for a message of your own.\n\n"
        + table(("message", *names), ((words, *(_fate(name, body) for name in names)) for words, body in PROBES))
        + "## What the platform tells\n\n"
        + "The last status is the highest that a message can reach. *Repeat is safe*: the platform drops a second copy.\n\n"
        + table(
            ("channel", "receipts of", "last status", "repeat is safe", "that somebody blocks the account"),
            (
                (
                    name,
                    _receipts(BUILT_IN[name]),
                    _last(BUILT_IN[name]),
                    _yes(BUILT_IN[name].CAPABILITIES.idempotent),
                    "told, and when no more" if BUILT_IN[name].CAPABILITIES.tells_blocking else "only by a refusal",
                )
                for name in names
            ),
        )
        + "## Rates and concurrency\n\n"
        + "The defaults of `rate` and `concurrency` of an account ([configuration](configuration.md#accounts)). Both are\n"
        + "kept, and slowed down where the platform asks for it: [rates, storms and outages](../explanation/rates.md).\n\n"
        + table(
            ("channel", "concurrency", "rates"),
            (
                (
                    name,
                    str(BUILT_IN[name].CONCURRENCY),
                    ", ".join(f"`{limit}` {show_rate(rate)}" for limit, rate in BUILT_IN[name].RATES.items()),
                )
                for name in names
            ),
        )
        + "".join(_limits(BUILT_IN[name]) for name in names)
    ).rstrip("\n") + "\n"


def _capability(channel: Channel, kind: MessageType) -> str:
    how, note = channel.CAPABILITIES.types.get(kind, ("no", ""))
    return f"**{how}**: {note}" if note else f"**{how}**"


def _receipts(channel: Channel) -> str:
    return ", ".join(_status(status) for status in channel.CAPABILITIES.receipts) or "nothing"


def _last(channel: Channel) -> str:
    return _status(channel.CAPABILITIES.final_status)


def _status(status: Status) -> str:
    return f"{status.value} {status.name.lower()}".replace("-", "−")


def _yes(value: bool) -> str:  # noqa: FBT001 - it is what is said
    return "yes" if value else "no"


def _limits(channel: Channel) -> str:
    rows = ((one.field, f"{one.maximum:,}", one.unit, one.beyond, one.source) for one in channel.LIMITS)
    return f"## Limits of {channel.NAME}\n\n" + table(("what", "maximum", "counted in", "beyond it", "source"), rows)


#: A person on each channel, and an account of it.
_PEOPLE: Final = {
    "whatsapp": "6281234567890",
    "telegram": "1001",
    "line": "U" + "4af49806" * 4,
    "messenger": "24312345678901234",
}
_SETTINGS: Final[Mapping[str, ChannelSettings]] = {
    "whatsapp": WhatsAppSettings("1", "t", "s", "v"),
    "telegram": TelegramSettings("1:t"),
    "line": LineSettings("t", "s"),
    "messenger": MessengerSettings("1", "t", "s", "v"),
}


def _media(kind: str, name: str, words: str = "", title: str = "") -> JsonObject:
    return {"type": kind, "body": {"text": words, "media": {"url": f"https://files.example.com/{name}", "name": title}}}


def _buttons(count: int, title: str = "Yes", key: str = "k", words: str = "Which?", **more: Any) -> JsonObject:
    buttons = [{"key": f"{key}{number}", "title": f"{title} {number}"} for number in range(1, count + 1)]
    return {"type": "button", "body": {"text": words, "button": buttons}, **more}


def _list(sections: int, rows: int, description: str = "") -> JsonObject:
    made = [
        {
            "title": f"Section {place}",
            "description": "",
            "actions": [
                {"key": f"k{place}-{number}", "title": f"Row {number}", "description": description}
                for number in range(1, rows + 1)
            ],
        }
        for place in range(1, sections + 1)
    ]
    return {"type": "list", "body": {"text": "Which?", "list": {"title": "Menu", "sections": made}}}


_HEADER_FILE: Final = {"type": "image", "media_url": "https://files.example.com/a.jpg"}
_PLACE: Final = {"latitude": -6.175392, "longitude": 106.827153}
_LONG: Final = ("A sentence of forty characters, roughly. " * 125).strip()

#: What a message is in words, and the members of the request that make it so.
PROBES: Final[Sequence[tuple[str, JsonObject]]] = (
    ("a short text", {"type": "text", "body": {"text": "Hello"}}),
    (f"a text of {len(_LONG):,} characters", {"type": "text", "body": {"text": _LONG}}),
    ("a text with a footer", {"type": "text", "body": {"text": "Hello"}, "footer": {"title": "", "text": "Bye"}}),
    ("a JPEG with a caption", _media("image", "a.jpg", "Your parcel")),
    ("a JPEG with 1,100 characters", _media("image", "a.jpg", _LONG[:1100])),
    ("a WebP picture", _media("image", "a.webp")),
    ("an MP4 with a caption", _media("video", "a.mp4", "How to")),
    ("an MP3 with a text and a name", _media("audio", "a.mp3", "Listen", "Jingle")),
    ("a voice note in OGG", _media("voice", "a.ogg")),
    ("a PDF with a name", _media("document", "a.pdf", "", "Invoice.pdf")),
    ("3 buttons", _buttons(3)),
    (
        "3 buttons, a header of text, a footer",
        _buttons(3, header={"type": "text", "text": "Order"}, footer={"text": "Bye"}),
    ),
    ("3 buttons and a picture above", _buttons(3, header=_HEADER_FILE)),
    ("2 buttons with titles of 32 characters", _buttons(2, title="A title that is somewhat longer")),
    ("2 buttons with keys of 1,100 characters", _buttons(2, key="k" * 1099)),
    ("3 buttons below 1,100 characters", _buttons(3, words=_LONG[:1100])),
    ("4 buttons", _buttons(4)),
    ("14 buttons", _buttons(14)),
    ("101 buttons", _buttons(101)),
    ("a list of 3 rows", _list(1, 3)),
    ("a list of 3 rows with descriptions", _list(1, 3, "What it means")),
    ("a list of 2 sections with 10 rows each", _list(2, 10)),
    ("a list of 13 sections", _list(13, 1)),
    ("a place", {"type": "location", "body": {"location": _PLACE}}),
    ("a place with a text", {"type": "location", "body": {"text": "Our shop", "location": _PLACE}}),
)


def _fate(name: str, more: JsonObject) -> str:
    """Return what becomes of a message on a channel: its calls and its losses, or why it is refused."""
    body = {"id": "1", "times": 0, "timestamp": "2026-11-22T15:00:00+07:00", "recipient": "6281234567890", **more}
    channel, message = BUILT_IN[name], wire.decode(body, name)
    if not isinstance(message, Message):
        raise TypeError(f"{more}: {message}")
    problems = channel.problems(message)
    if problems:
        return "422 " + ", ".join(sorted({code(one.code) for one in problems}))
    account = Account("acme", "acme", name, channel.API_BASE, _SETTINGS[name])
    facts = Facts(tid="01a20737-4164-74d2-ae68-00d16e9c3e44", address=_PEOPLE[name])
    rendering = channel.render(message, account, facts)
    calls = len(rendering.calls)
    kinds = dict.fromkeys(loss.kind for loss in (*message.ignored, *rendering.losses))
    return "; ".join((f"{calls} call{'s' if calls > 1 else ''}", *(code(kind) for kind in kinds)))


# --- callbacks --------------------------------------------------------------------------------------------------------

#: The moment of the examples, when their link to a file ends, and who they are about.
AT: Final = datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC)
_UNTIL: Final = datetime(2026, 11, 23, 8, 0, 6, tzinfo=UTC)
_BUDI: Final = Person("6281234567890", "6281234567890", "Budi", phone="6281234567890")
_BUDI_TG: Final = Person("1001", "1001", "Budi", "budi_demo")
_WA: Final = {"channel": "whatsapp", "account_id": "acme-wa"}
_TG: Final = {"channel": "telegram", "account_id": "acme-tg"}

#: When each kind of event happens.
KINDS_SAID: Final[Mapping[str, str]] = {
    "message.status": "the status of a message of yours changed; never for 0",
    "message.received": "a person wrote, or sent something; a message with several files is several events",
    "postback.received": "a person pressed a button or a row, or typed the title of one that had vanished",
    "message.reaction": "a person put an emoji on a message, or took it back",
    "message.edited": "a person changed the words of a message of theirs",
    "message.deleted": "a person took a message of theirs back",
    "message.agent": "somebody of your business wrote in the platform's own inbox, or by another app",
    "contact.blocked": "a person cannot be written to any more: they blocked the account, or it was taken out of the chat",
    "contact.unblocked": "a person can be written to again, or for the first time",
    "contact.linked": "a phone was tied to an address: shared by the person, or by a deep link of yours",
    "contact.referred": "a person came by a deep link without writing",
}

#: What each member means, by its path; those of an envelope's ``data`` without that word.
MEMBERS: Final[Mapping[str, str]] = {
    "status.message_id": "your `id` of the message",
    "status.provider_message_id": 'the platform\'s id of the last part that was sent; "" for none',
    "status.recipient_id": "the `recipient` as your request had it",
    "status.status": "the [status](statuses.md) that it has now: −3 to 3, and never 0",
    "status.tid": "the gateway's id of the message",
    "status.times": "Unix seconds: when it happened at the platform, else when the gateway knew",
    "status.timestamp": "the same moment as RFC 3339",
    "status.error": "null unless it failed",
    "status.error.code": "why it failed: a code of [errors](errors.md#why-a-message-ended)",
    "status.error.detail": "the same as a sentence",
    "status.error.provider_code": 'the platform\'s own code; "" for none',
    "type": "the kind of the event",
    "timestamp": "when it happened at the platform, else when the gateway knew",
    "data": "what happened; its members depend on the kind",
    "tid": "the gateway's id of the message",
    "message_id": "your `id` of the message",
    "recipient": "the `recipient` as your request had it",
    "status": "the [status](statuses.md) that it has now",
    "previous": "the one before; steps that were skipped are not told",
    "at": "as `timestamp`",
    "error": "null unless it failed",
    "error.code": "as in compat",
    "error.detail": "as in compat",
    "error.provider_code": "as in compat",
    "parts": "the platform calls of the message, as they stand when this is told",
    "parts[].part": "its number, from 1",
    "parts[].state": "`in_flight`, `waiting`, `answered` or `failed`",
    "parts[].status": "its own status; null before an answer",
    "parts[].attempts": "how often it was tried",
    "parts[].provider_message_ids": "the platform's ids",
    "parts[].at": "when it was answered, else begun",
    "losses": "what the channel could not show as it was asked: [losses](losses.md)",
    "losses[].pointer": "where in the request",
    "losses[].kind": "which loss",
    "losses[].detail": "the same as a sentence",
    "channel": "`whatsapp`, `telegram`, `line` or `messenger`",
    "account": "the account that it came to",
    "from.avatar": 'the URL of a picture; always "" at present',
    "from.description": 'always "": no platform tells one',
    "from.name": "as the platform tells it; LINE and Messenger tell none",
    "from.username": "the name of the person on Telegram and, where they chose one, on WhatsApp",
    "from.id": "the phone on WhatsApp, elsewhere the platform's id of the person",
    "from.address": "the explicit address of the chat; always safe to send to. In a group it is the group's",
    "from.phone": 'digits that the platform vouches for; "" where it tells none',
    "message.id": "the platform's id (`<chat>:<id>` on Telegram; of a press on LINE and Telegram that of the press): "
    "a send may name it as `reply_id`",
    "message.type": "`text`, `image`, `video`, `audio`, `voice`, `document`, `sticker`, `location`, `contact`, `postback`, "
    "or `unsupported`, with `text` saying what it was",
    "message.text": "the words, or the caption; of a shared contact its lines",
    "message.reply_id": "the message that was quoted, or whose button was pressed: your `id` where it was yours, else "
    'the platform\'s; "" for none, and for a tap on LINE and Messenger, which do not tell whose button it was',
    "message.reply_token": "goes into the `reply_token` of an answer: free of charge on LINE, a quote on Telegram; "
    '"" elsewhere',
    "message.times": "Unix seconds",
    "message.timestamp": "the same moment as RFC 3339",
    "message.interactive": "always null: nothing that a person can send has this shape",
    "message.location": "null unless it is a place",
    "message.location.address": '"" for none',
    "message.location.latitude": "degrees",
    "message.location.live_period": "for how many seconds it moves; 0 for a place that does not",
    "message.location.longitude": "degrees",
    "message.location.name": '"" for none',
    "message.media": "null unless it is a file",
    "message.media.animated": "whether a sticker or a picture moves",
    "message.media.id": "the event's position and the number of the file",
    "message.media.mime_type": 'as the platform tells it; "" where it does not',
    "message.media.name": 'as the person named the file; "" for none',
    "message.media.size": "bytes; 0 where the platform does not tell",
    "message.media.url": "where the file is, at the gateway: [media links](api.md#media-links)",
    "message.media.expires_at": "until when that link is good",
    "message.postback": "null unless something was pressed",
    "message.postback.key": "the very `key` that your message gave to the button or row",
    "message.postback.title": 'what stood on it; "" where the platform does not tell (LINE)',
    "message.referral": "the payload of the deep link or the ad by which the person came",
    "message.standby": "true: another app has the conversation, and you should not answer (LINE, Messenger)",
    "message.live": "true: the new position of a live place that was told before under the same `message.id`",
    "reaction.emoji": '"" when it was taken back; on Telegram `custom_emoji:<id>` for one that is no character',
    "reaction.message_id": "the platform's id of the message that it is on",
    "reaction.reply_id": 'your `id` of that message where it was yours, else ""',
    "reaction.times": "Unix seconds",
    "reaction.timestamp": "the same moment as RFC 3339",
    "to": "the person that was written to, with the members of `from`",
    "contact": "whom it is about, with the members of `from`; `phone` is the one that was tied",
    "referral": "the payload of the deep link",
    "first_time": "they added the account for the first time (LINE)",
    "reply_token": "as `message.reply_token` (LINE)",
    "moved_to": 'the address that replaces this one; "" for none',
    "times": "Unix seconds",
}

#: What the page says before it comes to the dialects.
_CALLBACKS: Final = """# Callbacks

What the gateway posts to an endpoint: each member of both dialects, with an example of each kind. When it is posted, in which
order and how often is in [callbacks](../explanation/callbacks.md); how to take it, in
[receive answers](../how-to/receive-answers.md). The [feed](api.md#events) tells the same events, in the standard dialect.

## Headers

| header | is |
|---|---|
| `webhook-id` | the id of the event for this endpoint, the same for every try and every replay: by it you know a repeat |
| `webhook-timestamp` | the moment of this try, in Unix seconds |
| `webhook-signature` | `v1,` and base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; two during a rotation |
| `traceparent` | where [traces](../how-to/watch-it.md#traces) are on: what this call belongs to, by W3C |
| `Content-Type` | `application/json` |
| `Kurir-Test` | `true` on an example that the administrator posted; else absent |

Beside them are the `headers` that the endpoint was configured with.

"""


def _link(event: EventRecord, number: int) -> tuple[str, datetime]:
    end = int(_UNTIL.timestamp())
    url = f"https://chat.example.com/media/{event.account_id}/{event.position}/{number}/{end}/wbwRydqM3FHJok7M1RQMp_9Q"
    return url, _UNTIL


def _event(position: int, kind: str, data: JsonObject) -> EventRecord:
    return EventRecord(position, "acme", kind, data["account"], data["channel"], "", AT, data=inbound_data.dump(data))


def _status_event(*, failed: bool) -> EventRecord:
    state, status = (Phase.FAILED, Status.UNDELIVERED) if failed else (Phase.ANSWERED, Status.DELIVERED)
    change = StatusChange(
        tid="01a203cb-814c-738e-ab48-a185f876ea30",
        message_id="order-1042",
        recipient="+62 812-3456-7890",
        status=status,
        previous=Status.SENT,
        error=ErrorRecord("recipient_unreachable", "the phone is not on WhatsApp", "131026") if failed else None,
        provider_message_id="wamid.HBgNNjI4MTIz",
        parts=(PartRecord(1, state, status, 1, ("wamid.HBgNNjI4MTIz",), AT, AT),),
        losses=(
            Loss("/body/button/0/title", "title_truncated", "WhatsApp takes 20 characters: «Yes, please deliver t»"),
        ),
    )
    return EventRecord(41, "acme", STATUS_KIND, "acme-wa", "whatsapp", "6281234567890", AT, change)


def examples() -> dict[str, EventRecord]:
    """Return an event of each kind, and by the names ``failed`` and ``place`` two more."""
    base = InboundMessage("e", "", AT, _BUDI, Kind.IMAGE, "wamid.HBgNNjI4MTI0", "Is this the right one?")
    image = replace(base, media=(InboundMedia("1", mime_type="image/jpeg", size=13480),))
    place = replace(
        base, kind=Kind.LOCATION, text="", location=InboundLocation(-6.2088, 106.8456, "Shop", "Jl. Merdeka 1")
    )
    press = replace(base, kind=Kind.POSTBACK, text="", press=Press("today", "Yes, today"))
    news = ContactNews("e", "", AT, _BUDI_TG)
    link = replace(news, shared_phone="6281234567890", referral="crm-77")
    told: dict[str, JsonObject] = {
        "message.received": inbound_data.received(image, **_WA),
        "postback.received": inbound_data.received(press, **_WA, key="today", reply_id="order-1042"),
        "message.reaction": inbound_data.reacted(
            Reaction("e", "", AT, _BUDI_TG, "1001:520", "👍"), **_TG, reply_id="order-1042"
        ),
        "message.edited": inbound_data.edited(Edited("e", "", AT, _BUDI_TG, "1001:521", "Tomorrow, please"), **_TG),
        "message.deleted": inbound_data.deleted(Deleted("e", "", AT, _LINE_PERSON, "586391"), **_LINE),
        "message.agent": inbound_data.written_by_agent(
            AgentMessage("e", "", AT, _FB_PERSON, "m_kuq5G5YSu9", "Hello, this is Sari"), **_FB
        ),
        "contact.blocked": inbound_data.contact(replace(news, blocked=True), **_TG),
        "contact.unblocked": inbound_data.contact(replace(news, blocked=False), **_TG),
        "contact.linked": inbound_data.contact(link, **_TG),
        "contact.referred": inbound_data.contact(replace(news, person=_FB_PERSON, referral="summer"), **_FB),
    }
    found = {STATUS_KIND: _status_event(failed=False), "failed": _status_event(failed=True)}
    found |= {kind: _event(42 + number, kind, data) for number, (kind, data) in enumerate(told.items())}
    found["place"] = _event(60, "message.received", inbound_data.received(place, **_WA))
    return found


_LINE: Final = {"channel": "line", "account_id": "acme-line"}
_FB: Final = {"channel": "messenger", "account_id": "acme-fb"}
_LINE_PERSON: Final = Person("U7a1f0c52d38e4b96a0d3c1e5f7b92846", "U7a1f0c52d38e4b96a0d3c1e5f7b92846")
_FB_PERSON: Final = Person("24312345678901234", "24312345678901234")


def callbacks() -> str:
    """Return the page of what is posted. Raises LookupError where a member is not described, or is no more."""
    found = examples()
    described: set[str] = set()

    def members(*told: JsonObject, leave: Iterable[str] = ()) -> str:
        rows = dict(pair for one in told for pair in _members(one))
        types = {path: {kind for one in told for at, kind in _members(one) if at == path} for path in rows}
        shown = [path for path in rows if path not in leave and not path.startswith(("to.", "contact."))]
        described.update(shown)
        return table(
            ("member", "type", "is"), ((code(path), " or ".join(sorted(types[path])), MEMBERS[path]) for path in shown)
        )

    def compat(name: str) -> JsonObject:
        return dialects.compat(found[name], _link)

    def standard(name: str) -> JsonObject:
        return dialects.standard(found[name], _link)

    text = MADE + _CALLBACKS
    text += "## The compat dialect\n\nThe published shapes, and members of ours: `error`, `from.id`, `from.address`, "
    text += (
        '`from.phone`, and what stands after\n`postback.key`. Every member is always there: an absent text is "", an '
    )
    text += "absent number 0, an absent object null. It tells\n" + ", ".join(map(code, COMPAT_KINDS)) + ".\n\n"
    text += "### Status\n\n" + _shown(compat(STATUS_KIND)) + "One that failed:\n\n" + _shown(compat("failed"))
    status = members(compat(STATUS_KIND), compat("failed"), leave=("status",))
    text += status + "### Incoming\n\nA picture:\n\n" + _shown(compat("message.received"))
    text += "A pressed button:\n\n" + _shown(compat("postback.received"))
    incoming = (compat("message.received"), compat("postback.received"), compat("place"))
    text += members(*incoming, leave=("from", "message"))
    text += "## The standard dialect\n\nOne envelope for every kind:\n\n" + members(
        {"type": "", "timestamp": "", "data": {}}
    )
    text += table(("kind", "when"), ((f"[`{kind}`](#{kind.replace('.', '')})", KINDS_SAID[kind]) for kind in KINDS))
    seen = {path for one in incoming for path, _ in _members(one)} | {"from", "message"}
    for kind in KINDS:
        text += f"### {kind}\n\n" + _shown(standard(kind))
        parts = (
            (standard(kind)["data"], standard("failed")["data"]) if kind == STATUS_KIND else (standard(kind)["data"],)
        )
        new = {path for one in parts for path, _ in _members(one)} - seen
        if kind == STATUS_KIND:
            text += members(*parts)
        elif new - {"reaction"}:
            text += members(*parts, leave=seen | {"reaction"})
        seen |= new
    left = set(MEMBERS) - described
    if left:
        raise LookupError(f"described, and in no example: {sorted(left)}")
    return text


def _shown(told: JsonObject) -> str:
    return "```json\n" + json.dumps(told, ensure_ascii=False, indent=1) + "\n```\n\n"


def _members(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield each member's path and the name of its type, members of members too; of a list those of its items."""
    for name, one in value.items():
        path = before + name
        yield path, _TYPES[type(one)]
        inner, at = (one[0], f"{path}[].") if isinstance(one, list) and one else (one, f"{path}.")
        if isinstance(inner, dict):
            yield from _members(inner, at)


_TYPES: Final = {
    str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "list", type(None): "null",
}  # fmt: skip


PAGES: Final[dict[str, Callable[[], str]]] = {
    "errors.md": errors,
    "platform-errors.md": platform_errors,
    "channels.md": channels,
    "callbacks.md": callbacks,
}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of the pages in *folder* that are not what the code says now."""
    found = []
    for name, make in PAGES.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != make().rstrip("\n") + "\n":
            found.append(name)
    return found


def main() -> int:
    """Write the stale pages, or only name them."""
    names = stale()
    for name in names:
        print(name)
        if "--check" not in sys.argv:
            (FOLDER / name).write_text(PAGES[name]().rstrip("\n") + "\n", "utf-8")
    return 1 if names and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
