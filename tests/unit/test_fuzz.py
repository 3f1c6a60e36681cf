"""Bodies of webhooks and of sends, damaged at random, through all that a body passes: what is promised of any body holds.

Each file of a channel tests its own parser by what it knows of the platform. Here all four are fed the published cases,
damaged in one to three members or in some bytes (``support.junk``), and what they make of them goes on as far as the callback;
so do the bodies of sends, as far as the platform's calls. ``KURIR_TIER=N`` tries fifty times as many.
"""

import json
import os
from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kurir.callbacks import dialects
from kurir.channels import BUILT_IN
from kurir.channels.base import (
    AgentMessage,
    ContactNews,
    Deleted,
    Edited,
    Facts,
    Inbound,
    InboundMessage,
    Reaction,
    WebhookRequest,
    WebhookUnreadable,
)
from kurir.domain.account import Account
from kurir.domain.message import Message
from kurir.domain.problem import Problem
from kurir.intake import inbound_data, json_body, wire
from kurir.store.feed import EventRecord
from support import cases, junk
from support.bodies import TYPES, body, full
from support.delivering import SETTINGS

NIGHTLY: Final = os.environ.get("KURIR_TIER") == "N"
OF_EACH: Final = 10_000 if NIGHTLY else 200
pytestmark = pytest.mark.timeout(3600 if NIGHTLY else 120)
#: A body is a choice and a seed: what fails is shown as these two numbers, and comes again from them.
fuzzed = settings(max_examples=OF_EACH, deadline=None, suppress_health_check=list(HealthCheck), database=None)
SEEDS: Final = st.tuples(st.integers(0, 2**16), st.integers(0, 2**48))

ACCOUNTS: Final = {name: Account("acme", "acme", name, BUILT_IN[name].API_BASE, SETTINGS[name]) for name in SETTINGS}


def seeds(channel: str) -> list[bytes]:
    """Return the bodies of the published cases."""
    if channel == "telegram":
        return [json.dumps(case["update"]).encode() for case in cases.load(channel, "inbound")]
    return [case["raw_body"].encode() for case in cases.load(channel, "inbound")]


WEBHOOKS: Final = {channel: seeds(channel) for channel in BUILT_IN}


# --- webhooks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", list(BUILT_IN))
def test_of_a_damaged_webhook_come_sound_events_or_one_error(channel: str) -> None:
    found: Counter[str] = Counter()

    @fuzzed
    @given(SEEDS)
    def run(drawn: tuple[int, int]) -> None:
        which, seed = drawn
        raw = junk.spoilt(WEBHOOKS[channel][which % len(WEBHOOKS[channel])], Random(seed))
        found.update(check_webhook(channel, raw))

    run()
    assert found["unreadable"], "some are no JSON any more"
    assert len(found) > 1, "others are read, and damaged in places"


def check_webhook(channel: str, raw: bytes) -> list[str]:
    """Parse *raw* twice and pass on what comes of it. Return what that is."""
    request = WebhookRequest("POST", {}, {}, raw)
    try:
        events = BUILT_IN[channel].parse(ACCOUNTS[channel], request)
    except WebhookUnreadable as unreadable:
        str(unreadable).encode()
        return ["unreadable"]
    assert events == BUILT_IN[channel].parse(ACCOUNTS[channel], request), "a repeat is known by its ids"
    for event in events:
        event.event_id.encode()
        assert "\0" not in event.event_id
        for data in passed_on(event, channel):
            check_callback(channel, event, data)
    return [type(event).__name__ for event in events]


def passed_on(event: Inbound, channel: str) -> list[bytes]:
    """Return the data of every event that a client is told of *event*."""
    where: dict[str, Any] = {"channel": channel, "account_id": "acme"}
    match event:
        case InboundMessage():
            return [inbound_data.received_json(event, **where, number=one) for one in range(max(1, len(event.media)))]
        case Reaction():
            return [inbound_data.dump(inbound_data.reacted(event, **where))]
        case Edited():
            return [inbound_data.dump(inbound_data.edited(event, **where))]
        case Deleted():
            return [inbound_data.dump(inbound_data.deleted(event, **where))]
        case AgentMessage():
            return [inbound_data.dump(inbound_data.written_by_agent(event, **where))]
        case ContactNews():
            return [inbound_data.dump(inbound_data.contact(event, **where))]
        case _:
            return []


def check_callback(channel: str, event: Any, data: bytes) -> None:
    """Check what both dialects make of an event: JSON that every reader takes, and every store."""
    assert b"\\u0000" not in data
    for dialect, kind in (
        ("standard", "message.received"),
        ("compat", "message.received"),
        ("compat", "postback.received"),
    ):
        record = EventRecord(1, "acme", kind, "acme", channel, "c", event.at, data=data)
        told = dialects.body(dialect, record)
        assert told is not None
        json.loads(told, parse_constant=no_constant)
        told.decode("utf-8")


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


# --- sends ----------------------------------------------------------------------------------------------------------------

SENDS: Final = [json.dumps(made(kind)).encode() for kind in TYPES for made in (full, body)]
RECIPIENTS: Final = {
    "whatsapp": "6281234567890",
    "telegram": "tg:1001",
    "line": "U" + "0a" * 16,
    "messenger": "24312345678901234",
}


@pytest.mark.parametrize("channel", list(BUILT_IN))
def test_a_damaged_send_is_refused_with_all_its_problems_or_can_be_sent(channel: str) -> None:
    found: Counter[str] = Counter()

    @fuzzed
    @given(SEEDS)
    def run(drawn: tuple[int, int]) -> None:
        which, seed = drawn
        random = Random(seed)
        raw = SENDS[which % len(SENDS)].replace(b'"628xxxxxxxx"', json.dumps(RECIPIENTS[channel]).encode())
        found[check_send(channel, junk.spoilt(raw, random), random)] += 1

    run()
    assert set(found) == {"unreadable", "refused", "rendered"}, "damage where nobody looks leaves what can be sent"


def check_send(channel: str, raw: bytes, random: Random) -> str:
    """Take *raw* as a send does, as far as the platform's calls. Return how far it came."""
    try:
        given_body = json_body.read(raw)
    except json_body.UnreadableBody as error:
        str(error).encode()
        return "unreadable"
    if random.random() < 0.9 and isinstance(given_body, dict):
        given_body.pop("fallback", None)  # which WhatsApp alone takes
    message = wire.decode(given_body, channel)
    problems = message if isinstance(message, list) else BUILT_IN[channel].problems(message)
    for problem in problems:
        check_problem(problem)
    if not isinstance(message, Message):
        assert problems, "what is no message says why"
        return "refused"
    encoded = wire.encode(message)
    assert wire.restore(encoded) == replace(message, ignored=())
    assert wire.encode(wire.restore(encoded)) == encoded
    assert len(wire.fingerprint(encoded)) >= 16
    if problems:
        return "refused"
    account = ACCOUNTS[channel]
    facts = Facts(tid="01a20737-4164-74d2-ae68-00d16e9c3e44", address=RECIPIENTS[channel].removeprefix("tg:"))
    rendering = BUILT_IN[channel].render(message, account, facts)
    assert rendering == BUILT_IN[channel].render(message, account, facts), "the same input gives the same bytes"
    assert rendering.calls
    assert [call.part for call in rendering.calls] == list(range(1, len(rendering.calls) + 1))
    for call in rendering.calls:
        json.loads(call.text().encode("utf-8"), parse_constant=no_constant)
        call.url.encode("ascii")
    for loss in rendering.losses:
        assert loss.pointer.startswith("/")
        loss.detail.encode()
    return "rendered"


def check_problem(problem: Problem) -> None:
    """Check that a problem names a place and a reason, in a sentence that can be answered and is not endless."""
    assert problem.pointer == "" or problem.pointer.startswith("/")
    assert problem.code
    assert problem.detail
    assert len(problem.detail.encode("utf-8")) < 2000


# --- what was found, and what chance does not make ------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["telegram", "line", "messenger"])
def test_a_place_that_is_nowhere_is_no_place(channel: str) -> None:
    """LINE's parser raised OverflowError for an integer that no float holds."""
    tried = 0
    for raw, number in product(WEBHOOKS[channel], (10**400, -(10**400), float("inf"), float("nan"), 1e308)):
        value = json.loads(raw)
        for path in junk.places(value):
            if path[-1] in ("latitude", "longitude", "lat", "long"):
                odd = json.loads(raw)
                holder = odd
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = number
                check_webhook(channel, json.dumps(odd).encode())
                tried += 1
    assert tried


def test_the_bodies_that_chance_does_not_make() -> None:
    """For webhooks row 18 of the scorecard has them, by way of a server."""
    for _, raw in junk.extremes(SENDS[0]):
        check_send("line", raw, Random(1))
