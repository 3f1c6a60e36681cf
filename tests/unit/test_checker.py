"""The checker of ``kurir bench``: sound books pass, and each invariant is broken once and found, so it can fail."""

import json
from dataclasses import replace

import pytest

from kurir.bench import faults, ledgers
from kurir.bench.checker import ANSWER_LOST, KILL, Evidence, check, held, table
from kurir.bench.ledgers import Change, Heard, Key, Posted, Row, Told, Tried, first_word, words

ADDRESSES = {"whatsapp": "628111", "telegram": "1001", "line": "U1", "messenger": "2001"}
SENT = (Change(0, 1),)


def post(key: Key, channel: str, at: float, *statuses: int, priority: str = "") -> Posted:
    """A message that was posted at *at* and heard *statuses*, a tenth of a second apart."""
    heard = [
        Heard(
            at + number / 10, at + number / 10 + 0.05, status, f"tid-{key.lane}-{key.serial}" if status == 200 else ""
        )
        for number, status in enumerate(statuses)
    ]
    return Posted(key, channel, ADDRESSES[channel], f"id-{key.lane}-{key.serial}", priority, heard)


def row(n: int, key: Key, channel: str, at: float, *, word: int = 0, **more: object) -> Row:
    facts = {"accepted": True, "text": f"{key.lane}-{key.serial}.{word} and more", **more}
    return Row(n=n, at=at, channel=channel, address=ADDRESSES[channel], **facts)


def told(key: Key, status: int = 1, **more: object) -> Told:
    return Told(f"tid-{key.lane}-{key.serial}", status, **{"history": (Change(0, status),) if status else (), **more})


WA1, WA2 = Key("L1", 1), Key("L1", 2)
TG1, TG2 = Key("L2", 1), Key("L2", 2)
LINE1 = Key("L3", 1)
FB1 = Key("L4", 1)


def sound() -> Evidence:
    """A run with one kill at 5.0: a double that is explained and reported, a failure with its reason, a repeat on LINE."""
    posted = [
        post(WA1, "whatsapp", 1.0, 200),
        post(WA2, "whatsapp", 2.0, 200),
        post(TG1, "telegram", 4.9, 200),
        post(TG2, "telegram", 5.2, 0, 503, 200),
        post(LINE1, "line", 4.0, 200),
        post(FB1, "messenger", 6.0, 200),
    ]
    platform = [
        row(1, WA1, "whatsapp", 1.2),
        row(2, WA1, "whatsapp", 1.3, word=300),
        row(3, WA2, "whatsapp", 2.5),
        row(4, LINE1, "line", 4.2, fault="timeout_after", status=0),
        row(5, TG1, "telegram", 5.0),
        row(6, TG1, "telegram", 7.0),
        row(7, LINE1, "line", 7.1, accepted=False, repeat=True, status=409),
        row(8, TG2, "telegram", 7.2),
        row(9, FB1, "messenger", 7.3, accepted=False, fault="errors", status=500),
    ]
    messages = [
        told(WA1, 3, parts=2, history=(Change(0, 1), Change(1, 2), Change(2, 3))),
        told(WA2, 0, reason="awaiting_receipt"),
        told(TG1, 1, attempts=(Tried(1, "unknown", "no_answer"), Tried(1, "sent", "maybe_duplicate"))),
        told(TG2),
        told(LINE1, attempts=(Tried(1, "unknown", "no_answer"), Tried(1, "sent"))),
        told(FB1, -3, error="attempts_exhausted"),
    ]
    return Evidence(posted, platform, {one.tid: one for one in messages}, kills=(5.0,), in_flight=4, grace=1.0)


def broken(evidence: Evidence) -> set[str]:
    return {verdict.name for verdict in check(evidence) if not verdict.holds}


def change(evidence: Evidence, key: Key, **more: object) -> Evidence:
    """The same run, with other words of the gateway about one message."""
    tid = f"tid-{key.lane}-{key.serial}"
    return replace(evidence, messages={**evidence.messages, tid: replace(evidence.messages[tid], **more)})


def without(evidence: Evidence, *numbers: int) -> Evidence:
    return replace(evidence, platform=[one for one in evidence.platform if one.n not in numbers])


def with_row(evidence: Evidence, added: Row) -> Evidence:
    return replace(evidence, platform=[*evidence.platform, added])


def with_post(evidence: Evidence, key: Key, changed: Posted) -> Evidence:
    return replace(evidence, posted=[changed if one.key == key else one for one in evidence.posted])


def test_sound_books_pass():
    assert broken(sound()) == set()
    assert held(check(sound()))


def waiting(at: float) -> Evidence:
    """A run in which a wait of two seconds is named at 7.4, and another request comes at *at*."""
    named = row(10, FB1, "messenger", 7.4, accepted=False, status=429, fault="throttle", wait=2.0)
    again = row(11, FB1, "messenger", at, accepted=False, status=429, fault="throttle", wait=9.4 - at, early=True)
    return with_row(with_row(sound(), named), again)


LOST = "nothing acknowledged is lost"
HALF = "nothing is half taken"
ANSWERS = "every answer is 200, 429 or 503, and one id has one tid"
LINE_DOUBLE = "nothing is doubled where the platform has a key"
UNEXPLAINED = "elsewhere each double is explained"
UNREPORTED = "each double is reported"
ORDER = "order is kept in every lane"
ENDED = "everything ended"
FORWARD = "statuses only go forward"
TRUE = "statuses are true"
EARLY = "no request before a named wait is over"
STRANGERS = "nothing arrives that nobody posted"


CASES = {
    "an acknowledged message that never arrived and still waits": (
        lambda: change(without(sound(), 8), TG2, status=0, reason="awaiting_receipt", history=()),
        {LOST},
    ),
    "an acknowledged message that the gateway does not know": (
        lambda: replace(sound(), messages={key: one for key, one in sound().messages.items() if key != "tid-L2-2"}),
        {LOST},
    ),
    "a part of a message that never arrived": (lambda: without(sound(), 2), {LOST, TRUE}),
    "an end without a reason": (lambda: change(sound(), FB1, error=""), {LOST}),
    "said to be sent, and never arrived": (lambda: without(sound(), 8), {LOST, TRUE}),
    "refused with 503 every time, and arrived": (
        lambda: with_post(sound(), TG2, post(TG2, "telegram", 5.2, 503, 503)),
        {HALF},
    ),
    "an answer that is no answer": (lambda: with_post(sound(), TG2, post(TG2, "telegram", 5.2, 500, 200)), {ANSWERS}),
    "two tids for one id": (
        lambda: with_post(
            sound(),
            TG2,
            replace(
                post(TG2, "telegram", 5.2, 200),
                heard=[Heard(5.2, 5.3, 200, "tid-L2-2"), Heard(5.4, 5.5, 200, "another")],
            ),
        ),
        {ANSWERS},
    ),
    "doubled on LINE": (lambda: with_row(sound(), row(10, LINE1, "line", 8.0)), {LINE_DOUBLE}),
    "doubled far from any kill": (lambda: replace(sound(), kills=(20.0,)), {UNEXPLAINED}),
    "more doubled by a kill than were in flight": (lambda: replace(sound(), in_flight=0), {UNEXPLAINED}),
    "doubled after a fault that lost no answer": (
        lambda: with_row(
            change(sound(), WA2, attempts=(Tried(1, "unknown"),)), row(10, WA2, "whatsapp", 8.0, fault="errors")
        ),
        {UNEXPLAINED},
    ),
    "doubled, and nobody says so": (lambda: change(sound(), TG1, attempts=(Tried(1, "sent"),)), {UNREPORTED}),
    "a later message of the lane arrived first": (
        lambda: replace(
            sound(),
            platform=[
                replace(one, n={1: 3, 2: 4, 3: 1}.get(one.n, one.n + 1)) for one in sound().platform if one.n != 3
            ]
            + [row(1, WA2, "whatsapp", 0.9)],
        ),
        {ORDER},
    ),
    "parts in another order": (
        lambda: replace(sound(), platform=[replace(one, n={1: 2, 2: 1}.get(one.n, one.n)) for one in sound().platform]),
        {ORDER},
    ),
    "still queued at the end": (
        lambda: change(sound(), FB1, status=0, reason="queued", error="", history=()),
        {ENDED},
    ),
    "a status that goes back": (
        lambda: change(sound(), WA1, status=2, history=(Change(0, 3), Change(3, 2))),
        {FORWARD},
    ),
    "a history that does not end where the message stands": (lambda: change(sound(), WA1, status=2), {FORWARD}),
    "a history with a gap": (lambda: change(sound(), TG2, history=(Change(-3, 1),)), {FORWARD}),
    "said to have failed for certain, and arrived": (
        lambda: change(sound(), TG2, status=-3, error="attempts_exhausted", history=(Change(0, -3),)),
        {TRUE},
    ),
    "a request before a named wait is over": (lambda: waiting(8.5), {EARLY}),
    "a request before a wait is over that nobody saw named": (
        lambda: with_row(sound(), row(10, FB1, "messenger", 7.4, accepted=False, status=400, early=True)),
        {EARLY},
    ),
    "a text that nobody posted": (lambda: with_row(sound(), row(10, Key("L9", 1), "line", 8.0)), {STRANGERS}),
    "a text without a name": (lambda: with_row(sound(), row(10, WA1, "whatsapp", 8.0, text="hello")), {STRANGERS}),
    "the right text to somebody else": (
        lambda: with_row(sound(), replace(row(10, WA2, "whatsapp", 8.0), address="628999")),
        {STRANGERS},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_invariant_can_be_broken(case):
    evidence, expected = case
    assert broken(evidence()) == expected


def test_every_invariant_is_broken_by_some_case():
    checked = {verdict.name for verdict in check(sound()) if verdict.holds is not None}
    assert set().union(*(expected for _, expected in CASES.values())) == checked


def test_a_violation_is_shown_with_its_message_and_the_rest_is_counted():
    evidence = sound()
    many = [row(100 + number, Key("L9", number), "line", 8.0) for number in range(20)]
    verdict = next(
        one for one in check(replace(evidence, platform=[*evidence.platform, *many])) if one.name == STRANGERS
    )
    assert (verdict.broken, len(verdict.examples)) == (20, 5)
    assert "BROKEN" in str(verdict)


# --- what is allowed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", sorted(ANSWER_LOST))
def test_a_lost_answer_explains_a_double(fault):
    evidence = change(sound(), WA2, status=1, reason="", history=SENT, attempts=(Tried(1, "sent", "maybe_duplicate"),))
    rows = [replace(one, fault=fault) if one.n == 3 else one for one in evidence.platform]
    assert broken(replace(evidence, platform=[*rows, row(10, WA2, "whatsapp", 8.0)])) == set()


def test_what_nobody_heard_of_may_have_arrived():
    assert broken(with_post(sound(), TG2, post(TG2, "telegram", 5.2, 503, 0))) == set()


def test_what_was_refused_and_did_not_arrive_is_no_violation():
    assert broken(without(with_post(sound(), TG2, post(TG2, "telegram", 5.2, 503)), 8)) == set()


def test_a_request_may_have_left_before_the_wait_was_heard():
    assert broken(waiting(7.8)) == set()


def test_a_wait_may_be_lost_with_the_process_that_had_just_heard_it():
    assert broken(replace(waiting(8.5), kills=(5.0, 7.6))) == set()
    assert broken(replace(waiting(8.5), kills=(5.0, 8.2))) == {EARLY}


def test_no_order_is_promised_before_the_first_one_is_acknowledged():
    swapped = [replace(one, n={5: 8, 6: 9, 8: 5}.get(one.n, one.n)) for one in sound().platform]
    late = post(TG1, "telegram", 5.15, 200)
    early = post(TG2, "telegram", 5.0, 200)
    evidence = with_post(with_post(replace(sound(), platform=swapped), TG1, late), TG2, early)
    assert ORDER not in broken(evidence)


def test_a_priority_may_overtake():
    evidence = with_post(sound(), WA2, post(WA2, "whatsapp", 2.0, 200, priority="high"))
    moved = [replace(one, n={1: 2, 2: 3, 3: 1}.get(one.n, one.n)) for one in evidence.platform]
    assert broken(replace(evidence, platform=moved)) == set()


def test_a_failure_that_says_it_does_not_know_may_have_arrived():
    assert broken(change(sound(), TG2, status=-3, error="outcome_unknown", history=(Change(0, -3),))) == set()


def test_a_failure_may_be_corrected_by_proof():
    assert broken(change(sound(), WA1, history=(Change(0, -3), Change(-3, 1), Change(1, 3)))) == set()


# --- the table -------------------------------------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_fault_for_the_kills_and_for_all():
    lines = {line.fault: line for line in table(sound())}
    assert set(lines) == {"timeout_after", "errors", KILL, "all"}
    assert (lines[KILL].struck, lines[KILL].doubled, lines[KILL].unknown) == (1, 1, 2)
    assert (lines["all"].accepted, lines["all"].lost, lines["all"].doubled, lines["all"].in_order) == (6, 0, 1, True)
    assert lines["timeout_after"].doubled == 0


def test_the_table_shows_what_is_lost_and_out_of_order():
    lost = {line.fault: line for line in table(without(sound(), 8))}["all"]
    assert lost.lost == 1
    swapped = [replace(one, n={1: 2, 2: 1}.get(one.n, one.n)) for one in sound().platform]
    assert not table(replace(sound(), platform=swapped))[-1].in_order


# --- what the ledgers hold -------------------------------------------------------------------------------------------------


def test_words_name_the_message_and_their_place():
    assert words(Key("L7", 3), 3) == "L7-3.0 L7-3.1 L7-3.2"
    assert first_word("L7-3.12 L7-3.13") == (Key("L7", 3), 12)
    assert first_word("3.12 L7-3.13 L7-3.14") == (Key("L7", 3), 13), "a word that a limit has cut is not read"
    assert first_word("Hello") is None


def test_the_sandboxs_file_is_read_by_number_without_its_unfinished_line(tmp_path):
    facts = {
        "at": 1.0,
        "channel": "line",
        "address": "U1",
        "accepted": True,
        "status": 200,
        "fault": "",
        "early": False,
    }
    whole = [{"n": n, **facts, "repeat": False, "text": "L1-1.0", "key": "", "ids": []} for n in (2, 1)]
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in whole) + '{"n": 3, "at')
    assert [one.n for one in ledgers.rows(path)] == [1, 2]
    assert ledgers.rows(tmp_path / "none") == []


def test_a_message_is_read_from_the_gateways_answer():
    data = {
        "tid": "t",
        "status": -3,
        "reason": None,
        "error": {"code": "outcome_unknown", "detail": "", "provider_code": ""},
        "parts": [{}, {}],
        "attempts": [{"part": 1, "outcome": "sent", "code": "maybe_duplicate"}],
        "history": [{"previous": 0, "status": -3, "error": {"code": "outcome_unknown"}}],
    }
    read = Told.read(data)
    assert (read.parts, read.error, read.unknown) == (2, "outcome_unknown", True)
    assert read.history == (Change(0, -3, "outcome_unknown"),)


def test_profiles_have_names_or_are_json():
    assert faults.profile("shaky")["latency"] == 0.005
    assert faults.profile('{"errors": 0.5}') == {"errors": 0.5}
    for wrong in ("", "calm weather", "[]"):
        with pytest.raises(ValueError, match="is no profile"):
            faults.profile(wrong)
    assert faults.longest({"latency": 1.0, "jitter": 2.0}) == 3.0
    assert faults.longest({"timeout_after": 0.1}) == 60.0
