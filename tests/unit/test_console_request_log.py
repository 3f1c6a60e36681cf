"""The log of requests: what is kept of a body, how much of whom, and how a page marks what was wrong."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kurir.clock import FakeClock
from kurir.console import asked_requests, masking
from kurir.console.asked_requests import Asked, body_lines
from kurir.console.requests import KEPT_BODY, OF_CLIENT, OF_STRANGERS, WAITING, RequestLog, kept_body
from kurir.domain.problem import Problem
from kurir.store.access import RequestRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def asked(client_id: str = "acme", **more) -> RequestRecord:
    plain = RequestRecord(
        NOW, "req_1", client_id, "POST", "/x", 422, "invalid_message", "why", (), 5, "192.0.2.7", "curl"
    )
    return replace(plain, **more)


class Kept:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.found: list[RequestRecord] = []

    async def add_requests(self, requests) -> None:
        self.found += requests


# --- what is kept -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"id": "1"}', '{"id": "1"}'),
        (b'{"secret": "abc", "a": 1}', '{"secret": "•••", "a": 1}'),
        (b'{"app_secret" : "a\\"b", "a": 1}', '{"app_secret" : "•••", "a": 1}'),
        (b'{"PassWord":"x"}', '{"PassWord":"•••"}'),
        (b'{"access_token": "abc', '{"access_token": "•••"'),
        (b'{"Authorization": "Basic eDp5"}', '{"Authorization": "•••"}'),
        (b"\xff{", "�{"),
        (b"a\x00b", "a�b"),
        (b"", ""),
    ],
)
def test_of_a_body_no_secret_is_kept(body, kept):
    assert kept_body(body) == kept


def test_of_a_long_body_its_beginning_is_kept():
    assert kept_body(b"x" * 100_000) == "x" * KEPT_BODY


async def test_entries_are_written_in_order_and_once():
    store = Kept()
    log = RequestLog(store, FakeClock())  # type: ignore[arg-type]
    for number in range(3):
        log.note(asked(request_id=str(number)))
    await log.flush()
    await log.flush()
    assert [one.request_id for one in store.found] == ["0", "1", "2"]


async def test_who_flushes_while_entries_are_being_written_waits_for_them():
    class Slow(Kept):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go_on = asyncio.Event(), asyncio.Event()

        async def add_requests(self, requests) -> None:
            self.begun.set()
            await self.go_on.wait()
            await super().add_requests(requests)

    store = Slow()
    log = RequestLog(store, FakeClock())  # type: ignore[arg-type]
    log.note(asked(request_id="1"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(log.flush())
        await store.begun.wait()
        second = tasks.create_task(log.flush())
        await asyncio.sleep(0)
        assert not second.done()
        store.go_on.set()
    assert [one.request_id for one in store.found] == ["1"]


@pytest.mark.parametrize(("client", "bound"), [("acme", OF_CLIENT), ("", OF_STRANGERS)])
async def test_of_a_flood_a_part_is_kept_and_the_rest_is_counted(client, bound):
    store, clock = Kept(), FakeClock()
    log = RequestLog(store, clock)  # type: ignore[arg-type]
    for _ in range(1000):
        log.note(asked(client))
    await log.flush()
    burst, seconds = bound
    assert len(store.found) == min(burst, WAITING) + 1
    assert store.found[-1].code == "not_kept"
    assert store.found[-1].detail.startswith(str(1000 - min(burst, WAITING)))
    clock.move(seconds * 3)
    for _ in range(10):
        log.note(asked(client))
    await log.flush()
    assert sum(one.code != "not_kept" for one in store.found) == min(burst, WAITING) + 3


async def test_one_clients_flood_leaves_anothers_requests():
    store = Kept()
    log = RequestLog(store, FakeClock())  # type: ignore[arg-type]
    for _ in range(OF_CLIENT[0] + 10):
        log.note(asked("acme"))
        await log.flush()
    log.note(asked("globex"))
    log.note(asked(""))
    await log.flush()
    assert {one.client_id for one in store.found[-3:]} >= {"globex", ""}


# --- how it is shown ----------------------------------------------------------------------------------------------------


def marked(body: str, *problems: Problem, masked: bool = False) -> list[tuple[str, int]]:
    return [(line.text, len(line.problems)) for line in body_lines(body, problems, masked=masked)]


def test_each_problem_stands_at_the_line_of_its_field():
    body = '{"type":"x","body":{"button":[{"key":1},{}],"te~/xt":null},"none":[]}'
    problems = [
        Problem("/type", "c", "d"),
        Problem("/body/button/0/key", "c", "d"),
        Problem("/body/button/1/title", "c", "missing: at that of the button"),
        Problem("/body/te~0~1xt", "c", "d"),
        Problem("/recipient", "c", "missing: at the beginning"),
        Problem("", "c", "d"),
    ]
    assert marked(body, *problems) == [
        ("{", 2),
        ('  "type": "x",', 1),
        ('  "body": {', 0),
        ('    "button": [', 0),
        ("      {", 0),
        ('        "key": 1', 1),
        ("      },", 0),
        ("      {}", 1),
        ("    ],", 0),
        ('    "te~/xt": null', 1),
        ("  },", 0),
        ('  "none": []', 0),
        ("}", 0),
    ]


def test_masked_the_shape_is_seen_and_no_value():
    body = '{"recipient":"628123456789","body":{"text":"Hello","n":5,"on":true,"none":null,"list":["a",""]}}'
    text = "\n".join(line.text for line in body_lines(body, (), masked=True))
    for word in ("628123456789", "Hello", "5", '"a"'):
        assert word not in text
    for word in ('"recipient": "•••"', '"on": true', '"none": null'):
        assert word in text


@pytest.mark.parametrize("body", ["{not json", '{"a": 1', "12 34"])
def test_what_is_no_json_stays_as_it_is_and_is_hidden_whole(body):
    assert marked(body) == [(body, 0)]
    assert marked(body, masked=True) == [("•••", 0)]


@pytest.mark.parametrize("body", ["[]", "5", '"x"', "null", "[1]", "[[[]]]", '{"a":{"b":{}}}'])
def test_any_json_is_shown_whatever_the_problems_point_at(body):
    problem = Problem("/a/b/c/d", "c", "d")
    assert sum(count for _, count in marked(body, problem)) == 1


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("type «parcel» is unknown", "type «•••» is unknown"),
        ("/v1/contacts/whatsapp/6281234567890/phone", "/v1/contacts/whatsapp/62•••890/phone"),
        ("+6281234567890", "+62•••890"),
        ("/v1/contacts/line/U4af4980629aabbccddeeff0011223344", "/v1/contacts/line/U4•••344"),
        ("+62 812-3456-7890 is no phone", "+62•••890 is no phone"),
        ("at most 4096 characters", "at most 4096 characters"),
        ("not before 2030-01-01", "not before 2030-01-01"),
    ],
)
def test_a_sentence_is_masked(text, hidden):
    assert masking.loose(text) == hidden


def test_a_list_hides_what_its_paths_and_sentences_hold():
    record = asked(path="/v1/contacts/whatsapp/6281234567890", detail="«Budi» is unknown")
    row = asked_requests.row(record, masked=True)
    assert (row.path, row.detail) == ("/v1/contacts/whatsapp/62•••890", "«•••» is unknown")
    assert asked_requests.row(record, masked=False).path == record.path


def test_an_entry_that_stands_for_others_has_no_page():
    assert asked_requests.row(asked(code="not_kept", request_id="x"), masked=False).opens == ""


@pytest.mark.parametrize(
    ("given", "whose", "expected"),
    [
        ({}, None, None),
        ({}, ("acme",), ("acme",)),
        ({"client": "acme"}, None, ("acme",)),
        ({"client": "-"}, None, ("",)),
        ({"client": "-"}, ("acme",), ()),
        ({"client": "other"}, ("acme",), ()),
        ({"client": "acme"}, ("acme",), ("acme",)),
    ],
)
def test_a_filter_never_widens_what_a_visitor_may_see(given, whose, expected):
    assert asked_requests.asked(given).filter(whose, None).client_ids == expected


@pytest.mark.parametrize(("status", "expected"), [("422", 422), ("", None), ("1", None), ("422x", None), ("²", None)])
def test_a_status_is_one_of_those_that_are_offered(status, expected):
    assert Asked(status=status).filter(None, None).status == expected
