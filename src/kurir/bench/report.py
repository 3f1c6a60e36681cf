"""A run in words: the table of faults, one line for each invariant, and the figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from kurir.bench.checker import FaultLine
from kurir.bench.scenario import Ending, Result, origin

_HEADS = ("fault", "runs", "accepted", "lost", "doubled", "reported unknown", "order kept")


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which *share* of the *ordered* values lie; 0 when there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def report(result: Result) -> str:
    """Return the whole report of a run."""
    return "\n".join(_lines(result))


def client_book(result: Result) -> str:
    """Return the client's ledger, a JSON line for each message, as the sandbox writes the platforms'."""
    return "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in result.evidence.posted)


def figures(result: Result) -> str:
    """Return the run in one line, as the scorecard shows it."""
    whole = result.lines[-1]
    kills = sum(one.how == "SIGKILL" for one in result.endings)
    terms = len(result.endings) - kills
    ended = " and ".join(f"{count} {name}" for count, name in ((kills, "SIGKILL"), (terms, "SIGTERM")) if count)
    return (
        f"{ended or 'no end'} at {result.plan.rate:g} messages/s, seed {result.plan.seed}: {whole.accepted:,} accepted, "
        f"{whole.lost} lost, {whole.doubled} doubled, {whole.unknown} reported unknown, order "
        f"{'kept' if whole.in_order else 'BROKEN'}{_starts(result.endings)}"
    )


def fault_table(lines: Sequence[FaultLine]) -> str:
    """Return the table: what became of the messages that each fault met."""
    rows = [
        (
            line.fault,
            f"{line.struck:,}",
            f"{line.accepted:,}",
            f"{line.lost:,}",
            f"{line.doubled:,}",
            f"{line.unknown:,}",
            "yes" if line.in_order else "NO",
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in (_HEADS, *rows)) for column in range(len(_HEADS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (_HEADS, *rows)
    )


def _lines(result: Result) -> Iterator[str]:
    plan = result.plan
    yield f"{origin()}"
    yield (
        f"seed {plan.seed}; {plan.rate:g} messages/s for {plan.seconds:g} s on {', '.join(plan.channels)}; "
        f"platforms' faults: {dict(plan.profile) or 'none'}"
    )
    for number, one in enumerate(result.endings, 1):
        yield f"  {_ending(number, one, result.began)}"
    yield ""
    yield fault_table(result.lines)
    yield ""
    yield from (str(verdict) for verdict in result.verdicts)
    yield ""
    yield from _speeds(result)


def _ending(number: int, one: Ending, began: float) -> str:
    when = f"{one.how} {number} at {one.at - began:.2f} s"
    if one.ready is None:
        return f"{when}, and again before it was ready"
    drained = f"ended after {one.took:.2f} s with {one.code}, " if one.how == "SIGTERM" else ""
    sent = "nothing sent before the next" if one.first_send is None else f"first send {one.first_send:.2f} s"
    return f"{when}: {drained}ready {one.ready:.2f} s, {sent} after the start"


def _speeds(result: Result) -> Iterator[str]:
    accept, delivery = result.accept_seconds, result.delivery_seconds
    for name, seconds in (("accept, request to 200", accept), ("200 to the platform's acceptance", delivery)):
        shown = ", ".join(f"p{share * 100:g} {percentile(seconds, share) * 1000:,.1f}" for share in (0.5, 0.95, 0.99))
        yield f"{name}: {shown} ms; the slowest {percentile(seconds, 1.0) * 1000:,.0f} ms"
    yield f"end to end: {result.rate:,.1f} parts/s taken by the platforms; settled {result.settled_after:.1f} s after the load"
    if result.memory:
        yield f"memory of the last process at its highest: {result.memory / 2**20:,.0f} MiB"


def _starts(endings: Sequence[Ending]) -> str:
    ready = [one.ready for one in endings if one.ready is not None]
    sends = [one.first_send for one in endings if one.first_send is not None]
    if not ready:
        return ""
    slowest = f"; ready {max(ready):.2f} s after a start at the slowest"
    return slowest + (f", first send after {max(sends):.2f} s" if sends else "")
