"""What ``/metrics`` tells, as Prometheus reads it. The table :data:`FAMILIES` is all there is; what fills it is a value.

The text is Prometheus' own format (its documentation, "Exposition formats", version 0.0.4). No library writes it: what is
needed of one is forty lines. Ages and depths are looked up when they are asked for; what the process did is counted as it
happens (:mod:`kurir.counting`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from kurir import counting
from kurir.counting import Count, Labels, Spread

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """What Prometheus may do with the numbers."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it is, what its labels are called; ``of`` says whose it is.

    ``installation``: every node tells the same, so take the maximum over nodes. ``process``: of the one that answers.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    of: str = "process"


_ALL: Final = "installation"
_ACCOUNT: Final = ("account", "channel")
_ENDPOINT: Final = ("endpoint", "client")

FAMILIES: Final = (
    Family(
        "kurir_queue_oldest_seconds",
        Kind.GAUGE,
        "How long the oldest message waits that is due and not sent; 0 where none is.",
        _ACCOUNT,
        _ALL,
    ),
    Family("kurir_queue_messages", Kind.GAUGE, "Messages that delivery has work with.", _ACCOUNT, _ALL),
    Family(
        "kurir_callbacks_oldest_seconds",
        Kind.GAUGE,
        "How long the oldest callback waits that is owed; 0 where none is.",
        _ENDPOINT,
        _ALL,
    ),
    Family("kurir_callbacks_owed", Kind.GAUGE, "Callbacks that are owed.", _ENDPOINT, _ALL),
    Family(
        "kurir_callbacks_failed",
        Kind.GAUGE,
        "Callbacks that were given up, and are kept for a replay until retention.",
        _ENDPOINT,
        _ALL,
    ),
    Family(
        "kurir_endpoint_standing",
        Kind.GAUGE,
        "1 for how the endpoint stands (working, failing, paused), 0 for how it does not.",
        (*_ENDPOINT, "standing"),
        _ALL,
    ),
    Family("kurir_nodes", Kind.GAUGE, "Processes that work on the database.", (), _ALL),
    Family("kurir_ready", Kind.GAUGE, "1 while messages are taken and sent, as /readyz says."),
    Family("kurir_store_ok", Kind.GAUGE, "1 while nothing is known against the next commit."),
    Family("kurir_store_read", Kind.GAUGE, "1 where the store told the numbers of this answer that are its own."),
    Family(
        "kurir_account_standing",
        Kind.GAUGE,
        "1 for how the account stands (working, throttled, out, parked, paused), 0 for how it does not; told by its owner.",
        (*_ACCOUNT, "standing"),
    ),
    Family("kurir_account_in_flight", Kind.GAUGE, "Messages of the account that are being sent.", _ACCOUNT),
    Family("kurir_account_window", Kind.GAUGE, "How many of them may be at present.", _ACCOUNT),
    Family("kurir_account_rate_share", Kind.GAUGE, "The share of its own rate at which the account sends.", _ACCOUNT),
    Family(
        "kurir_webhook_last_timestamp_seconds",
        Kind.GAUGE,
        "When this process last took a genuine webhook of the account; absent where it took none since its start.",
        _ACCOUNT,
    ),
    Family("kurir_disk_free_bytes", Kind.GAUGE, "Room on the disk of the folder of the data."),
    Family("kurir_disk_size_bytes", Kind.GAUGE, "The size of that disk."),
    Family("kurir_info", Kind.GAUGE, "1; its labels say what runs.", ("version", "engine", "role")),
    Family("kurir_sends_total", Kind.COUNTER, "Sends: accepted, replayed, conflict.", ("channel", "result")),
    Family(
        "kurir_requests_refused_total",
        Kind.COUNTER,
        "Requests that were answered with an error, by its code.",
        ("code",),
    ),
    Family(
        "kurir_calls_total",
        Kind.COUNTER,
        "Calls that send messages: sent, retry, rejected, unknown, account_down.",
        (*_ACCOUNT, "outcome"),
    ),
    Family("kurir_call_seconds", Kind.HISTOGRAM, "How long those calls took.", ("channel",)),
    Family(
        "kurir_webhooks_total",
        Kind.COUNTER,
        "Webhooks of known accounts: taken, rejected (no genuine signature), not_stored.",
        ("channel", "result"),
    ),
    Family(
        "kurir_callback_tries_total",
        Kind.COUNTER,
        "Tries of callbacks: taken, or what failed: the endpoint, the event, gone.",
        ("endpoint", "result"),
    ),
    Family("kurir_commits_total", Kind.COUNTER, "Commits of many writes each: done, failed.", ("result",)),
    Family("kurir_commit_seconds", Kind.HISTOGRAM, "How long commits took, with all that was written in them."),
    Family(
        "kurir_log_lines_total",
        Kind.COUNTER,
        "Events of the log that warn, or worse, as far as --log-level lets them through; those that it left out too.",
        ("level", "event"),
    ),
    Family("process_resident_memory_bytes", Kind.GAUGE, "Memory of the process (Linux)."),
    Family("process_open_fds", Kind.GAUGE, "Open files and connections of the process (Linux)."),
    Family("process_cpu_seconds_total", Kind.COUNTER, "Processor time of the process."),
    Family("process_start_time_seconds", Kind.GAUGE, "When the process started, as Unix time."),
)

#: The values of one family by their labels.
Values: TypeAlias = Iterable[tuple[Labels, float]]


#: What may be counted although nothing was yet, by the names of the families.
Expected: TypeAlias = Mapping[str, Iterable[Labels]]
_COMMITS: Final = (("done",), ("failed",))


def counted(expected: Expected | None = None) -> dict[str, Values]:
    """Return what this process counted, by the names of the families; 0 of what is *expected* and did not happen yet.

    Prometheus sees a number grow from one look to the next. One that begins to be there with its first failure did not grow
    (its documentation, "Instrumentation", "Avoid missing metrics"), so a single failed commit would raise no alert.
    """
    counts: dict[str, Count] = {
        "kurir_sends_total": counting.SENDS,
        "kurir_requests_refused_total": counting.REFUSED,
        "kurir_webhooks_total": counting.WEBHOOKS,
        "kurir_callback_tries_total": counting.CALLBACKS,
        "kurir_commits_total": counting.COMMITS,
        "kurir_log_lines_total": counting.LOG_LINES,
        "kurir_calls_total": counting.CALLS,
    }
    wanted = {"kurir_commits_total": _COMMITS, **(expected or {})}
    return {
        name: (dict.fromkeys(wanted.get(name, ()), 0) | dict(count.items())).items() for name, count in counts.items()
    }


#: The families that are histograms.
SPREADS: Final[Mapping[str, Spread]] = {
    "kurir_call_seconds": counting.CALL_SECONDS,
    "kurir_commit_seconds": counting.COMMIT_SECONDS,
}


def one_of(labels: Labels, words: Sequence[str], standing: str) -> list[tuple[Labels, float]]:
    """Return 1 for the word that *standing* is, 0 for the others of *words*."""
    return [((*labels, word), float(word == standing)) for word in words]


def text(found: Mapping[str, Values], always: dict[str, str] | None = None) -> str:
    """Return the answer of ``/metrics``: *found* by the names of families, and the histograms.

    *always* are labels that everything carries that is of the process. A family without a value is told by its help alone.
    """
    lines: list[str] = []
    for family in FAMILIES:
        lines += (f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}")
        more = always or {} if family.of == "process" else {}
        if family.kind is Kind.HISTOGRAM:
            lines += _spread(family, SPREADS[family.name], more)
            continue
        for values, number in sorted(found.get(family.name, ())):
            lines.append(_line(family.name, dict(zip(family.labels, values, strict=True)) | more, number))
    return "\n".join(lines) + "\n"


def _spread(family: Family, spread: Spread, more: dict[str, str]) -> Iterable[str]:
    for values, found in sorted(spread.items()):
        labels = dict(zip(family.labels, values, strict=True)) | more
        total = 0.0
        for bound, number in zip((*map(str, spread.bounds), "+Inf"), found[:-1], strict=True):
            total += number
            yield _line(f"{family.name}_bucket", labels | {"le": bound}, total)
        yield _line(f"{family.name}_sum", labels, found[-1])
        yield _line(f"{family.name}_count", labels, total)


def _line(name: str, labels: Mapping[str, str], number: float) -> str:
    shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{name}{{{shown}}} {_number(number)}" if shown else f"{name} {_number(number)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
