"""The published cases of what comes in, through a whole gateway: a signed webhook over HTTP, then the client's feed.

An account for each case, so that no case is another one's repeat.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kurir.clock import uuid7
from kurir.domain.status import Status
from kurir.intake import inbound_data
from kurir.store.base import Mark, ReceiptRecord
from support import cases, records
from support.delivering import eventually
from support.inbound import CLIENT, PASSWORD, PUBLIC, Inbox, account, meta_headers, receiving

in_module = pytest.mark.asyncio(loop_scope="module")

CHANNELS = ("telegram", "line", "whatsapp", "messenger")
CASES = {
    channel: {case["id"]: case for kind in ("inbound", "verify") for case in cases.load(channel, kind)}
    for channel in CHANNELS
}
ALL = [(channel, name) for channel in CHANNELS for name in CASES[channel]]
FAR = datetime(2099, 1, 1, tzinfo=UTC)

#: A case's name of an event → the type in the feed. None: nothing is told, and what it changed is looked up.
TYPES: dict[str, str | None] = {
    "message": "message.received",
    "start": "message.received",
    "contact": "message.received",
    "postback": "postback.received",
    "message_edited": "message.edited",
    "reaction": "message.reaction",
    "agent_message": "message.agent",
    "status": "message.status",
    "contact_blocked": "contact.blocked",
    "contact_unblocked": "contact.unblocked",
    "referral": "contact.referred",
    "account_linked": "contact.referred",
    "chat_migrated": None,
    "channel_blocked": None,
}
ERRORS = {"media_url_failed": "media_refused"}


#: Two cases name one tid, and this gateway has both: the second one's is another, in its webhook as well.
TIDS = {"ms-i07-echo-reconciles-timeout": "b3d31d85-0000-4000-8000-000000000007"}
#: ``sent_at_ms`` is Meta's time of sending, which its echo tells. Our answer came so much later, by our clock: so much
#: that the message would stand behind every watermark of the cases, were that time taken for it.
ANSWER = timedelta(seconds=5)


def account_of(case: Any) -> str:
    return f"case-{case['id'].lower()}"


def client_of(case: Any) -> str:
    """The client of a case: one of its own where ids and tokens of messages are given."""
    return account_of(case) if "store" in case else CLIENT


def person_of(data: Any) -> Any:
    return data.get("from") or data.get("contact") or data["to"]


def sender_of(data: Any) -> Any:
    """The person's own id; None where nobody is named, and the chat stands for them."""
    whom = person_of(data)
    return None if whom["id"].startswith(("C", "R")) else whom["id"]


#: A case's member → where the feed says it.
MEMBERS: dict[str, Any] = {
    "type": lambda data: data["message"]["type"],
    "text": lambda data: data["message"]["text"],
    "sender": sender_of,
    "recipient": lambda data: data["to"]["id"],
    "sender_name": lambda data: data["from"]["name"],
    "chat": lambda data: data["from"]["address"].partition(":")[2],
    "provider_message_id": lambda data: (
        data["message"]["id"] if "message" in data else data["parts"][0]["provider_message_ids"][0]
    ),
    "timestamp": lambda data: data["message"]["times"],
    "reply_token": lambda data: data["message"]["reply_token"] if "message" in data else data["reply_token"],
    "reply_to_provider_message_id": lambda data: data["message"]["reply_id"],
    "of_provider_message_id": lambda data: (
        data["reaction"]["message_id"] if "reaction" in data else data["message"]["reply_id"]
    ),
    "payload": lambda data: data["message"]["referral"],
    "key": lambda data: data["message"]["postback"]["key"],
    "title": lambda data: data["message"]["postback"]["title"],
    "mime_type": lambda data: data["message"]["media"]["mime_type"],
    "name": lambda data: (data["message"]["media"] or data["message"]["location"])["name"] or None,
    "address": lambda data: data["message"]["location"]["address"] or None,
    "latitude": lambda data: data["message"]["location"]["latitude"],
    "longitude": lambda data: data["message"]["location"]["longitude"],
    "standby": lambda data: data["message"]["standby"],
    "emoji": lambda data: data["reaction"]["emoji"],
    "ref": lambda data: data["referral"],
    "nonce": lambda data: data["referral"],
    "first_time": lambda data: data["first_time"],
    "message_id": lambda data: data["message_id"],
    "status": lambda data: data["status"],
    "error_code": lambda data: next(name for name, code in ERRORS.items() if code == data["error"]["code"]),
    "provider_code": lambda data: int(data["error"]["provider_code"]),
}
#: Members that no client is shown: they are looked up in the store, or at the platform.
HIDDEN = {"store_quote_token", "content_url", "media", "media_id", "file_id", "requests"}
#: ``verified``: of a card, false in every case: then there is no contact.linked, and the events are as many as the case's.
APART = {"event", "note", "verified", "http"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inbox(tmp_path_factory):
    def edit(document: Any) -> None:
        url = document["clients"][CLIENT]["accounts"][0]["api_base"]
        for channel, name in ALL:
            case = CASES[channel][name]
            more = {"channel_secret": case["channel_secret"]} if channel == "line" else {}
            login = {"username": client_of(case), "password": PASSWORD, "accounts": []}
            client = document["clients"].setdefault(client_of(case), login)
            client["accounts"].append(account(channel, url, account_of(case), **more))

    async with receiving(tmp_path_factory.mktemp("gateway"), edit=edit) as started:
        yield started


async def feed(inbox: Inbox, case: Any) -> list[Any]:
    """Return every event of a case's account, as its client is told."""
    headers = {"Auth-username": client_of(case), "Auth-password": PASSWORD}
    async with aiohttp.request("GET", f"{inbox.url}/v1/events?limit=1000", headers=headers) as response:
        assert response.status == 200
        told = (await response.json())["data"]
        return [one for one in told if one["data"]["account"] == account_of(case)]


# --- what the gateway knows before a case -----------------------------------------------------------------------------


async def put(inbox: Inbox, channel: str, case: Any, message: Any, *, tid: str = "", to: str = "") -> Any:
    """Have a message accepted that no worker will take: it is due in 2099, and the test is its sender."""
    new = records.new_message(
        tid=tid or uuid7(),
        client_id=client_of(case),
        channel=channel,
        account_id=account_of(case),
        message_id=message["message_id"],
        recipient=to or "6281234567890",
        lane=to or "6281234567890",
        due_at=FAR,
        expires_at=FAR + timedelta(days=1),
    )
    await inbox.gateway.store.accept(new)
    return new


def sent_at(message: Any) -> datetime:
    return datetime.fromtimestamp(message["sent_at_ms"] / 1000, UTC)


def echo_of(account_id: str, platform_id: str, message: Any) -> ReceiptRecord:
    """Return what the echo of a message on Messenger is to the store."""
    return ReceiptRecord(account_id, f"echo of {platform_id}", Status.SENT, sent_at(message), platform_id)


async def arrange(inbox: Inbox, channel: str, case: Any) -> None:
    """Bring what the case's ``store`` holds about, by the store's own operations."""
    store, known, account_id = inbox.gateway.store, case.get("store", {}), account_of(case)
    if "tokens" in known:
        new = await put(inbox, channel, case, {"message_id": f"tokens of {case['id']}"})
        assert await store.mark(records.mark(new, tokens=tuple(known["tokens"].items())))
        await store.record(records.result(new, records.sent(f"tokens of {case['id']}")))
    for platform_id, message in known.get("sent", {}).items():
        to = message.get("psid", "")
        new = await put(inbox, channel, case, message, to=to)
        at = sent_at(message) + ANSWER if to else records.at(2)
        begun = Status(min(message["status"], 1))
        assert await store.mark(records.mark(new, at=at))
        await store.record(records.result(new, records.sent(platform_id, status=begun), at=at))
        if to:
            await store.receive([echo_of(account_id, platform_id, message)], at)
        if message["status"] > 1:
            reached = ReceiptRecord(account_id, "reached", Status(message["status"]), at, platform_id)
            await store.receive([reached], at)
    for tid, message in known.get("unknown_outcome", {}).items():
        new = await put(inbox, channel, case, message, tid=TIDS.get(case["id"], tid))
        assert await store.mark(records.mark(new))
    for message in known.get("parts", {}).values():
        new = await put(inbox, channel, case, message, to=message["psid"])
        moments = [sent_at(part) + ANSWER for part in message["parts"]]
        marks = [records.mark(new, number, len(moments), at=at) for number, at in enumerate(moments, 1)]
        following: list[Mark | None] = [*marks[1:], None]
        assert await store.mark(marks[0])
        for number, (part, at) in enumerate(zip(message["parts"], moments, strict=True), 1):
            done = records.result(new, records.sent(part["mid"]), number, at=at, next_mark=following[number - 1])
            await store.record(done)
            await store.receive([echo_of(account_id, part["mid"], part)], at)
    if case["id"] == "tg-i10-unblocked":  # the update says what was before: they had blocked us
        update = json.loads(json.dumps(case["update"]))
        change = update["my_chat_member"]
        change["old_chat_member"], change["new_chat_member"] = change["new_chat_member"], change["old_chat_member"]
        await inbox.telegram({**update, "update_id": 1, "my_chat_member": {**change, "date": 1}}, account_id)
    if case["id"] == "ln-i19-delivery-pnp":  # the receipt's reference is ours: the tid stands in the case
        (event,) = case["expect"]["events"]
        new = await put(inbox, channel, case, event, tid=event["message_id"])
        assert await store.mark(records.mark(new))
        await store.record(records.result(new, records.sent("pnp")))


async def post(inbox: Inbox, channel: str, case: Any, account_id: str) -> int:
    """Post a case's webhook to *account_id*; the status."""
    if channel == "telegram":
        headers = {**case["headers"], **case.get("override_headers", {})}
        return await inbox.hook(account_id, json.dumps(case["update"]).encode(), headers)
    if case["id"] in TIDS:
        (tid,) = case["store"]["unknown_outcome"]
        raw = case["raw_body"].replace(tid, TIDS[case["id"]]).encode()
        return await inbox.hook(account_id, raw, meta_headers(raw, case["app_secret"]))
    name = "x_line_signature" if channel == "line" else "x_hub_signature_256"
    return await inbox.hook(account_id, case["raw_body"].encode(), {name.replace("_", "-"): case[name]})


# --- the cases --------------------------------------------------------------------------------------------------------


@in_module
@pytest.mark.parametrize(("channel", "name"), ALL, ids=[name for _, name in ALL])
async def test_case(inbox, channel, name):
    case = CASES[channel][name]
    account_id, expect = account_of(case), case["expect"]
    if case["kind"] == "verify":
        await handshake(inbox, account_id, case)
        return
    await arrange(inbox, channel, case)
    first = {"tg-i11-duplicate": "tg-i01-text"}.get(name) or case.get("after")
    if first:
        assert await post(inbox, channel, CASES[channel][first], account_id) == 200
    before = [one["id"] for one in await feed(inbox, case)]
    calls = len(inbox.platform.calls)
    status = await post(inbox, channel, case, account_id)
    wanted = expect.get("http", 200)
    assert status == (401 if wanted == 403 else wanted)  # one bare answer to whoever is not the platform
    told = [one for one in await feed(inbox, case) if one["id"] not in before]
    for one in told:
        check_form(one, channel, account_id)
    await judge(inbox, channel, case, told, calls)


async def handshake(inbox: Inbox, account_id: str, case: Any) -> None:
    url = f"{inbox.url}/webhooks/{account_id}"
    async with aiohttp.request("GET", url, params=case["query"]) as response:
        assert response.status == case["expect"]["http"]
        assert await response.text() == (case["expect"]["body"] or "")
        if response.status == 200:
            assert response.content_type == "text/plain"


def check_form(event: Any, channel: str, account_id: str) -> None:
    assert event.keys() == {"id", "type", "timestamp", "data"}
    assert (event["data"]["channel"], event["data"]["account"]) == (channel, account_id)
    media = event["data"].get("message", {}).get("media")
    assert media is None or media["url"].startswith(f"{PUBLIC}/media/{account_id}/{event['id']}/0/")


async def judge(inbox: Inbox, channel: str, case: Any, told: list[Any], calls: int) -> None:
    """Hold what was told, and what is not told to clients, against the case."""
    expect = case["expect"]
    wanted = expect.get("events")
    if wanted is None:  # Telegram's cases have one event each
        wanted = [expect] if expect["event"] is not None else []
    if "requests" in expect:
        made = inbox.platform.calls
        await inbox.platform.called(calls + len(expect["requests"]))
        shown = [{"path": call.path.rpartition("/")[2], "json": call.json} for call in made[calls:]]
        assert shown == [{"path": one["path"].rpartition("/")[2], "json": one["json"]} for one in expect["requests"]]
    if "unsupported" in expect.get("note", ""):
        (event,) = told
        assert (event["type"], event["data"]["message"]["type"]) == ("message.received", "unsupported")
        return
    silent = [one for one in wanted if TYPES[one["event"]] is None]
    for one in silent:
        await judge_silent(inbox, account_of(case), one)
    wanted = [one for one in wanted if TYPES[one["event"]] is not None]
    files = [group[0] for group in _by_message(told)]
    assert [one["type"] for one in files] == [TYPES[one["event"]] for one in wanted]
    for group, one in zip(_by_message(told), wanted, strict=True):
        data = group[0]["data"]
        members = {name: value for name, value in one.items() if name not in HIDDEN | APART}
        assert {name: MEMBERS[name](data) for name in members} == members
        await judge_hidden(inbox, case, group, one)


def _by_message(told: list[Any]) -> list[list[Any]]:
    """Return the events in groups: a message with several files is told in as many events, with one id."""
    groups: list[list[Any]] = []
    for one in told:
        identifier = one["data"].get("message", {}).get("id")
        if groups and identifier and identifier == groups[-1][0]["data"].get("message", {}).get("id"):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


async def judge_hidden(inbox: Inbox, case: Any, group: list[Any], one: Any) -> None:
    store, client_id, account_id = inbox.gateway.store, client_of(case), account_of(case)
    if "store_quote_token" in one:
        target = await store.reply_target(client_id, account_id, one["provider_message_id"])
        assert target is not None
        assert target.quote_token == one["store_quote_token"]
    if not HIDDEN - {"store_quote_token", "requests"} & one.keys():
        return
    entry = inbox.gateway.directory.accounts()[account_id]
    handles = []
    for each in group:
        event = await store.event(client_id, int(each["id"]))
        assert event is not None
        handles += inbound_data.read_handles(event.media)
    if "media" in one:
        assert [handle.url for handle in handles] == one["media"]
    if "content_url" in one:
        call = entry.channel.fetch(entry.account, handles[0])
        assert call is not None
        assert call.url.replace(inbox.platform.url, "https://api-data.line.me") == one["content_url"]
    for name in ("media_id", "file_id"):
        if name in one:
            assert [handle.id for handle in handles] == [one[name]]


async def judge_silent(inbox: Inbox, account_id: str, one: Any) -> None:
    if one["event"] == "chat_migrated":
        found = await inbox.gateway.store.contact(account_id, one["to_chat"])
        old = await inbox.gateway.store.contact(account_id, one["from_chat"])
        assert found is not None
        assert old is None or old.address == one["to_chat"]
        return

    async def parked() -> bool:
        known = {record.id: record for record in await inbox.gateway.store.accounts()}
        return one["reason"] in known[account_id].parked_reason

    await eventually(parked)


def test_every_name_of_the_cases_has_its_place():
    names = {event["event"] for channel, name in ALL for event in CASES[channel][name]["expect"].get("events", [])} | {
        CASES["telegram"][name]["expect"]["event"] for channel, name in ALL if channel == "telegram"
    }
    assert names - {None} == set(TYPES)
