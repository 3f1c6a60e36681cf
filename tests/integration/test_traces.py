"""Traces over real HTTP: from the client's send to the callback, over a restart, at a collector that speaks OTLP."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kurir import tracing
from support.bodies import body
from support.endpoint import Mode, RecordingEndpoint, recording
from support.servers import running

messages = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra is in the lock of the tests"
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


class Collector:
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        told = messages.ExportTraceServiceRequest.FromString(await request.read())
        self.spans += [one for of in told.resource_spans for scope in of.scope_spans for one in scope.spans]
        return web.Response(body=messages.ExportTraceServiceResponse().SerializeToString())

    def named(self, name: str) -> list[Any]:
        return [one for one in self.spans if one.name == name]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    try:
        yield collector
    finally:
        await runner.cleanup()


def settings(hook: RecordingEndpoint, collector: str = "") -> Any:
    def edit(document: dict[str, Any]) -> None:
        document["allow_networks"] = ["127.0.0.0/8"]
        secret = "whsec_" + base64.b64encode(b"a secret of this test, only").decode()
        document["clients"]["demo"]["callbacks"] = [{"url": hook.url, "secret": secret, "dialect": "standard"}]
        if collector:
            document["traces_to"] = collector

    return edit


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_send_is_one_trace_to_its_callbacks_over_a_restart(tmp_path: Path) -> None:
    async with collecting() as collector, recording() as hook:
        hook.mode = Mode.FAIL
        edit = settings(hook, collector.url)
        async with running(tmp_path, edit=edit) as gateway:
            words = body(id="traced") | {"body": {"text": "a word of nobody else"}}
            _, _, answer = await gateway.send("telegram", words, traceparent=HEADER)
            tid = answer["data"]["tid"]
            await gateway.until(tid, 1)
            _, headers, again = await gateway.send("telegram", words, traceparent=HEADER.replace(SPAN, "1" * 16))
            assert (again["data"]["tid"], headers["Idempotent-Replayed"]) == (tid, "true"), "its trace is no content"
            await hook.until(1)
        hook.mode = Mode.WELL
        calls = len(hook.received)
        async with running(tmp_path, edit=edit):
            await hook.until(calls + 1)
        told = [one.headers["traceparent"].split("-") for one in hook.received]
        assert {one[1] for one in told} == {TRACE}

        accepted, replayed = collector.named("accept telegram")
        assert (accepted.trace_id.hex(), accepted.parent_span_id.hex()) == (TRACE, SPAN)
        assert attributes(accepted)["kurir.tid"] == attributes(replayed)["kurir.tid"] == tid
        assert attributes(replayed)["kurir.replayed"] == "true"
        (call,) = collector.named("call telegram")
        assert (call.trace_id, call.parent_span_id) == (accepted.trace_id, accepted.span_id)
        assert attributes(call) | {"kurir.outcome": "sent", "kurir.part": 1} == attributes(call)
        callbacks = {one.span_id.hex(): one for one in collector.named("callback")}
        assert {one.parent_span_id for one in callbacks.values()} == {accepted.span_id}
        assert callbacks.keys() == {one[2] for one in told}, "the endpoint was told the very span of its call"
        assert {attributes(one)["kurir.status"] for one in callbacks.values()} == {500, 200}
        everything = repr(collector.spans)
        for secret in ("nobody else", words["recipient"].lstrip("+"), "whsec_", hook.url):
            assert secret not in everything


async def test_where_no_traces_are_wanted_none_is_kept_or_passed_on(tmp_path: Path) -> None:
    async with recording() as hook, running(tmp_path, edit=settings(hook)) as gateway:
        _, _, answer = await gateway.send("telegram", body(id="plain"), traceparent=HEADER)
        await hook.until(1)
        assert "traceparent" not in hook.received[0].headers
        assert await gateway.gateway.store.trace_of(answer["data"]["tid"]) == ""


async def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "CLOSE_SECONDS", 0.1)
    async with (
        recording() as hook,
        running(tmp_path, edit=settings(hook, "http://127.0.0.1:1/v1/traces")) as gateway,
    ):
        _, _, answer = await gateway.send("telegram", body(id="alone"))
        await gateway.until(answer["data"]["tid"], 1)
        (called, *_) = await hook.until(1)
        assert called.headers["traceparent"].startswith("00-"), "who brings no trace begins one"
        assert await gateway.gateway.store.trace_of(answer["data"]["tid"]) != ""
