"""Scorecard rows 17 to 19: what platforms call, in any order, spoilt, and while nothing can be stored.

``KURIR_TIER=N`` runs row 18 with 10,000 spoilt bodies a channel.
"""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable, Iterator
from datetime import datetime
from random import Random
from typing import Any

import aiohttp
import apsw
import pytest
from structlog.testing import capture_logs

from kurir import channels
from kurir.store.operations import quarantine
from kurir.store.sqlite import SqliteStore
from support import cases, junk
from support.delivering import eventually
from support.disks import FailingDisk
from support.endpoint import RecordingEndpoint, recording
from support.inbound import (
    ADMIN,
    ANI,
    CLIENT,
    NUMBER,
    Inbox,
    line_headers,
    meta_headers,
    receiving,
    telegram_headers,
)

NIGHTLY = os.environ.get("KURIR_TIER") == "N"
SEED = 20261122
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 if NIGHTLY else 240)]


def calling_back(hook: RecordingEndpoint, **account: Any) -> Any:
    """Return an edit of the configuration: the client has *hook*, and its accounts these settings."""

    def edit(document: Any) -> None:
        client = document["clients"][CLIENT]
        client["callbacks"] = [{"url": hook.url, "secret": SECRET, "dialect": "standard"}]
        for one in client["accounts"]:
            one.update(account)

    return edit


# --- row 17: receipts ---------------------------------------------------------------------------------------------------

WORDS = ("sent", "delivered", "read")
COPIES = 5


class Receipts:
    """WhatsApp's platform, which tells of messages before it has answered that it took them."""

    def __init__(self, inbox: Inbox, early: int, random: Random) -> None:
        self.inbox = inbox
        self.random = random
        self.early = early
        self.highest: dict[str, int] = {}
        self.answered_at: dict[str, float] = {}
        self.posted = 0
        self._waiting: list[tuple[str, asyncio.Event]] = []
        inbox.platform.answers = self.answer

    async def answer(self, request: Any) -> None:
        """Hold the first answers until the receipts of all that are in flight have been posted, shuffled."""
        wamid = f"wamid.{request.number}"
        self.highest[wamid] = self.random.randint(1, 3)
        if len(self.highest) > self.early:
            return
        told = asyncio.Event()
        self._waiting.append((wamid, told))
        await asyncio.sleep(0.05)  # others come as well
        if self._waiting and self._waiting[0][0] == wamid:
            together, self._waiting = self._waiting, []
            await self.post([wamid for wamid, _ in together])
            for one, event in together:
                self.answered_at[one] = time.monotonic()
                event.set()
        await told.wait()

    async def post(self, wamids: list[str]) -> None:
        """Post every receipt of *wamids* five times, in any order, in webhooks of any size."""
        rows = [
            {"id": wamid, "status": word, "timestamp": str(1_790_000_000 + step), "recipient_id": ANI["whatsapp"]}
            for wamid in wamids
            for step, word in enumerate(WORDS[: self.highest[wamid]])
            for _ in range(COPIES)
        ]
        self.random.shuffle(rows)
        webhooks = []
        self.posted += len(rows)
        while rows:
            size = self.random.randint(1, 12)
            webhooks.append(self.inbox.whatsapp(statuses=rows[:size]))
            del rows[:size]
        await all_of(webhooks)


@pytest.mark.scorecard(17)
async def test_ten_thousand_receipts_shuffled_five_times_over_and_half_of_them_early(tmp_path):
    count, random = 1020, Random(SEED)
    settings = {"concurrency": 64, "rate": {"account": "none", "recipient": "none"}}
    async with recording() as hook, receiving(tmp_path, edit=calling_back(hook, **settings)) as inbox:
        platform = Receipts(inbox, count // 2, random)
        tids = await all_of(inbox.send("whatsapp", recipient=f"62812{number:08}") for number in range(count))
        messages = dict(zip(tids, await all_of(answered(inbox, tid) for tid in tids), strict=True))
        wamids = {tid: one["parts"][0]["provider_message_ids"][0] for tid, one in messages.items()}
        late = [wamid for wamid in wamids.values() if wamid not in platform.answered_at]
        assert len(late) == count // 2
        await platform.post(late)
        assert platform.posted >= 10_000
        histories = {}
        for message in await all_of(inbox.message(tid) for tid in tids):
            tid = message["tid"]
            wamid = wamids[tid]
            assert message["status"] == platform.highest[wamid]
            histories[tid] = [one["status"] for one in message["history"]]
            assert histories[tid] == sorted(set(histories[tid]))
            if wamid in platform.answered_at:
                assert histories[tid] == [platform.highest[wamid]], "what came before the answer is one change"
        changes = sum(map(len, histories.values()))
        await hook.until(changes, 60)
        await settled(inbox)
        told = defaultdict(list)
        for one in hook.received:
            data = one.verified(SECRET)["data"]
            told[data["tid"]].append(data["status"])
        assert told == histories, "exactly one callback for each change of a status, in its order"
        slowest = await early_matched(inbox, platform, wamids)
        assert slowest <= 5.0
    print(
        f"scorecard 17: seed {SEED}; {platform.posted:,} receipts of {count:,} messages, each {COPIES} times, shuffled, "
        f"those of {len(platform.answered_at)} before their answer: every final status the highest, {changes:,} changes, "
        f"{changes:,} callbacks; early ones matched ≤ {slowest:.2f} s after the answer"
    )


async def early_matched(inbox: Inbox, platform: Receipts, wamids: dict[str, str]) -> float:
    """Return the longest time from an answer to the commit of what its early receipts changed, in seconds."""
    offset = time.time() - time.monotonic()
    slowest = 0.0
    for message in await all_of(inbox.message(tid) for tid in wamids):
        wamid, part = wamids[message["tid"]], message["parts"][0]
        if wamid in platform.answered_at:
            at = datetime.fromisoformat(part["at"]).timestamp()
            slowest = max(slowest, at - (platform.answered_at[wamid] + offset))
    return slowest


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await *work*, sixteen at once; the results in its order."""
    found: list[Any] = []
    waiting = list(work)
    for at in range(0, len(waiting), 16):
        found += await asyncio.gather(*waiting[at : at + 16])
    return found


async def answered(inbox: Inbox, tid: str) -> Any:
    while True:
        message = await inbox.message(tid)
        if message["parts"] and message["parts"][0]["state"] == "answered":
            return message
        await asyncio.sleep(0.02)


async def settled(inbox: Inbox) -> None:
    """Wait until nothing is owed to any endpoint."""

    async def none_owed() -> bool:
        [endpoint] = await inbox.gateway.store.all_endpoints()
        whole = await inbox.gateway.store.endpoint(endpoint.id)
        return whole is not None and whole.pending == 0

    await eventually(none_owed, 60)


# --- row 18: junk -------------------------------------------------------------------------------------------------------

BODIES = 10_000 if NIGHTLY else 1_500
CHANNELS = ("telegram", "line", "whatsapp", "messenger")
#: What a case tells of an account is no fault of the gateway.
NEWS = ("account_news", "account_parked")
#: Of a body that nobody could read and that did not fit into the quarantine any more.
BEYOND = "webhook_not_kept"
#: One good event after so many spoilt ones.
EVERY = 100


def seeds(channel: str) -> list[bytes]:
    """Return the bodies of the published cases."""
    if channel == "telegram":
        return [json.dumps(case["update"]).encode() for case in cases.load(channel, "inbound")]
    return [case["raw_body"].encode() for case in cases.load(channel, "inbound")]


def signed(channel: str, raw: bytes) -> dict[str, str]:
    return {"telegram": lambda _: telegram_headers(), "line": line_headers}.get(channel, meta_headers)(raw)


async def good(inbox: Inbox, channel: str, text: str) -> None:
    now = int(time.time())
    match channel:
        case "telegram":
            who = {"id": 1001, "is_bot": False, "first_name": "Ani"}
            chat = {"id": 1001, "type": "private"}
            number = int(text.rpartition(" ")[2]) + 5_000_000
            message = {"message_id": number, "from": who, "chat": chat, "date": now, "text": text}
            await inbox.telegram({"update_id": 10**9 + number, "message": message})
        case "line":
            event = {"type": "message", "mode": "active", "timestamp": now * 1000, "webhookEventId": f"good {text}"}
            event |= {"source": {"type": "user", "userId": ANI["line"]}, "replyToken": f"rt {text}"}
            await inbox.line(event | {"message": {"id": f"id {text}", "type": "text", "text": text}})
        case "whatsapp":
            message = {"from": ANI["whatsapp"], "id": f"wamid.{text}", "timestamp": str(now), "type": "text"}
            await inbox.whatsapp(message | {"text": {"body": text}})
        case _:
            event = {
                "sender": {"id": ANI["messenger"]},
                "recipient": {"id": "108123456789012"},
                "timestamp": now * 1000,
            }
            await inbox.messenger(event | {"message": {"mid": f"m_{text}", "text": text}})


@pytest.mark.scorecard(18)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_no_spoilt_body_ends_in_a_5xx_or_keeps_good_ones_out(tmp_path, channel, monkeypatch):
    random, bodies = Random(f"{SEED} {channel}"), seeds(channel)
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    async with recording() as hook, receiving(tmp_path, edit=calling_back(hook)) as inbox:
        url = f"{inbox.url}/webhooks/acme-{channel}"
        await inbox.events()
        with capture_logs() as logs:
            async with aiohttp.ClientSession() as platform:

                async def post(raw: bytes) -> None:
                    async with platform.post(url, data=raw, headers=signed(channel, raw)) as response:
                        statuses[response.status] += 1
                        assert response.status < 500, raw[:2000]

                for name, raw in junk.extremes(bodies[0]):
                    before = statuses.total()
                    await post(raw)
                    assert statuses.total() == before + 1, name
                    waits.append(await arrives(inbox, channel, f"after {name} {len(waits)}"))
                for number in range(0, BODIES, EVERY):
                    rows = [junk.spoilt(random.choice(bodies), random) for _ in range(EVERY)]
                    for at in range(0, EVERY, 10):
                        await asyncio.gather(*map(post, rows[at : at + 10]))
                    waits.append(await arrives(inbox, channel, f"good {number + 1000}"))
                async with platform.get(f"{inbox.url}/readyz") as response:
                    assert response.status == 200, "every worker is alive"
        faults = [row for row in logs if row["log_level"] == "error" and row["event"] not in (*NEWS, BEYOND)]
        unreadable = [row for row in logs if row["event"] in ("webhook_unreadable", BEYOND)]
        ignored = sum(row["event"] == "webhook_event_ignored" for row in logs)
        assert faults == []
        assert unreadable
        assert all(row["account"] == f"acme-{channel}" and row["size"] >= 0 for row in unreadable)
        assert len(hook.received) >= len(waits)
        store = inbox.gateway.store
        events = len(await store.events(CLIENT, limit=1_000_000))
        quarantined = await store.quarantined(f"acme-{channel}", limit=1_000_000)
        beyond = sum(one.webhooks for one in await store.not_kept())
        assert sum(one.times for one in quarantined) + beyond == len(unreadable), "each is kept, or said to be beyond"
        assert len(quarantined) == quarantine.MOST_BODIES or beyond == 0
        for one in quarantined:
            assert (await replayed(inbox, one.number))["understood"] is False, "the same version reads it no better"
        assert len(await store.quarantined(limit=1_000_000)) == len(quarantined)
        assert len(await store.events(CLIENT, limit=1_000_000)) == events
        waits.append(await learned_later(inbox, channel, quarantined[0].number, monkeypatch))
    assert set(statuses) <= {200, 413}
    assert max(waits) <= 1.0, waits
    print(
        f"scorecard 18: {channel}, seed {SEED}: {BODIES:,} spoilt bodies and {len(junk.extremes(b'{}'))} extremes, signed: "
        f"{dict(statuses)}, {len(unreadable)} unreadable ({len(quarantined)} different ones in quarantine and replayed, "
        f"{beyond} beyond its bound and counted) and {ignored} events ignored, {events:,} events told; {len(waits)} good "
        f"ones between them in ≤ {max(waits):.2f} s; one that a later version reads is told once, by its replay"
    )


async def learned_later(inbox: Inbox, channel: str, room: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Replay a webhook that the version which took it could not read. Returns how long the next good one took to arrive."""
    store, account = inbox.gateway.store, f"acme-{channel}"
    await store.release(room)
    before = {one.number for one in await store.quarantined(account, limit=1_000_000)}

    def fail(*_: Any) -> None:
        raise KeyError("a member that this version does not know")

    with monkeypatch.context() as patch:
        patch.setattr(channels.BUILT_IN[channel], "parse", fail)
        await good(inbox, channel, "learned 900001")  # it is taken: a 200
    [number] = {one.number for one in await store.quarantined(account, limit=1_000_000)} - before
    wait = await arrives(inbox, channel, "next 900002")
    assert (await replayed(inbox, number))["new"] == 1
    assert (await replay(inbox, number))[0] == 404, "it is out of quarantine"
    told = [one["data"]["message"]["text"] for one in await inbox.events()]
    assert told == ["learned 900001"]
    return wait


async def replay(inbox: Inbox, number: int) -> tuple[int, Any]:
    url, login = f"{inbox.url}/v1/admin/webhooks/{number}/replay", {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.request("POST", url, headers=login) as response:
        return response.status, await response.json(content_type=None)


async def replayed(inbox: Inbox, number: int) -> Any:
    status, answer = await replay(inbox, number)
    assert status == 200, answer
    return answer["data"]


async def arrives(inbox: Inbox, channel: str, text: str) -> float:
    """Post a good event, and return after how many seconds the client's feed has it."""
    began = time.monotonic()
    await good(inbox, channel, text)
    async with asyncio.timeout(10):
        while True:
            for one in await inbox.events():
                if one["data"].get("message", {}).get("text") == text:
                    return time.monotonic() - began
            await asyncio.sleep(0.01)


# --- row 19: the store away -----------------------------------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    made = FailingDisk()
    yield made
    made.unregister()


@pytest.mark.scorecard(19)
@pytest.mark.parametrize("code", [apsw.SQLITE_FULL, apsw.SQLITE_READONLY, apsw.SQLITE_IOERR])
async def test_while_nothing_can_be_stored_platforms_hear_503_and_what_they_repeat_is_stored_once(tmp_path, disk, code):
    random = Random(SEED)
    store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
    texts: dict[str, str] = {}
    async with recording() as hook, receiving(tmp_path, store=store, edit=calling_back(hook)) as inbox:

        def body(number: int) -> bytes:
            wamid, text = f"wamid.{number}", f"text {number}"
            texts[wamid] = text
            message = {"from": f"62812{number % 20:08}", "id": wamid, "timestamp": "1790000000", "type": "text"}
            value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}}
            value |= {"contacts": [], "messages": [message | {"text": {"body": text}}]}
            entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
            return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()

        async with aiohttp.ClientSession() as session:
            answers: dict[int, list[int]] = defaultdict(list)

            async def post(number: int) -> None:
                raw = body(number)
                url = f"{inbox.url}/webhooks/acme-whatsapp"
                async with session.post(url, data=raw, headers=meta_headers(raw)) as response:
                    answers[number].append(response.status)
                    assert response.status == 200 or response.headers["Retry-After"]

            await asyncio.gather(*map(post, range(50)))
            assert {status for one in answers.values() for status in one} == {200}
            disk.broken = lambda operation, _: (
                apsw.exception_for(code) if operation in ("write", "truncate", "sync") else None
            )
            await asyncio.gather(*map(post, range(50, 250)))
            assert {answers[number][-1] for number in range(50, 250)} == {503}, "no 200 without storage"
            known = await inbox.gateway.store.events(CLIENT, limit=1000)
            assert len(known) == 50
            disk.broken = lambda *_: None
            healed = time.monotonic()
            await until_taken(post, answers, 50)
            healed = time.monotonic() - healed
            again = [number for number in range(250) for _ in range(random.randint(1, 3))]
            random.shuffle(again)
            for at in range(0, len(again), 25):
                await asyncio.gather(*map(post, again[at : at + 25]))
            assert {answers[number][-1] for number in range(250)} == {200}
        events = [one["data"]["message"] for one in await inbox.events()]
        assert Counter(one["id"] for one in events) == dict.fromkeys(texts, 1)
        assert {one["id"]: one["text"] for one in events} == texts
        await hook.until(250, 30)
        await settled(inbox)
        told = Counter(one.verified(SECRET)["data"]["message"]["id"] for one in hook.received)
        assert set(told) == set(texts)
    print(
        f"scorecard 19: seed {SEED}, {code}: 200 webhooks while nothing could be written: 200 × 503, none kept; healed after "
        f"{healed:.2f} s; with {len(again)} repeats each of 250 is stored once, and called back"
    )


async def until_taken(post: Any, answers: dict[int, list[int]], number: int) -> None:
    """Repeat a webhook until it is taken."""
    async with asyncio.timeout(30):
        while True:
            await post(number)
            if answers[number][-1] == 200:
                return
            await asyncio.sleep(0.05)
