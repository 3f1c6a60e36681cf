"""/metrics over real HTTP: who may read it, and that what happens is in it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kurir.http import metrics as route
from kurir.metrics import CONTENT_TYPE, FAMILIES
from kurir.store.base import StoreUnavailable
from support.bodies import body
from support.delivering import eventually
from support.endpoint import Mode, recording
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN, WATCHER = "an administrator's token", "the token of Prometheus"


def with_tokens(document: dict[str, Any]) -> None:
    document["admin_token"] = ADMIN
    document["metrics_token"] = WATCHER


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("metrics"), edit=with_tokens) as started:
        yield started


async def asked(gateway: Running, token: str = WATCHER) -> tuple[int, str, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.request("GET", f"{gateway.url}/metrics", headers=headers) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def numbers(gateway: Running) -> dict[str, float]:
    gateway.gateway.app.state.stored_metrics.at = float("-inf")  # as if some seconds had passed
    status, kind, text = await asked(gateway)
    assert (status, kind) == (200, CONTENT_TYPE)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_only_the_token_for_it_opens_it(gateway: Running) -> None:
    assert (await asked(gateway))[0] == 200
    for token in ("", "wrong", ADMIN):
        status, _, text = await asked(gateway, token)
        assert status == 401, token
        assert "kurir_" not in text
    async with gateway.session.get(f"{gateway.url}/v1/admin/accounts", headers={"Authorization": WATCHER}) as response:
        assert response.status == 401


async def test_every_family_is_told(gateway: Running) -> None:
    text = (await asked(gateway))[2]
    for family in FAMILIES:
        assert f"# TYPE {family.name} {family.kind}" in text


async def test_what_happens_is_counted(gateway: Running) -> None:
    before = await numbers(gateway)
    _, _, answer = await gateway.send("telegram", body(id="counted"))
    await gateway.until(answer["data"]["tid"], 1)
    await gateway.send("telegram", body(id="counted"))
    await gateway.send("telegram", {"id": "of no type"})
    after = await numbers(gateway)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grew('kurir_sends_total{channel="telegram",result="accepted"}') == 1
    assert grew('kurir_sends_total{channel="telegram",result="replayed"}') == 1
    assert grew('kurir_requests_refused_total{code="invalid_message"}') == 1
    assert grew('kurir_calls_total{account="demo-tg",channel="telegram",outcome="sent"}') == 1
    assert grew('kurir_call_seconds_count{channel="telegram"}') == 1
    assert grew('kurir_commits_total{result="done"}') >= 1
    assert grew("kurir_commit_seconds_sum") > 0


async def test_what_platforms_and_endpoints_say_is_counted(gateway: Running) -> None:
    before = await numbers(gateway)
    _, _, answer = await gateway.send("whatsapp", body(id="with receipts"))
    await gateway.until(answer["data"]["tid"], 2)
    async with gateway.session.post(f"{gateway.url}/webhooks/demo-wa", data=b"{}") as response:
        assert response.status == 401
    after = await numbers(gateway)
    for result in ("taken", "rejected"):
        name = f'kurir_webhooks_total{{channel="whatsapp",result="{result}"}}'
        assert after[name] > before.get(name, 0.0), name
    assert after['kurir_webhook_last_timestamp_seconds{account="demo-wa",channel="whatsapp"}'] > 0


async def test_what_may_fail_is_told_before_it_does(gateway: Running) -> None:
    found = await numbers(gateway)
    assert found['kurir_commits_total{result="failed"}'] >= 0
    for channel in ("telegram", "whatsapp", "line", "messenger"):
        assert f'kurir_webhooks_total{{channel="{channel}",result="not_stored"}}' in found
    for outcome in ("sent", "retry", "rejected", "unknown", "account_down"):
        assert f'kurir_calls_total{{account="demo-fb",channel="messenger",outcome="{outcome}"}}' in found


async def test_what_is_refused_on_any_way_in_is_counted(gateway: Running) -> None:
    before = await numbers(gateway)
    async with gateway.session.post(f"{gateway.url}/webhooks/demo-wa", data=b"x" * (4 << 20)) as response:
        assert response.status == 413
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.gateway.server.port)
    writer.write(b"this is no HTTP\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    after = await numbers(gateway)
    for code in ("too_large", "malformed_request"):
        name = f'kurir_requests_refused_total{{code="{code}"}}'
        assert after[name] == before.get(name, 0.0) + 1, name


async def test_what_is_owed_is_told_by_endpoint_and_each_try_is_counted(tmp_path: Path) -> None:
    async with recording() as hook:
        hook.mode = Mode.FAIL

        def with_hook(document: dict[str, Any]) -> None:
            with_tokens(document)
            document["allow_networks"] = ["127.0.0.0/8"]
            secret = "whsec_" + base64.b64encode(b"a secret of this test, only").decode()
            document["clients"]["demo"]["callbacks"] = [{"url": hook.url, "secret": secret}]

        async with running(tmp_path, edit=with_hook) as gateway:
            _, _, answer = await gateway.send("telegram", body(id="tells"))
            await gateway.until(answer["data"]["tid"], 1)
            await hook.until(1)
            (listed,) = await gateway.gateway.store.all_endpoints()
            labels = f'endpoint="{listed.id}",client="demo"'
            tries = f'kurir_callback_tries_total{{endpoint="{listed.id}",result="endpoint"}}'

            async def tried() -> bool:
                return tries in await numbers(gateway)

            await eventually(tried)
            found = await numbers(gateway)
            assert found[f"kurir_callbacks_owed{{{labels}}}"] >= 1
            assert found[f"kurir_callbacks_oldest_seconds{{{labels}}}"] >= 0
            assert found[f"kurir_callbacks_failed{{{labels}}}"] == 0
            assert found[f'kurir_endpoint_standing{{{labels},standing="failing"}}'] == 1


async def test_what_waits_is_told_with_its_age_and_how_its_account_stands(gateway: Running) -> None:
    operator = gateway.gateway.app.state.operator()
    name = 'account="demo-line",channel="line"'
    found = await numbers(gateway)
    assert (found[f"kurir_queue_messages{{{name}}}"], found[f"kurir_queue_oldest_seconds{{{name}}}"]) == (0, 0)
    await operator.pause("demo-line")
    await gateway.send("line", body(id="waits"))
    await asyncio.sleep(0)
    found = await numbers(gateway)
    assert found[f"kurir_queue_messages{{{name}}}"] == 1
    assert found[f"kurir_queue_oldest_seconds{{{name}}}"] > 0
    assert found[f'kurir_account_standing{{{name},standing="paused"}}'] == 1
    assert found[f'kurir_account_standing{{{name},standing="working"}}'] == 0
    await operator.resume("demo-line")


async def test_the_process_tells_of_itself(gateway: Running) -> None:
    found = await numbers(gateway)
    assert found["kurir_ready"] == found["kurir_store_ok"] == found["kurir_store_read"] == found["kurir_nodes"] == 1
    assert found["kurir_disk_free_bytes"] > 0
    assert found["process_resident_memory_bytes"] > 10**6


async def test_a_store_that_does_not_answer_takes_its_own_numbers_away_and_no_others(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(gateway.gateway.store, "depths", away)
    found = await numbers(gateway)
    assert found["kurir_store_read"] == 0
    assert found['kurir_account_standing{account="demo-tg",channel="telegram",standing="working"}'] == 1
    assert not any(name.startswith("kurir_queue") for name in found)


async def test_many_who_ask_cost_the_store_no_more_than_one(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await numbers(gateway)
    asked_for = 0
    depths = gateway.gateway.store.depths

    async def counted() -> Any:
        nonlocal asked_for
        asked_for += 1
        return await depths()

    monkeypatch.setattr(gateway.gateway.store, "depths", counted)
    monkeypatch.setattr(route, "KEPT_SECONDS", 3600.0)
    gateway.gateway.app.state.stored_metrics.at = float("-inf")
    await asyncio.gather(*(asked(gateway) for _ in range(5)))
    assert asked_for == 1
