"""Receipts end to end: through the real webhooks with their signatures, early, late, doubled, shuffled and forged."""

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from random import Random
from typing import Any

import aiohttp
import pytest

from kurir import channels, demo
from kurir.configuration.file import parse
from kurir.gateway import Gateway
from kurir.sandbox.config import DEMO_MESSENGER, DEMO_WHATSAPP, demo_config
from kurir.sandbox.server import SandboxServer
from support.delivering import CUT, Platform, eventually
from support.servers import PASSWORD, Running

LONG = "one " * 1500
PSID = "6915551234567890"
NUMBER = DEMO_WHATSAPP.phone_number_id
PAGE = DEMO_MESSENGER.page_id
#: Seconds since 1970 of the first event; each later one is a second younger.
BEGIN = 1_790_000_000
SECOND_NUMBER, STRANGERS_NUMBER = "10650002", "10650003"


@dataclass
class World:
    """A gateway whose platforms say nothing by themselves: every receipt is a test's."""

    run: Running
    platform: Platform
    numbers: Any = field(default_factory=count)

    async def send(self, channel: str, text: str = "hello", to: str = "", **more: Any) -> str:
        recipient = to or {"whatsapp": "6281234567890", "messenger": f"fb:{PSID}"}[channel]
        body = {
            "id": f"id-{next(self.numbers)}",
            "times": 0,
            "timestamp": "2026-01-01T12:00:00Z",
            "recipient": recipient,
            "type": "text",
            "body": {"text": text},
        } | more
        status, _, answer = await self.run.send(channel, body)
        assert status == 200, answer
        tid: str = answer["data"]["tid"]
        return tid

    async def answered(self, tid: str, parts: int = 1) -> list[str]:
        """Return the platform ids when every part has its answer."""
        seen: list[Any] = []

        async def all_answered() -> bool:
            seen[:] = (await self.run.message(tid))["parts"]
            return [part["state"] for part in seen] == ["answered"] * parts

        await eventually(all_answered)
        return [part["provider_message_ids"][0] for part in seen]

    async def status(self, tid: str) -> int:
        return int((await self.run.message(tid))["status"])

    async def history(self, tid: str) -> list[int]:
        return [event["status"] for event in (await self.run.message(tid))["history"]]

    async def post(self, channel: str, body: Any, *, account: str = "", secret: str = "") -> int:
        """POST a webhook as Meta does; returns the status."""
        raw = json.dumps(body).encode()
        secrets = {"whatsapp": DEMO_WHATSAPP.app_secret, "messenger": DEMO_MESSENGER.app_secret}
        signed = hmac.new((secret or secrets[channel]).encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signed}", "Content-Type": "application/json"}
        url = f"{self.run.url}/webhooks/{account or demo.ACCOUNTS[channel]}"
        async with self.run.session.post(url, data=raw, headers=headers) as response:
            return response.status

    async def whatsapp(self, *statuses: Any, number: str = NUMBER, **more: Any) -> int:
        return await self.post("whatsapp", batch((number, statuses)), **more)

    async def messenger(self, *events: Any, **more: Any) -> int:
        return await self.post(
            "messenger", {"object": "page", "entry": [{"id": PAGE, "messaging": list(events)}]}, **more
        )


def batch(*entries: tuple[str, Any]) -> Any:
    """A WhatsApp webhook with statuses of several numbers."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "waba",
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {"phone_number_id": number},
                            "statuses": list(statuses),
                        },
                    }
                ],
            }
            for number, statuses in entries
        ],
    }


def told(wamid: str, word: str, at: int = 0, **more: Any) -> Any:
    """A WhatsApp status."""
    return {"id": wamid, "status": word, "timestamp": str(BEGIN + at), "recipient_id": "6281234567890"} | more


def failed(wamid: str, code: int = 131026, at: int = 0) -> Any:
    return told(wamid, "failed", at, errors=[{"code": code, "title": "undeliverable"}])


def seen(kind: str, watermark: float, **more: Any) -> Any:
    """A Messenger delivery or read up to *watermark* (seconds)."""
    milliseconds = int(watermark * 1000)
    return {
        "sender": {"id": PSID},
        "recipient": {"id": PAGE},
        "timestamp": milliseconds,
        kind: {"watermark": milliseconds} | more,
    }


def echo(mid: str, reference: str) -> Any:
    message = {"is_echo": True, "app_id": int(DEMO_MESSENGER.app_id), "metadata": reference, "mid": mid, "text": "x"}
    return {"sender": {"id": PAGE}, "recipient": {"id": PSID}, "timestamp": BEGIN * 1000, "message": message}


@asynccontextmanager
async def world(folder, *more_accounts: Any, **options: Any):
    platform, sandbox = Platform(), demo_config()
    async with platform.running():
        addresses = demo.Addresses("http://127.0.0.1:1", platform.url)
        document = demo.document(sandbox, addresses, "127.0.0.1:0", folder, PASSWORD)
        accounts = document["clients"][demo.CLIENT]["accounts"]
        accounts += more_accounts
        for account in accounts:
            account.update({"api_base": platform.url, "unknown_wait": "1s"} | options)
        gateway = Gateway(parse(document, {}, channels=channels.installed()))
        await gateway.start()
        try:
            headers = {"Auth-username": demo.CLIENT, "Auth-password": PASSWORD}
            async with aiohttp.ClientSession(headers=headers) as session:
                yield World(Running(gateway, SandboxServer(sandbox), session), platform)
            assert await gateway.store.broken_invariants() == []
        finally:
            await gateway.stop()


def another_number(account: str, number: str, app_secret: str) -> Any:
    return {
        "id": account,
        "channel": "whatsapp",
        "phone_number_id": number,
        "access_token": f"token-of-{number}",
        "app_secret": app_secret,
        "verify_token": "verify",
    }


# --- WhatsApp -----------------------------------------------------------------------------------------------------------


async def test_whatsapp_is_pending_until_its_sent_receipt_and_moves_on_by_the_others(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp")
        (wamid,) = await it.answered(tid)
        message = await it.run.message(tid)
        assert (message["status"], message["reason"]["code"]) == (0, "awaiting_receipt")
        for at, (word, status) in enumerate([("sent", 1), ("delivered", 2), ("read", 3)]):
            assert await it.whatsapp(told(wamid, word, at)) == 200
            assert await it.status(tid) == status
        message = await it.run.message(tid)
        assert [event["status"] for event in message["history"]] == [1, 2, 3]
        assert message["history"][0]["at"].startswith("2026-09-21T")


@pytest.mark.scorecard(17)
async def test_receipts_before_the_answer_wait_for_it(tmp_path):
    async with world(tmp_path) as it:
        gate = asyncio.Event()

        async def hold(_):
            await gate.wait()

        it.platform.answers = hold
        tid = await it.send("whatsapp")
        await it.platform.called(1)
        for word in ("read", "delivered", "sent"):
            assert await it.whatsapp(told("wamid.1", word)) == 200
        assert await it.status(tid) == 0
        gate.set()
        assert await it.answered(tid) == ["wamid.1"]
        assert (await it.status(tid), await it.history(tid)) == (3, [3])


@pytest.mark.scorecard(17)
async def test_a_receipt_with_our_reference_settles_a_call_that_got_no_answer(tmp_path):
    async with world(tmp_path) as it:
        it.platform.answers = lambda request: CUT if request.number == 1 else None
        tid = await it.send("whatsapp")
        await it.platform.called(1)
        assert await it.whatsapp(told("wamid.lost", "sent", biz_opaque_callback_data=tid)) == 200
        await it.run.until(tid, 1)
        message = await it.run.message(tid)
        assert message["parts"][0]["provider_message_ids"] == ["wamid.lost"]
        await it.answered(await it.send("whatsapp", "the next one"))
        assert [call.text for call in it.platform.calls] == ["hello", "the next one"]


@pytest.mark.scorecard(17)
async def test_a_settled_part_of_several_lets_the_rest_follow_in_order(tmp_path):
    async with world(tmp_path) as it:
        it.platform.answers = lambda request: CUT if request.number == 1 else None
        tid = await it.send("whatsapp", LONG)
        behind = await it.send("whatsapp", "behind")
        await it.platform.called(1)
        assert await it.whatsapp(told("wamid.lost", "sent", biz_opaque_callback_data=f"{tid}:1")) == 200
        await it.answered(behind)
        assert [call.text == "behind" for call in it.platform.calls] == [False, False, True]
        wamids = await it.answered(tid, 2)
        assert wamids == ["wamid.lost", "wamid.2"]
        assert await it.whatsapp(told("wamid.2", "sent")) == 200
        assert await it.status(tid) == 1


@pytest.mark.scorecard(17)
async def test_receipts_five_times_over_and_shuffled_end_at_the_maximum_with_one_event_a_change(tmp_path):
    random = Random(17)
    async with world(tmp_path) as it:
        tids = [await it.send("whatsapp", to=f"628123456{number:04}") for number in range(10)]
        wamids = {tid: (await it.answered(tid))[0] for tid in tids}
        highest = {tid: random.randint(1, 3) for tid in tids}
        words = ["sent", "delivered", "read"]
        receipts = [
            told(wamids[tid], word, at)
            for tid in tids
            for at, word in enumerate(words[: highest[tid]])
            for _ in range(5)
        ]
        random.shuffle(receipts)
        while receipts:
            size = random.randint(1, 12)
            assert await it.whatsapp(*receipts[:size]) == 200
            del receipts[:size]
        for tid in tids:
            history = await it.history(tid)
            assert await it.status(tid) == highest[tid] == history[-1]
            assert history == sorted(set(history))


async def test_a_message_of_several_parts_is_as_far_as_its_last_part(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp", LONG)
        one, two = await it.answered(tid, 2)
        steps = [
            (told(two, "sent"), 0),
            (told(one, "read"), 1),
            (told(two, "delivered"), 2),
            (told(one, "delivered"), 2),
            (told(two, "read"), 3),
        ]
        for receipt, status in steps:
            assert await it.whatsapp(receipt) == 200
            assert await it.status(tid) == status
        assert await it.history(tid) == [1, 2, 3]


async def test_a_failure_after_sent_is_undelivered_with_its_reason(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp")
        (wamid,) = await it.answered(tid)
        await it.whatsapp(told(wamid, "sent"), failed(wamid, at=1), told(wamid, "sent", 2))
        message = await it.run.message(tid)
        assert (message["status"], message["error"]["code"]) == (-2, "recipient_unreachable")
        assert message["error"]["provider_code"] == "131026"
        assert await it.history(tid) == [1, -2]


async def test_delivered_corrects_a_failure_that_came_too_early_and_nothing_takes_it_back(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp")
        (wamid,) = await it.answered(tid)
        await it.whatsapp(failed(wamid))
        assert await it.status(tid) == -2
        await it.whatsapp(told(wamid, "delivered", 1))
        await it.whatsapp(failed(wamid, 131000, 2))
        message = await it.run.message(tid)
        assert (message["status"], message["error"]) == (2, None)
        assert await it.history(tid) == [-2, 2]


async def test_one_failed_part_is_the_messages_failure(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp", LONG)
        one, two = await it.answered(tid, 2)
        await it.whatsapp(told(one, "read"), failed(two))
        assert await it.status(tid) == -2


# --- a window that WhatsApp tells of afterwards ----------------------------------------------------------------------------

TEMPLATE = {"name": "order_update", "language": "en_US", "parameters": {"body": ["77"]}}
FALLBACK = {"when": "window_closed", "template": TEMPLATE}


def kinds(it: World) -> list[str]:
    return [call.json["type"] for call in it.platform.calls]


def closed(wamid: str, at: int = 0, **more: Any) -> Any:
    return failed(wamid, 131047, at) | more


async def test_a_window_that_a_receipt_says_is_closed_brings_the_fallback_once(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp", fallback=FALLBACK)
        (wamid,) = await it.answered(tid)
        for _ in range(2):
            assert await it.whatsapp(closed(wamid)) == 200
        await it.platform.called(2)
        (second,) = await it.answered(tid)
        assert (kinds(it), second != wamid) == (["text", "template"], True)
        message = await it.run.message(tid)
        assert (message["status"], message["error"]) == (0, None)
        assert [loss["kind"] for loss in message["losses"]] == ["sent_as_template"]
        assert await it.whatsapp(told(wamid, "sent"), told(second, "sent", 1)) == 200
        assert await it.whatsapp(told(second, "delivered", 2)) == 200
        assert (await it.status(tid), await it.history(tid)) == (2, [1, 2])


async def test_a_template_that_is_refused_too_ends_the_message(tmp_path):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp", fallback=FALLBACK)
        (wamid,) = await it.answered(tid)
        assert await it.whatsapp(closed(wamid)) == 200
        await it.platform.called(2)
        (second,) = await it.answered(tid)
        assert await it.whatsapp(closed(second)) == 200
        message = await it.run.message(tid)
        assert (message["status"], message["error"]["code"]) == (-2, "window_closed")
        assert kinds(it) == ["text", "template"]


@pytest.mark.parametrize("code", [131047, 131026])
async def test_without_a_fallback_or_for_another_cause_a_receipt_ends_the_message(tmp_path, code):
    async with world(tmp_path) as it:
        more = {"fallback": FALLBACK} if code != 131047 else {}
        tid = await it.send("whatsapp", **more)
        (wamid,) = await it.answered(tid)
        assert await it.whatsapp(failed(wamid, code)) == 200
        assert await it.status(tid) == -2
        assert kinds(it) == ["text"]


async def test_a_closed_window_that_is_told_before_the_answer_brings_the_fallback(tmp_path):
    async with world(tmp_path) as it:
        gate = asyncio.Event()

        async def hold(request):
            if request.number == 1:
                await gate.wait()

        it.platform.answers = hold
        tid = await it.send("whatsapp", fallback=FALLBACK)
        await it.platform.called(1)
        assert await it.whatsapp(closed("wamid.1", biz_opaque_callback_data=tid)) == 200
        gate.set()
        await it.platform.called(2)
        assert await it.answered(tid) == ["wamid.2"]
        assert kinds(it) == ["text", "template"]


async def test_a_call_without_an_answer_whose_receipt_tells_of_the_window_goes_as_the_fallback(tmp_path):
    async with world(tmp_path, unknown_outcome="hold") as it:
        it.platform.answers = lambda request: CUT if request.number == 1 else None
        tid = await it.send("whatsapp", fallback=FALLBACK)
        await it.platform.called(1)
        assert await it.whatsapp(closed("wamid.lost", biz_opaque_callback_data=tid)) == 200
        await it.platform.called(2)
        assert await it.answered(tid) == ["wamid.2"]
        assert kinds(it) == ["text", "template"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_several_parts_that_the_window_refused_one_template_goes(tmp_path, order):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp", LONG, fallback=FALLBACK)
        wamids = await it.answered(tid, 2)
        for part in order:
            assert await it.whatsapp(closed(wamids[part])) == 200
        await it.platform.called(3)
        assert await it.answered(tid) == ["wamid.3"]
        behind = await it.send("whatsapp", "behind")
        await it.answered(behind)
        assert kinds(it) == ["text", "text", "template", "text"]
        assert await it.whatsapp(told("wamid.3", "read")) == 200
        assert await it.status(tid) == 3


# --- whose receipts ---------------------------------------------------------------------------------------------------------


async def test_each_entry_of_a_batch_goes_to_its_account_of_the_same_app_and_to_no_other(tmp_path):
    second = another_number("second-wa", SECOND_NUMBER, DEMO_WHATSAPP.app_secret)
    strangers = another_number("strangers-wa", STRANGERS_NUMBER, "the secret of another app")
    async with world(tmp_path, second, strangers) as it:
        mine = await it.send("whatsapp")
        other = await it.send("whatsapp", account="second-wa")
        foreign = await it.send("whatsapp", account="strangers-wa")
        ids = {tid: (await it.answered(tid))[0] for tid in (mine, other, foreign)}
        body = batch(
            (SECOND_NUMBER, [told(ids[other], "read")]),
            (STRANGERS_NUMBER, [told(ids[foreign], "read")]),
            ("99999999", [told(ids[mine], "read")]),
            (NUMBER, [told(ids[mine], "delivered")]),
        )
        assert await it.post("whatsapp", body) == 200
        assert [await it.status(tid) for tid in (mine, other, foreign)] == [2, 3, 0]
        # An id of one account told under the number of another is nobody's.
        await it.whatsapp(told(ids[mine], "read"), number=SECOND_NUMBER)
        assert await it.status(mine) == 2
        own = batch((STRANGERS_NUMBER, [told(ids[foreign], "sent")]))
        assert await it.post("whatsapp", own, account="strangers-wa", secret="the secret of another app") == 200
        assert await it.status(foreign) == 1


async def test_a_number_that_two_accounts_share_is_meant_for_the_one_that_was_called(tmp_path):
    twin = another_number("twin-wa", NUMBER, DEMO_WHATSAPP.app_secret)
    async with world(tmp_path, twin) as it:
        mine = await it.send("whatsapp")
        twins = await it.send("whatsapp", account="twin-wa")
        ids = {tid: (await it.answered(tid))[0] for tid in (mine, twins)}
        await it.whatsapp(told(ids[mine], "delivered"))
        await it.whatsapp(told(ids[twins], "read"), account="twin-wa")
        assert [await it.status(tid) for tid in (mine, twins)] == [2, 3]


@pytest.mark.parametrize("account", ["demo-wa", "no-such-account"])
async def test_a_wrong_signature_and_an_unknown_account_change_nothing_and_get_the_same_answer(tmp_path, account):
    async with world(tmp_path) as it:
        tid = await it.send("whatsapp")
        (wamid,) = await it.answered(tid)
        assert await it.whatsapp(told(wamid, "read"), account=account, secret="a guess") == 401
        assert await it.status(tid) == 0


async def test_a_signed_body_that_nobody_can_read_is_taken_and_changes_nothing(tmp_path):
    async with world(tmp_path) as it:
        for body in ([], {}, {"object": "page"}, {"object": "whatsapp_business_account", "entry": [1, {"changes": 5}]}):
            assert await it.post("whatsapp", body) == 200


# --- Messenger --------------------------------------------------------------------------------------------------------------


async def test_a_watermark_covers_what_was_sent_before_it_and_not_what_is_sent_after(tmp_path):
    async with world(tmp_path) as it:
        first, second = await it.send("messenger", "first"), await it.send("messenger", "second")
        await it.answered(first)
        await it.answered(second)
        stranger = await it.send("messenger", to="fb:7001234567890123")
        await it.answered(stranger)
        at = [await moment(it, tid) for tid in (first, second)]
        assert await it.messenger(seen("delivery", at[1])) == 200
        assert [await it.status(tid) for tid in (first, second, stranger)] == [2, 2, 1]
        assert await it.messenger(seen("read", at[1])) == 200
        assert [await it.status(tid) for tid in (first, second, stranger)] == [3, 3, 1]
        beyond = at[0] - 60  # a watermark of a minute ago says nothing of what was sent since
        third = await it.send("messenger", "third", to="fb:7101234567890123")
        await it.answered(third)
        assert await it.messenger(seen("delivery", beyond) | {"sender": {"id": "7101234567890123"}}) == 200
        assert await it.status(third) == 1


async def moment(it: World, tid: str) -> float:
    message = await it.run.message(tid)
    return datetime.fromisoformat(message["parts"][-1]["at"]).timestamp() + 0.001


async def test_a_watermark_before_the_answer_covers_the_part_when_it_is_recorded(tmp_path):
    async with world(tmp_path) as it:
        gate = asyncio.Event()

        async def hold(_):
            await gate.wait()

        it.platform.answers = hold
        tid = await it.send("messenger")
        await it.platform.called(1)
        ahead = (it.run.gateway.clock.now().timestamp()) + 60
        assert await it.messenger(seen("read", ahead)) == 200
        gate.set()
        await it.answered(tid)
        assert await it.status(tid) == 3


async def test_our_echo_settles_a_call_that_got_no_answer(tmp_path):
    async with world(tmp_path) as it:
        it.platform.answers = lambda request: CUT if request.number == 1 else None
        tid = await it.send("messenger")
        await it.platform.called(1)
        assert await it.messenger(echo("m_lost", tid)) == 200
        message = await it.run.until(tid, 1)
        assert message["parts"][0]["provider_message_ids"] == ["m_lost"]
        await it.answered(await it.send("messenger", "the next one"))
        assert len(it.platform.calls) == 2


async def test_a_held_message_is_corrected_by_a_proof_that_it_left(tmp_path):
    async with world(tmp_path, unknown_outcome="hold") as it:
        it.platform.answers = lambda _: CUT
        tid = await it.send("messenger")
        message = await it.run.until(tid, -3)
        assert message["error"]["code"] == "outcome_unknown"
        assert await it.messenger(echo("m_lost", tid)) == 200
        message = await it.run.message(tid)
        assert (message["status"], message["error"]) == (1, None)
        assert await it.history(tid) == [-3, 1]
