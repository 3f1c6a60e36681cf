"""What shows that a platform answers, when it is looked at, and what each channel asks."""

from itertools import count
from random import Random

import pytest

from kurir import channels
from kurir.channels.base import Answer, NoAnswer, Stage
from kurir.delivery.breaker import THRESHOLD, Breaker, State
from kurir.delivery.life import Life, shows_life
from kurir.store.base import ErrorRecord
from support.delivering import open_account, records

PAGE = ErrorRecord("ambiguous_error", "a page came", "503")


@pytest.mark.parametrize(
    ("answer", "alive"),
    [
        (Answer(200, {}, b'{"ok":true}'), True),
        (Answer(401, {}, b'{"ok":false}'), True),
        (Answer(429, {}, b"{}"), True),
        (Answer(500, {}, b'{"ok":false}'), False),
        (Answer(503, {}, b"<html></html>"), False),
        (Answer(200, {}, b"<html></html>"), False),
        (Answer(200, {}, b'{"ok":tr'), False),
        (Answer(200, {}, b"[]"), False),
        (NoAnswer(Stage.AFTER_SEND, "cut"), False),
        (NoAnswer(Stage.BEFORE_SEND, "refused"), False),
    ],
)
def test_any_object_of_the_platforms_below_500_shows_life(answer, alive):
    assert shows_life(answer) is alive


def test_looks_come_after_one_two_four_seconds_and_at_last_once_a_minute():
    life, now = Life(Random(7), count(1)), 100.0
    waits = []
    for _ in range(9):
        life.looked(now, alive=False)
        waits.append(life.due_at - now)
        now = life.due_at
    for wait, whole in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert whole / 2 <= wait <= whole


def test_an_answer_begins_the_looks_anew():
    life = Life(Random(7), count(1))
    for _ in range(9):
        life.looked(100.0, alive=False)
    life.heard(101.0)
    assert (life.last_sign, life.due_at) == (1, 102.0)
    life.looked(110.0, alive=True)
    assert life.last_sign == 2
    assert 0.5 <= life.due_at - 110.0 <= 1.0


@pytest.mark.parametrize(
    ("channel", "path", "authorized"),
    [
        ("telegram", "/bot42:telegram-token/getMe", None),
        ("line", "/v2/bot/info", "Bearer line-token-0123"),
        ("whatsapp", "/v26.0/10650001?fields=id", "Bearer whatsapp-token"),
        ("messenger", "/v26.0/20650001?fields=id", "Bearer messenger-token"),
    ],
)
def test_a_look_reads_what_the_account_is_and_sends_nothing(channel, path, authorized):
    record = next(one for one in records("https://api.example").accounts if one.channel == channel)
    call = channels.installed()[channel].look(open_account(record))
    assert (call.part, call.method, call.url, call.json) == (0, "GET", "https://api.example" + path, {})
    assert dict(call.headers).get("Authorization") == authorized


# --- the breaker ------------------------------------------------------------------------------------------------------


def opened(*, unreadable=True):
    breaker = Breaker(20, Random(7))
    for number in range(THRESHOLD):
        breaker.failed(100.0 + number, 99.0, f"100{number % 2}", PAGE, unreadable=unreadable)
    return breaker


def test_after_unknown_outcomes_a_message_is_the_probe_only_when_a_look_showed_life():
    breaker = opened()
    assert breaker.blind
    due = breaker.probe_at
    assert breaker.state(due + 1) is State.OPEN
    breaker.looked(due + 1, alive=False)
    assert breaker.probe_at > due + 1
    now = breaker.probe_at
    breaker.looked(now, alive=True)
    assert (breaker.blind, breaker.state(now)) == (False, State.HALF_OPEN)
    breaker.failed(now + 2, now + 1, "1000", PAGE, unreadable=True)
    assert breaker.blind, "each message is a copy, so that each needs its look"
    assert breaker.worked(now + 3, now + 2.5)
    assert not breaker.blind


def test_after_refusals_that_are_known_to_have_sent_nothing_a_message_is_the_probe():
    breaker = opened(unreadable=False)
    assert not breaker.blind
    assert breaker.state(breaker.probe_at) is State.HALF_OPEN


def test_a_stopped_account_is_probed_by_messages():
    breaker = opened()
    breaker.trip(200.0, ErrorRecord("account_credentials", "the token is not valid", "401"))
    assert not breaker.blind
    assert breaker.state(breaker.probe_at) is State.HALF_OPEN
