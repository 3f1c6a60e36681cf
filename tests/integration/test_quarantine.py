"""Webhooks that the platform signed and that could not be read: kept before the 200, looked at, read again, and gone."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import apsw
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from kurir import channels
from kurir.channels.base import WebhookUnreadable
from kurir.cli.app import app
from kurir.clock import FakeClock
from kurir.intake.arrivals import Resolver
from kurir.store.base import StoreError
from kurir.store.operations import quarantine
from kurir.store.sqlite import SqliteStore
from support.delivering import eventually
from support.disks import FailingDisk
from support.inbound import (
    ADMIN,
    ANI,
    CLIENT,
    NUMBER,
    PASSWORD,
    Inbox,
    Updates,
    by_polling,
    line_headers,
    meta_headers,
    platforms,
    receiving,
    telegram_headers,
)
from support.stores import STORE, store_of

LOGIN = {"Authorization": f"Bearer {ADMIN}"}


# --- what comes in ----------------------------------------------------------------------------------------------------


def text(number: int, words: str = "hello") -> dict[str, Any]:
    """An update: Ani writes to the bot."""
    who = {"id": 1001, "is_bot": False, "first_name": "Ani"}
    chat = {"id": 1001, "type": "private"}
    message = {"message_id": number, "from": who, "chat": chat, "date": 1_790_000_000 + number, "text": words}
    return {"update_id": 900_000 + number, "message": message}


def whatsapp(*numbers: int) -> bytes:
    """A batch with a text message for each number."""
    messages = [
        {
            "from": ANI["whatsapp"],
            "id": f"wamid.{number}",
            "timestamp": str(1_790_000_000 + number),
            "type": "text",
            "text": {"body": f"text {number}"},
        }
        for number in numbers
    ]
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "messages": messages}
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def signed(channel: str, raw: bytes) -> dict[str, str]:
    return {"telegram": lambda _: telegram_headers(), "line": line_headers}.get(channel, meta_headers)(raw)


async def post(inbox: Inbox, channel: str, raw: bytes) -> int:
    return await inbox.hook(f"acme-{channel}", raw, signed(channel, raw))


async def texts(inbox: Inbox) -> list[str]:
    """The texts of the messages since they were asked for last."""
    return [one["data"]["message"]["text"] for one in await inbox.events() if one["type"] == "message.received"]


# --- as the administrator ---------------------------------------------------------------------------------------------


async def admin(inbox: Inbox, method: str, path: str = "", **query: Any) -> tuple[int, Any]:
    url = f"{inbox.url}/v1/admin/webhooks{path}"
    async with aiohttp.request(method, url, headers=LOGIN, params=query) as response:
        return response.status, await response.json(content_type=None)


async def listed(inbox: Inbox, **query: Any) -> list[Any]:
    status, answer = await admin(inbox, "GET", **query)
    assert status == 200, answer
    return answer["data"]


async def replayed(inbox: Inbox, number: str) -> Any:
    status, answer = await admin(inbox, "POST", f"/{number}/replay")
    assert status == 200, answer
    return answer["data"]


@asynccontextmanager
async def blind(channel: str, error: Exception, monkeypatch: pytest.MonkeyPatch):
    """A version whose reader of the channel's webhooks fails."""

    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(channels.BUILT_IN[channel], "parse", fail)
        yield


# --- kept -------------------------------------------------------------------------------------------------------------


JUNK = (b"", b"\xff\x00 no JSON", b'"a string"', b"[" * 100_000)


@pytest.mark.parametrize("channel", ["telegram", "line", "whatsapp", "messenger"])
async def test_what_the_platform_signed_and_nobody_can_read_is_kept_as_it_came(tmp_path, channel):
    async with receiving(tmp_path) as inbox:
        with capture_logs() as logs:
            assert [await post(inbox, channel, raw) for raw in JUNK] == [200] * len(JUNK)
        known = await listed(inbox)
        logged = [row for row in logs if row["event"] == "webhook_unreadable"]
        for raw, one, row in zip(JUNK, known, logged, strict=True):
            assert (one["account"], one["size"], one["times"]) == (f"acme-{channel}", len(raw), 1)
            assert one["why"].startswith("the ")
            assert (row["account"], row["size"], row["number"]) == (f"acme-{channel}", len(raw), int(one["id"]))
            status, answer = await admin(inbox, "GET", f"/{one['id']}")
            body, encoded = answer["data"]["body"], answer["data"]["body_base64"]
            assert (status, body.encode() if encoded is None else base64.b64decode(encoded)) == (200, raw)
            assert (encoded is None) == (raw[:1] != b"\xff"), "only what is no text is encoded"
            assert one["replayed_at"] is None
            assert (await replayed(inbox, one["id"]))["why"] == one["why"], "it still cannot be read"
        again = await listed(inbox)
        assert all(one["replayed_at"] for one in again)
        assert again == [one | {"replayed_at": new["replayed_at"]} for one, new in zip(known, again, strict=True)]
        assert await inbox.events() == []


async def test_what_nobody_signed_is_not_kept(tmp_path):
    async with receiving(tmp_path) as inbox:
        assert await inbox.hook("acme-telegram", b"junk", telegram_headers("wrong")) == 401
        assert await inbox.hook("acme-whatsapp", b"junk", meta_headers(b"other")) == 401
        assert await listed(inbox) == []


async def test_repeats_are_counted_and_kept_once(tmp_path):
    async with receiving(tmp_path) as inbox:
        assert [await post(inbox, "line", b"junk") for _ in range(3)] == [200] * 3
        [one] = await listed(inbox)
        assert one["times"] == 3


@pytest.mark.of_sqlite("its disk is full")
async def test_it_is_kept_before_the_200_and_while_it_cannot_be_the_platform_hears_503(tmp_path):
    disk = FailingDisk()
    try:
        store = SqliteStore(tmp_path / "kurir.db", vfs=disk.name)
        async with receiving(tmp_path, store=store) as inbox:
            disk.broken = lambda operation, _: (
                apsw.FullError("full") if operation in ("write", "truncate", "sync") else None
            )
            assert await post(inbox, "line", b"junk") == 503
            disk.broken = lambda *_: None

            async def taken() -> bool:
                return await post(inbox, "line", b"junk") == 200

            await eventually(taken, 30)
            assert [one["times"] for one in await listed(inbox)] == [1]
    finally:
        disk.unregister()


async def test_it_is_there_after_a_restart(tmp_path, monkeypatch):
    async with platforms() as platform:
        async with (
            receiving(tmp_path, platform=platform) as inbox,
            blind("telegram", WebhookUnreadable("not yet"), monkeypatch),
        ):
            assert await post(inbox, "telegram", json.dumps(text(1)).encode()) == 200
            [one] = await listed(inbox)
        async with receiving(tmp_path, platform=platform) as inbox:
            assert await listed(inbox) == [one]
            assert (await replayed(inbox, one["id"]))["understood"]
            assert await texts(inbox) == ["hello"]


# --- read again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (WebhookUnreadable("the update is of a new shape"), "the update is of a new shape"),
        (WebhookUnreadable(), "the platform's module gives no reason"),
        (KeyError("secret words of Ani"), "the gateway failed over it: KeyError"),
        (RecursionError(), "the gateway failed over it: RecursionError"),
    ],
)
async def test_what_a_later_version_understands_is_told_then_and_once(tmp_path, monkeypatch, error, why):
    async with receiving(tmp_path) as inbox:
        async with blind("telegram", error, monkeypatch):
            assert await post(inbox, "telegram", json.dumps(text(1)).encode()) == 200
            [one] = await listed(inbox)
            assert one["why"] == why
            still = await replayed(inbox, one["id"])
            assert (still["understood"], still["why"], still["new"]) == (False, why, 0)
            assert await texts(inbox) == []
        told = await replayed(inbox, one["id"])
        assert (told["understood"], told["why"], told["new"], told["account"]) == (True, None, 1, "acme-telegram")
        assert await texts(inbox) == ["hello"]
        assert await listed(inbox) == []
        status, answer = await admin(inbox, "POST", f"/{one['id']}/replay")
        assert (status, answer["code"]) == (404, "not_found")
        await inbox.telegram(text(1))
        assert await texts(inbox) == [], "the platform's own repeat is known"


async def test_two_replays_at_once_tell_it_once(tmp_path, monkeypatch):
    async with receiving(tmp_path) as inbox:
        async with blind("whatsapp", TypeError(), monkeypatch):
            assert await post(inbox, "whatsapp", whatsapp(*range(20))) == 200
        [one] = await listed(inbox)
        answers = await asyncio.gather(*(admin(inbox, "POST", f"/{one['id']}/replay") for _ in range(8)))
        assert {status for status, _ in answers} <= {200, 404}
        assert sum(answer["data"]["new"] for status, answer in answers if status == 200) == 20
        assert await texts(inbox) == [f"text {number}" for number in range(20)]
        assert await listed(inbox) == []


def forgetful(monkeypatch: pytest.MonkeyPatch, *wamids: str) -> None:
    """Make a version that fails over messages with these ids."""
    known = Resolver.arrivals

    async def arrivals(self: Any, owner: Any, event: Any) -> Any:
        if event.event_id.removeprefix("wamid.") in wamids or event.event_id in wamids:
            raise ValueError("a fault of ours")
        return await known(self, owner, event)

    monkeypatch.setattr(Resolver, "arrivals", arrivals)


async def test_one_event_that_is_not_understood_keeps_its_webhook_and_not_its_neighbours(tmp_path, monkeypatch):
    async with receiving(tmp_path) as inbox:
        with monkeypatch.context() as patch:
            forgetful(patch, "wamid.2", "wamid.3")
            raw = whatsapp(1, 2, 3, 4)
            assert await post(inbox, "whatsapp", raw) == 200
            assert await texts(inbox) == ["text 1", "text 4"]
            [one] = await listed(inbox)
            assert (one["size"], one["times"], one["why"]) == (len(raw), 1, "the gateway failed over it: ValueError")
            still = await replayed(inbox, one["id"])
            assert (still["understood"], still["new"], still["why"]) == (False, 0, one["why"])
            assert [again["times"] for again in await listed(inbox)] == [1]
        told = await replayed(inbox, one["id"])
        assert (told["understood"], told["new"]) == (True, 2)
        assert await texts(inbox) == ["text 2", "text 3"]
        assert await listed(inbox) == []


class Picky(STORE):
    """A store that refuses, for no fault of the machine, whatever holds an arrival with one of the ids in ``refused``."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.refused: set[str] = set()
        self.came: list[str] = []

    async def take_in(self, webhook: Any) -> Any:
        self.came += [one.event_id for one in webhook.arrivals]
        if any(one.event_id in self.refused for one in webhook.arrivals):
            raise StoreError("ConstraintError: of a rule that a later version knows")
        return await super().take_in(webhook)


async def test_one_event_that_the_store_refuses_keeps_its_webhook_and_not_its_neighbours(tmp_path):
    store = await store_of(tmp_path, Picky)
    async with receiving(tmp_path, store=store) as inbox:
        assert await post(inbox, "whatsapp", whatsapp(1)) == 200
        known = list(store.came)
        assert len(known) == 1, known
        store.refused = {known[0].replace("1", "3"), known[0].replace("1", "5")}
        assert await post(inbox, "whatsapp", whatsapp(2, 3, 4, 5)) == 200
        assert await texts(inbox) == ["text 1", "text 2", "text 4"]
        [one] = await listed(inbox)
        assert (one["why"], one["times"]) == ("the gateway failed over it: StoreError", 1)
        assert (await replayed(inbox, one["id"]))["understood"] is False
        store.refused.clear()
        told = await replayed(inbox, one["id"])
        assert (told["understood"], told["new"]) == (True, 2)
        assert await texts(inbox) == ["text 3", "text 5"]


async def test_an_event_of_which_only_our_clock_tells_the_time_has_the_time_when_it_came(tmp_path, monkeypatch):
    clock = FakeClock()
    press = {
        "id": "1",
        "from": {"id": 1001, "is_bot": False, "first_name": "Ani"},
        "chat_instance": "1",
        "data": "a key",
        "message": {"message_id": 7, "chat": {"id": 1001, "type": "private"}, "date": 0},
    }
    async with receiving(tmp_path, clock=clock) as inbox:
        came = clock.now()
        async with blind("telegram", KeyError(), monkeypatch):
            raw = json.dumps({"update_id": 1, "callback_query": press}).encode()
            assert await post(inbox, "telegram", raw) == 200
        clock.move(7200)
        [one] = await listed(inbox)
        assert (await replayed(inbox, one["id"]))["understood"]
        [event] = await inbox.events()
        assert event["timestamp"][:19] == came.isoformat()[:19]
        assert inbox.platform.of_telegram("answerCallbackQuery") == [], "nobody waits for that any more"


BANNED = {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "January 2, 2026"}}


@pytest.mark.parametrize("late", [True, False])
async def test_old_news_of_an_account_stops_nothing(tmp_path, monkeypatch, late):
    body = {"id": "102290129340398", "time": 1_790_000_000, "changes": [{"field": "account_update", "value": BANNED}]}
    raw = json.dumps({"object": "whatsapp_business_account", "entry": [body]}).encode()
    stopped: list[str] = []
    async with receiving(tmp_path) as inbox:
        receiver = inbox.gateway.app.state.receiver
        receiver._hears = replace(receiver._hears, stopped=lambda account_id, _: stopped.append(account_id))
        if late:
            async with blind("whatsapp", KeyError(), monkeypatch):
                assert await post(inbox, "whatsapp", raw) == 200
            [one] = await listed(inbox)
            with capture_logs() as logs:
                assert (await replayed(inbox, one["id"]))["understood"]
            assert [row["code"] for row in logs if row["event"] == "account_news"] == ["account_policy"]
            assert stopped == []
        else:  # the test of the test: as it comes it does stop the account
            assert await post(inbox, "whatsapp", raw) == 200
            assert stopped == ["acme-whatsapp"]


async def test_what_is_of_no_use_stays_until_somebody_deletes_it(tmp_path, monkeypatch):
    async with receiving(tmp_path) as inbox:
        async with blind("telegram", KeyError(), monkeypatch):
            raw = json.dumps({"update_id": 5, "poll": {"id": "1"}}).encode()
            assert await post(inbox, "telegram", raw) == 200
        [one] = await listed(inbox)
        still = await replayed(inbox, one["id"])
        assert (still["understood"], still["ignored"]) == (False, 1)
        assert still["why"].startswith("nothing of it is of use: an update that the gateway has no use for")
        assert await admin(inbox, "DELETE", f"/{one['id']}") == (200, {"data": {"id": one["id"]}})
        assert await listed(inbox) == []
        for method, path in (("DELETE", ""), ("GET", ""), ("POST", "/replay")):
            status, answer = await admin(inbox, method, f"/{one['id']}{path}")
            assert (status, answer["code"]) == (404, "not_found")


async def test_an_account_that_is_not_enabled_is_not_read(tmp_path):
    async with platforms() as platform:
        async with receiving(tmp_path, platform=platform) as inbox:
            assert await post(inbox, "line", b"junk") == 200

        def without_line(document: Any) -> None:
            accounts = document["clients"][CLIENT]["accounts"]
            accounts[:] = [one for one in accounts if one["channel"] != "line"]

        async with receiving(tmp_path, platform=platform, edit=without_line) as inbox:
            [one] = await listed(inbox)
            status, answer = await admin(inbox, "POST", f"/{one['id']}/replay")
            assert (status, answer["code"]) == (409, "account_not_enabled")
            assert await listed(inbox) == [one]


# --- updates that are fetched -----------------------------------------------------------------------------------------


async def test_an_update_that_was_fetched_is_kept_before_its_offset_and_read_again(tmp_path, monkeypatch):
    async with platforms() as platform:
        updates = Updates(platform)
        with monkeypatch.context() as patch:
            forgetful(patch, "900002")
            updates.waiting = {one["update_id"]: one for one in (text(1, "one"), text(2, "two"), text(3, "three"))}
            async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:

                async def moved_on() -> bool:
                    return await inbox.gateway.store.poll_offset("acme-telegram") == 900_004

                await eventually(moved_on)
                assert await texts(inbox) == ["one", "three"]
                [one] = await listed(inbox)
                _, answer = await admin(inbox, "GET", f"/{one['id']}")
                assert json.loads(answer["data"]["body"]) == text(2, "two")
        async with receiving(tmp_path, platform=platform, edit=by_polling) as inbox:
            await inbox.events()
            assert (await replayed(inbox, one["id"]))["new"] == 1
            assert await texts(inbox) == ["two"]
            assert await listed(inbox) == []


# --- the list, its bound, and what leaves by itself -------------------------------------------------------------------


async def test_the_list_has_pages_and_is_told_apart_by_account(tmp_path):
    async with receiving(tmp_path) as inbox:
        for number in range(5):
            assert await post(inbox, ("line", "telegram")[number % 2], b"junk %d" % number) == 200
        status, first = await admin(inbox, "GET", limit=3)
        assert (status, len(first["data"]), first["next"]) == (200, 3, first["data"][2]["id"])
        status, second = await admin(inbox, "GET", limit=3, after=first["next"])
        assert (status, len(second["data"]), second["next"]) == (200, 2, None)
        whole = [int(one["id"]) for one in first["data"] + second["data"]]
        assert whole == sorted(set(whole))
        assert [one["account"] for one in await listed(inbox, account="acme-line")] == ["acme-line"] * 3
        assert await listed(inbox, account="nobody") == []


@pytest.mark.parametrize("path", ["/0", "/x", "/-1", f"/{2**70}"])
async def test_a_number_that_is_none_is_refused(tmp_path, path):
    async with receiving(tmp_path) as inbox:
        status, answer = await admin(inbox, "GET", path)
        assert (status, answer["code"]) == (422, "invalid_parameters")


async def test_what_comes_beyond_the_bound_is_said_and_takes_nobodys_place(tmp_path, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BODIES", 2)
    async with receiving(tmp_path) as inbox:
        with capture_logs() as logs:
            for number in range(5):
                assert await post(inbox, "line", b"junk %d" % number) == 200
        assert [one["size"] for one in await listed(inbox)] == [6, 6]
        rows = [row for row in logs if row["event"] == "webhook_not_kept"]
        assert [(row["account"], row["size"], row["log_level"]) for row in rows] == [("acme-line", 6, "error")] * 3
        _, answer = await admin(inbox, "GET")
        [lost] = answer["not_kept"]
        assert (lost["account"], lost["count"]) == ("acme-line", 3)
        assert lost["first_at"] <= lost["last_at"]
        _, answer = await admin(inbox, "GET", account="acme-telegram")
        assert answer["not_kept"] == []


async def test_who_is_forgotten_is_forgotten_here_too(tmp_path):
    async with receiving(tmp_path) as inbox:
        await inbox.telegram(text(1))
        assert await post(inbox, "telegram", b'{"from": {"id": 1001}, oops') == 200
        assert await post(inbox, "telegram", b'{"from": {"id": 21001}, oops') == 200
        async with inbox.session.delete(f"{inbox.url}/v1/contacts/telegram/1001") as response:
            assert response.status == 200, await response.text()
        [left] = await listed(inbox)
        _, answer = await admin(inbox, "GET", f"/{left['id']}")
        assert "21001" in answer["data"]["body"]


async def test_a_client_sees_nothing_of_it(tmp_path):
    async with receiving(tmp_path) as inbox:
        assert await post(inbox, "line", b"junk of somebody") == 200
        [one] = await listed(inbox)
        for login in ({}, {"Auth-username": CLIENT, "Auth-password": PASSWORD}):
            for path in ("", f"/{one['id']}"):
                async with aiohttp.request("GET", f"{inbox.url}/v1/admin/webhooks{path}", headers=login) as response:
                    assert response.status == 401
                    assert "junk" not in await response.text()


# --- the command line -------------------------------------------------------------------------------------------------


async def run(inbox: Inbox, *words: str, code: int = 0, typed: str = "") -> Any:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "KURIR_URL": inbox.url, "KURIR_ADMIN_TOKEN": ADMIN}
    with capture_logs():
        # The runner takes the output of the whole process, and so would have the gateway's log in it.
        async with asyncio.timeout(30):
            found = await asyncio.to_thread(
                CliRunner().invoke, app, ["webhook", *words], env=environment, input=typed or None
            )
    assert found.exit_code == code, found.output
    return found


async def test_the_operator_finds_replays_and_deletes_them_by_the_command_line(tmp_path, monkeypatch):
    async with receiving(tmp_path) as inbox:
        assert "No webhook is in quarantine" in (await run(inbox, "list")).stdout
        assert "nothing to read again" in (await run(inbox, "replay", "--all")).stdout
        async with blind("whatsapp", KeyError(), monkeypatch):
            for number in (1, 2):
                assert await post(inbox, "whatsapp", whatsapp(number)) == 200
            esc = b"\xff\x1b[31m" + b"x" * 3000
            assert await post(inbox, "line", esc) == 200
        found = json.loads((await run(inbox, "list", "--json")).stdout)
        first, second, third = (one["id"] for one in found["data"])
        assert (found["next"], found["not_kept"]) == (None, [])
        lines = (await run(inbox, "list")).stdout.splitlines()
        assert [line.split()[:2] for line in lines[1:]] == [
            [first, "acme-whatsapp"],
            [second, "acme-whatsapp"],
            [third, "acme-line"],
        ]
        assert "There are more" in (await run(inbox, "list", "--limit", "2")).stdout
        shown = (await run(inbox, "show", third)).stdout
        assert "\x1b" not in shown
        assert "--body" in shown
        assert "came once" in shown
        assert "3,006 bytes" in shown
        assert (await run(inbox, "show", third, "--body")).stdout_bytes == esc
        assert json.loads((await run(inbox, "show", first, "--json")).stdout)["data"]["body"] == whatsapp(1).decode()
        lines = (await run(inbox, "replay", first, "999", code=1)).stdout.splitlines()
        assert lines[0] == f"{first}: understood, 1 new, 0 receipts, 0 ignored"
        assert lines[1].startswith("999: no webhook 999 is in quarantine")
        assert await texts(inbox) == ["text 1"]
        await run(inbox, "replay", "--all", "--account", "acme-whatsapp")
        assert await texts(inbox) == ["text 2"]
        rest = json.loads((await run(inbox, "replay", "--all", "--json", code=1)).stdout)["data"]
        assert [(one["id"], one["understood"]) for one in rest] == [(third, False)]
        assert f"{third}: stays in quarantine: the body" in (await run(inbox, "replay", third, code=1)).stdout
        await run(inbox, "delete", third, code=1, typed="n\n")
        assert [one["id"] for one in await listed(inbox)] == [third]
        assert "1 deleted" in (await run(inbox, "delete", "--all", "--yes")).stdout
        assert await listed(inbox) == []


@pytest.mark.parametrize(
    "words", [["replay"], ["replay", "1", "--all"], ["replay", "1", "--account", "x"], ["delete"], ["replay", "0"]]
)
async def test_the_command_line_wants_to_be_told_which(words):
    found = CliRunner().invoke(
        app, ["webhook", *words], env={"KURIR_URL": "http://127.0.0.1:9", "KURIR_ADMIN_TOKEN": "x", "NO_COLOR": "1"}
    )
    assert found.exit_code == 2, found.output


async def test_the_list_of_the_command_line_says_what_was_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST_BODIES", 1)
    async with receiving(tmp_path) as inbox:
        for number in range(3):
            assert await post(inbox, "line", b"junk %d" % number) == 200
        assert "acme-line: 2 more were not kept, from 20" in (await run(inbox, "list")).stdout
