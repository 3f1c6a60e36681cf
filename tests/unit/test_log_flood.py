"""What is wrong with everything at once is logged once a second, and counted."""

import structlog

from kurir.log_flood import FREE, FloodGate


def told(lines):
    """Put (moment, event) through a gate; return what came of each: None left out, else its ``left_out``."""
    now = [0.0]
    gate = FloodGate(lambda: now[0])
    found = []
    for moment, word in lines:
        now[0] = moment
        try:
            found.append(gate(None, "error", {"event": word}).get("left_out", 0))
        except structlog.DropEvent:
            found.append(None)
    return found


def test_few_lines_are_all_told():
    assert told([(number * 0.34, "seldom") for number in range(20)]) == [0] * 20


def test_of_a_flood_each_event_is_told_once_a_second_and_then_counted():
    flood = [(0.1 + number / 1000, "away") for number in range(100)]
    found = told([*flood, (0.5, "other"), (0.6, "other"), (1.2, "away"), (1.3, "other")])
    assert found[:100] == [0] * FREE + [None] * (100 - FREE)
    assert found[100:] == [0, None, 100 - FREE, 1]


def test_what_was_left_out_is_told_once():
    found = told([*[(0.0, "away")] * 10, (1.0, "away"), (2.0, "away")])
    assert found[-2:] == [10 - FREE, 0]


def test_what_becomes_of_each_account_and_lease_is_told():
    assert told([(0.0, "lease_lost"), (0.0, "account_parked")] * 50) == [0] * 100
