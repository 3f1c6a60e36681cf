"""Properties of every store: whatever comes in whatever order, statuses follow the rules and the books agree."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.domain.status import Status, advance
from kurir.store.base import ErrorRecord, PartFailed
from support.records import CLIENT, at, failed, mark, new_message, receipt, result, sent, waiting

PROPERTY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
POSITIVE = (Status.SENT, Status.DELIVERED, Status.READ)
NEGATIVE = (Status.UNDELIVERED, Status.FAILED)
HELD = PartFailed(Status.FAILED, ErrorRecord("outcome_unknown", "held"))


def _moves(record):
    """The statuses that a message went through, from the first."""
    return [Status.PENDING, *(event.status for event in record.history)]


def _check(record):
    """One event for each change, each beginning where the last one ended, and never back."""
    moves = _moves(record)
    assert [event.previous for event in record.history] == moves[:-1]
    assert record.status == moves[-1]
    for before, after in itertools.pairwise(moves):
        assert before != after
        forward = advance(before, after, proof_of_sending=True) == after
        corrected = before < Status.PENDING < after  # a part's failure was, and the least of all parts counts again
        assert forward or corrected


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(POSITIVE)), max_size=12),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
async def test_receipts_in_any_order_end_in_the_maximum(store, news, total, chance):
    """Early, late, doubled, by platform id or by reference: the message ends at the least of its parts' highest."""
    message = new_message()
    await store.accept(message)
    await store.mark(mark(message, total=total))
    steps = [("answer", part) for part in range(1, total + 1)]
    for part, status in news:
        if part <= total:
            reference = chance.choice(["", f"{message.tid}:{part}"])
            told = receipt(status, f"{message.tid}-{part}", reference=reference)
            at_place = chance.randrange(len(steps) + 1)
            steps.insert(at_place, ("receipt", told))
            if chance.random() < 0.3:
                steps.insert(chance.randrange(len(steps) + 1), ("receipt", told))
    for kind, what in steps:
        if kind == "receipt":
            await store.receive([what], at(3))
        else:
            following = mark(message, what + 1, total) if what < total else None
            await store.record(result(message, sent(f"{message.tid}-{what}"), what, next_mark=following))
    record = await store.message(CLIENT, message.tid)
    reached = [
        max([Status.SENT, *(status for number, status in news if number == part)]) for part in range(1, total + 1)
    ]
    assert record.status == min(reached)
    assert not record.queued
    assert [part.status for part in record.parts] == reached
    assert _moves(record) == sorted(set(_moves(record)))
    _check(record)


_STEPS = st.one_of(
    st.tuples(st.just("mark"), st.integers(1, 3)),
    st.tuples(st.just("answer"), st.integers(1, 3), st.sampled_from([Status.PENDING, Status.SENT])),
    st.tuples(st.just("wait"), st.integers(1, 3)),
    st.tuples(st.just("fail"), st.integers(1, 3), st.sampled_from([*NEGATIVE, "held"])),
    st.tuples(st.just("receipt"), st.integers(1, 3), st.sampled_from([*POSITIVE, *NEGATIVE]), st.booleans()),
    st.tuples(st.just("watermark"), st.integers(0, 12), st.sampled_from([Status.DELIVERED, Status.READ])),
    st.tuples(st.just("finish")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("no_receipts"), st.integers(0, 12)),
)


@PROPERTY
@given(st.lists(_STEPS, max_size=25), st.integers(1, 3))
async def test_whatever_happens_statuses_follow_the_rules(store, steps, total):
    """Steps that make sense and steps that do not, in any order: guards hold, and after each the books agree."""
    message = new_message()
    await store.accept(message)
    for number, (kind, *what) in enumerate(steps):
        await _take(store, message, total, number, kind, what)
        _check(await store.message(CLIENT, message.tid))
    assert await store.broken_invariants() == []


async def _take(store, message, total, number, kind, what):
    part = min(what[0], total) if what else 1
    now = at(number)
    if kind == "mark":
        await store.mark(mark(message, part, total, at=now))
    elif kind == "answer":
        await store.record(result(message, sent(f"{message.tid}-{part}", status=what[1]), part, at=now))
    elif kind == "wait":
        await store.record(result(message, waiting(), part, at=now))
    elif kind == "fail":
        verdict = HELD if what[1] == "held" else failed(what[1])
        await store.record(result(message, verdict, part, at=now))
    elif kind == "receipt":
        reference = f"{message.tid}:{part}" if what[2] else ""
        await store.receive([receipt(what[1], f"{message.tid}-{part}", reference=reference, at=now)], now)
    elif kind == "watermark":
        await store.receive([receipt(what[1], watermark=at(what[0]), address=message.lane, at=now)], now)
    elif kind == "expire":
        await store.expire(message.expires_at, 100)
    elif kind == "no_receipts":
        await store.no_receipts(at(what[0]), 100, now)
    else:
        await store.finish(message.tid, 1, Status.UNSENT, ErrorRecord("expired", "too late"), now)
