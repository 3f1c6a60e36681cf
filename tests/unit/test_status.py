"""The one rule by which a status moves, as properties over every order in which news can come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.domain.status import Status, advance, of_parts

ALL = list(Status)
FAILURES = [Status.FAILED, Status.UNDELIVERED, Status.UNSENT]
FORWARD = [Status.PENDING, Status.SENT, Status.DELIVERED, Status.READ]
#: Every step of the contract, with skipped steps; anything else leaves the status as it is.
STEPS = {
    *((one, other) for one, other in itertools.combinations(FORWARD, 2)),
    *((Status.PENDING, failure) for failure in FAILURES),
    (Status.SENT, Status.UNDELIVERED),
    (Status.SENT, Status.FAILED),
    *((failure, late) for failure in (Status.UNDELIVERED, Status.FAILED) for late in (Status.DELIVERED, Status.READ)),
}
news = st.sampled_from(ALL)


@pytest.mark.parametrize("current", ALL)
@pytest.mark.parametrize("new", ALL)
def test_a_status_takes_the_steps_of_the_contract_and_no_other(current, new):
    expected = new if (current, new) in STEPS else current
    assert advance(current, new) == expected


@pytest.mark.parametrize("current", ALL)
@pytest.mark.parametrize("new", ALL)
def test_proof_of_sending_corrects_an_unknown_outcome_and_changes_nothing_else(current, new):
    plain = advance(current, new)
    expected = Status.SENT if (current, new) == (Status.FAILED, Status.SENT) else plain
    assert advance(current, new, proof_of_sending=True) == expected


@given(news, news)
def test_the_same_news_twice_is_the_same_as_once(current, new):
    once = advance(current, new)
    assert advance(once, new) == once


@given(st.lists(st.sampled_from([Status.SENT, Status.DELIVERED, Status.READ]), min_size=1))
def test_receipts_in_any_order_and_number_end_at_the_highest(receipts):
    status = Status.PENDING
    for receipt in receipts:
        status = advance(status, receipt)
    assert status == max(receipts)


@given(st.lists(news))
def test_a_status_never_goes_back(received):
    status = Status.PENDING
    for new in received:
        later = advance(status, new)
        if status >= Status.PENDING and later >= Status.PENDING:
            assert later >= status
        if status in (Status.DELIVERED, Status.READ):
            assert later >= status
        if status is Status.UNSENT:
            assert later is Status.UNSENT
        status = later


@given(st.lists(news), st.data())
def test_a_delivered_message_is_delivered_whatever_came_before_and_after(received, data):
    """A failure that is no «unsent» never outlives a receipt of delivery, whatever the order."""
    received = [new for new in received if new is not Status.UNSENT]
    place = data.draw(st.integers(0, len(received)))
    status = Status.PENDING
    for new in (*received[:place], Status.DELIVERED, *received[place:]):
        status = advance(status, new)
    assert status >= Status.DELIVERED


@given(st.lists(news, max_size=6), st.integers(0, 3))
def test_a_message_has_the_least_status_of_its_parts_and_pending_while_one_has_none(parts, missing):
    total = len(parts) + missing
    status = of_parts(parts, total=total)
    if any(part < Status.PENDING for part in parts):
        assert status == min(parts)
    elif missing or not parts:
        assert status is Status.PENDING
    else:
        assert status == min(parts)


@given(st.lists(news, min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_parts_does_not_matter(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert of_parts(parts, total=len(parts)) == of_parts(shuffled, total=len(parts))


def test_the_numbers_are_the_published_ones():
    published = {"FAILED": -3, "UNDELIVERED": -2, "UNSENT": -1, "PENDING": 0, "SENT": 1, "DELIVERED": 2, "READ": 3}
    assert {status.name: int(status) for status in Status} == published
