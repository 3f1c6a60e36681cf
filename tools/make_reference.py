"""Writes the pages of the reference that are tables of the code: errors, platform errors, channels.

``python tools/make_reference.py`` writes them, ``--check`` only says which are stale (exit code 1). A test does the same.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from kurir.channels import BUILT_IN, line_errors, messenger_errors, telegram_errors, whatsapp_errors
from kurir.channels.base import Channel
from kurir.configuration.values import show_rate
from kurir.domain.errors import ERRORS, ErrorEntry
from kurir.domain.message import MessageType
from kurir.domain.status import Status

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
    )


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
        + "## What the platform tells\n\n"
        + "The last status is the highest that a message can reach. *Repeat is safe*: the platform drops a second copy.\n\n"
        + table(
            ("channel", "receipts of", "last status", "repeat is safe"),
            ((name, _receipts(BUILT_IN[name]), _last(BUILT_IN[name]), _yes(BUILT_IN[name])) for name in names),
        )
        + "## Rates and concurrency\n\n"
        + "The defaults of `rate` and `concurrency` of an account ([configuration](configuration.md#accounts)). The\n"
        + "concurrency is kept. The rates are read and checked, but **not yet enforced**: a platform that is called too\n"
        + "often says so, the message shows `rate_limited`, and the gateway waits as long as the platform says.\n\n"
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


def _yes(channel: Channel) -> str:
    return "yes" if channel.CAPABILITIES.idempotent else "no"


def _limits(channel: Channel) -> str:
    rows = ((one.field, f"{one.maximum:,}", one.unit, one.beyond, one.source) for one in channel.LIMITS)
    return f"## Limits of {channel.NAME}\n\n" + table(("what", "maximum", "counted in", "beyond it", "source"), rows)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "errors.md": errors,
    "platform-errors.md": platform_errors,
    "channels.md": channels,
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
