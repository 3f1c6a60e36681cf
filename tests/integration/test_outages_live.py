"""Outages and hanging calls over real sockets: the gateway against its sandbox's faults, and the sandbox's own answers."""

import asyncio
from itertools import count

import pytest

from kurir import channels
from kurir.egress import Egress, EgressSettings
from kurir.sandbox.config import DEMO_TELEGRAM, DEMO_WHATSAPP
from support import sandbox
from support.sandbox import BUDI
from support.servers import running

NUMBERS = count(1)


def body(to, text):
    return {
        "id": f"id-{next(NUMBERS)}",
        "times": 0,
        "timestamp": "2026-01-01T12:00:00Z",
        "recipient": to,
        "type": "text",
        "body": {"text": text},
    }


async def send(run, channel, to, text):
    status, _, answer = await run.send(channel, body(to, text))
    assert status == 200, answer
    return answer["data"]["tid"]


async def fault(run, channel, **profile):
    async with run.session.put(f"{run.sandbox.url}/sandbox/faults/{channel}", json=profile) as response:
        assert response.status == 200, await response.text()


async def ledger(run):
    async with run.session.get(f"{run.sandbox.url}/sandbox/ledger") as response:
        return (await response.json())["data"]


async def test_an_unreadable_outage_costs_no_message_and_its_looks_are_in_no_ledger(tmp_path):
    async with running(tmp_path) as run:
        await fault(run, "telegram", outage="503", seconds=6)
        tid = await send(run, "telegram", f"tg:{BUDI.telegram_chat_id}", "in the outage")
        message = await run.until(tid, 1, 40)
        assert [attempt["outcome"] for attempt in message["attempts"]] == ["unknown", "sent"]
        assert [(row["status"], row["text"]) for row in await ledger(run)] == [
            (503, "in the outage"),
            (200, "in the outage"),
        ]


async def test_a_receipt_lets_the_lane_go_on_while_the_call_still_hangs(tmp_path):
    async with running(tmp_path) as run:
        await fault(run, "whatsapp", timeout_after=1.0, hold=60)
        first = await send(run, "whatsapp", BUDI.phone, "first")
        await run.until(first, 1, 15)
        await fault(run, "whatsapp")
        async with asyncio.timeout(20):  # far less than the call hangs
            for text in ("second", "third"):
                await run.until(await send(run, "whatsapp", BUDI.phone, text), 1, 20)
        assert [row["text"] for row in await ledger(run)] == ["first", "second", "third"]
        assert (await run.message(first))["attempts"] == [], "its call has not ended"


@pytest.mark.parametrize("channel", ["telegram", "line", "whatsapp", "messenger"])
async def test_the_sandbox_answers_each_channels_look_and_counts_it_nowhere(channel, tmp_path):
    async with running(tmp_path) as run:
        entry = next(one for one in run.gateway.directory.accounts().values() if one.account.channel == channel)
        call = channels.installed()[channel].look(entry.account)
        egress = Egress(EgressSettings())
        try:
            answered = (await egress.send(call, entry.account.settings.secrets())).answer
            await fault(run, channel, outage="503")
            away = (await egress.send(call)).answer
            await fault(run, channel, expired_token=True)
            refused = (await egress.send(call)).answer
        finally:
            await egress.close()
        assert (answered.status, answered.json() is not None) == (200, True)
        assert (away.status, away.json()) == (503, None)
        assert refused.status == 401
        assert refused.json() is not None
        assert await ledger(run) == []


async def test_looks_need_the_token_and_read_the_fields_that_are_there():
    async with sandbox.running() as world:
        node = f"/graph/v26.0/{DEMO_WHATSAPP.phone_number_id}"
        token = {"Authorization": f"Bearer {DEMO_WHATSAPP.access_token}"}
        assert (await world.call("GET", f"{node}?fields=id"))[0] == 401
        assert await world.call("GET", f"{node}?fields=id", headers=token) == (
            200,
            {"id": DEMO_WHATSAPP.phone_number_id},
        )
        status, answer = await world.call("GET", f"{node}?fields=id,nonsense", headers=token)
        assert (status, answer["error"]["code"]) == (400, 100)
        status, answer = await world.call("GET", f"/telegram/bot{DEMO_TELEGRAM.token}/getMe")
        assert (status, answer["result"]["is_bot"]) == (200, True)
        assert (await world.call("GET", "/line/v2/bot/info"))[0] == 401
