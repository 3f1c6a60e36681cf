"""Traces: what a request may bring, what is stored with a message, and the spans that come of it."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kurir import tracing
from kurir.configuration.file import parse
from kurir.configuration.problems import ConfigError
from kurir.domain.message import Message, MessageType, Template
from kurir.intake import wire
from kurir.store.operations import words
from kurir.tracing import Kind, Parent, Traces

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"
EXTRA = "the extra is in the lock of the tests"


@pytest.mark.parametrize(
    "value",
    [HEADER, f" {HEADER} ", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes-later"],
)
def test_a_header_is_taken_as_the_standard_has_it(value: str) -> None:
    found = tracing.parent_of([(b"accept", b"x"), (b"traceparent", value.encode())])
    assert found.header == value.strip()
    assert found.at_ns > 0


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        HEADER.upper(),
        HEADER[:-1],
        "",
        "00",
        "٠٠" + HEADER[2:],
    ],
)
def test_one_that_is_wrong_counts_as_absent(value: str) -> None:
    assert tracing.parent_of([(b"traceparent", value.encode())]).header == ""


def test_two_headers_are_none() -> None:
    assert tracing.parent_of([(b"traceparent", HEADER.encode())] * 2).header == ""


MESSAGES = [
    Message("1", "telegram", "+351", MessageType.TEXT, "hello"),
    Message("1", "whatsapp", "+351", MessageType.TEMPLATE, template=Template("a", "en", '{"trace":"x"}')),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: str(one.type.value))
def test_a_body_carries_its_trace_and_is_the_same_message(message: Message) -> None:
    body = wire.encode(message)
    marked = tracing.marked(body, HEADER)
    assert tracing.found(body) == ""
    assert tracing.found(marked) == tracing.found(marked[-tracing.TAIL :]) == HEADER
    assert wire.restore(marked) == wire.restore(body) == message
    assert words.words_of(marked) == words.words_of(body), "a trace is no word that people search for"


@given(st.text() | st.just(f'","trace":"{HEADER}"}}'))
def test_what_a_person_wrote_is_no_trace(text: str) -> None:
    for message in (
        Message(text, text, text, MessageType.TEXT, text),
        Message(text, text, text, MessageType.TEXT, text, reply_id=text, account=text, reply_token=text),
    ):
        assert tracing.found(wire.encode(message)) == ""


def test_a_body_that_was_erased_has_none() -> None:
    assert tracing.found(b"{}") == tracing.found(b"") == ""


# --- the extra --------------------------------------------------------------------------------------------------------


def test_without_the_extra_the_setting_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"traces_to.*pip install opentelemetry-sdk"):
        parse({"traces_to": "http://127.0.0.1:4318/v1/traces"}, {}, channels={})
    assert parse({}, {}, channels={}).settings.traces_to == ""


def test_the_library_is_imported_where_traces_are_opened_and_nowhere_else() -> None:
    package = Path(tracing.__file__).parent
    found = {
        (path.name, bool(line[0].isspace()))
        for path in package.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if re.match(r"\s*(from|import) opentelemetry\b", line)
    }
    assert found == {("tracing.py", True)}


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "ftp://x/v1/traces", "http://user:word@x/v1/traces", ""])
def test_a_collector_is_a_url_without_a_password(url: str) -> None:
    with pytest.raises(ConfigError, match="traces_to"):
        parse({"traces_to": url}, {}, channels={})


# --- spans ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def traced() -> tuple[Traces, Any]:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason=EXTRA)
    kept = memory.InMemorySpanExporter()
    traces = Traces("http://127.0.0.1:1/v1/traces", "1", kept)
    traces.open()
    return traces, kept


async def test_a_span_continues_what_was_told_and_ends_once(traced) -> None:
    traces, kept = traced
    span = traces.begin("accept line", Kind.SERVER, Parent(HEADER, 1_000), {"client": "acme"})
    below = traces.begin("call line", Kind.CLIENT, Parent(span.traceparent, 2_000), {"part": 1})
    alone = traces.begin("callback", Kind.CLIENT, Parent("", 3_000), {})
    below.end("rate_limited", 4_000, outcome="retry")
    below.end()
    span.end(tid="t")
    alone.end()
    await traces.close()
    first, second, third = kept.get_finished_spans()
    assert (first.name, first.start_time, first.end_time) == ("call line", 2_000, 4_000)
    assert dict(first.attributes) == {"kurir.part": 1, "kurir.outcome": "retry", "error.type": "rate_limited"}
    assert first.status.status_code.name == "ERROR"
    assert f"{first.context.trace_id:032x}" == f"{second.context.trace_id:032x}" == TRACE
    assert first.parent.span_id == second.context.span_id
    assert f"{second.parent.span_id:016x}" == SPAN
    assert second.status.status_code.name == "UNSET"
    assert third.parent is None
    assert third.context.trace_id != second.context.trace_id
    assert third.resource.attributes["service.name"] == "kurir"


async def test_who_does_not_want_to_be_sampled_is_passed_on_and_not_recorded(traced) -> None:
    traces, kept = traced
    span = traces.begin("accept line", Kind.SERVER, Parent(f"00-{TRACE}-{SPAN}-00", 1), {})
    assert span.traceparent.startswith(f"00-{TRACE}-")
    assert span.traceparent.endswith("-00")
    span.end(tid="t")
    await traces.close()
    assert kept.get_finished_spans() == ()


async def test_what_was_never_opened_can_be_closed() -> None:
    await Traces("http://127.0.0.1:1/v1/traces", "1").close()


def test_what_the_library_complains_of_is_one_event_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.of.this.test"
    tracing.listen(name)
    tracing.listen(name)
    library = logging.getLogger(name)
    assert len(library.handlers) == 1
    assert not library.propagate, "else it is told twice, and not as JSON"
    now = 1000.0
    monkeypatch.setattr(tracing.time, "monotonic", lambda: now)
    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            library.warning("Transient error %s", "refused")
            library.info("nothing that matters")
        now += tracing.TOLD_SECONDS
        library.error("Failed to export")
    assert [(one["event"], one["why"], one.get("left_out")) for one in told] == [
        ("traces_not_sent", "Transient error refused", None),
        ("traces_not_sent", "Failed to export", 2),
    ]
