"""The list of messages in the console, over real HTTP: who sees what, what is masked, many at once, files."""

import copy
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kurir.domain.status import Status
from kurir.http.console import export as export_routes
from kurir.store.access import AuditFilter
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import PASSWORD, Running, running

LIST = "/console/messages"
#: A phone that no sandbox knows.
STRANGER = "6289999999999"


def two_clients(document: dict[str, Any]) -> None:
    """Add another client, with a bot of its own."""
    bot = copy.deepcopy(document["clients"]["demo"]["accounts"][1]) | {"id": "other-tg", "token": "7002000:" + "y" * 35}
    document["clients"]["other"] = {"username": "other", "password": f"{PASSWORD} too", "accounts": [bot]}


def masked(document: dict[str, Any]) -> None:
    document["mask"] = True


async def sent(made: Running, words: str, *, channel: str = "telegram", **more: Any) -> str:
    """Send a text and return its tid."""
    asked = body("text", **more)
    asked["body"] = {"text": words}
    status, _, answer = await made.send(channel, asked)
    assert status == 200, answer
    tid: str = answer["data"]["tid"]
    return tid


async def failed(made: Running, words: str) -> str:
    """Send a text that fails for good, and return its tid once it has."""
    tid = await sent(made, words, recipient=f"tg:{abs(hash(words)) % 10**9 + 10**9}")
    await made.until(tid, int(Status.UNDELIVERED))
    return tid


async def later(made: Running, words: str) -> str:
    """Send a text that waits, and return its tid."""
    return await sent(made, words, send_at="2030-01-01T00:00:00Z")


async def actions(made: Running, action: str) -> list[Any]:
    return await made.gateway.console.access.store.audit(AuditFilter(action=action), 10)


def tids(page: str) -> list[str]:
    return re.findall(r'<tr id="m-([0-9a-f-]{36})"', page)


# --- the list -------------------------------------------------------------------------------------------------------


async def test_the_list_shows_what_each_message_says_and_nothing_of_it_is_html(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, "<script>alert(1)</script> สวัสดี")
        page = await text(session, LIST)
        assert tids(page) == [tid]
        assert "&lt;script&gt;alert(1)&lt;/script&gt; สวัสดี" in page
        assert "<script>alert" not in page


async def test_a_search_that_finds_nothing_leads_on_and_one_that_is_wrong_says_so(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        assert "No message yet" in await text(session, LIST)
        await sent(made, "Hello")
        assert "Nothing found" in await text(session, f"{LIST}?q=channel:line")
        assert "status:great" in await text(session, f"{LIST}?q=status:great")


async def test_every_field_of_a_search_is_a_chip_that_lifts_it(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        page = await text(session, f"{LIST}?q=error:abc+to:0812+type:text+since:2h+hello&account=demo-tg")
        chips = re.findall(r'<a class="chip" aria-current="true" href="([^"]+)"', page)
        assert len(chips) == 5  # error, to, type, since and the words; the account has its own
        assert not any("hello" in one for one in chips[-1:])
        assert re.search(r'<a class="chip" href="[^"]*" aria-current="true">demo-tg', page)


async def test_older_pages_follow_by_a_key(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        all_of_them = [await later(made, f"number {number}") for number in range(55)]
        page = await text(session, LIST)
        assert tids(page) == all_of_them[:4:-1]
        older = re.search(r'rel="next" href="([^"]+)"|href="([^"]+)" rel="next"', page)
        assert older is not None
        rest = await text(session, LIST + (older.group(1) or older.group(2)).replace("&amp;", "&"))
        assert tids(rest) == all_of_them[4::-1]
        assert "data-live " not in rest


async def test_a_user_of_one_client_sees_and_does_nothing_with_anothers_messages(tmp_path: Path):
    async with running(tmp_path, edit=two_clients) as made, signed_in(made, "client", client_id="other") as session:
        tid = await failed(made, "not yours")
        assert tids(await text(session, LIST)) == []
        assert tids(await text(session, f"{LIST}?q=client:demo")) == []
        assert tids(await text(session, f"{LIST}?q={tid}")) == []
        await text(session, f"{LIST}/{tid}", 404)
        for act in ("retry", "cancel", "to-sandbox"):
            await post(session, f"{LIST}/{tid}/{act}", status=404)
        asked = await post(session, f"{LIST}/bulk", {"action": "retry", "pick": tid}, status=200)
        assert "None of the picked messages" in await asked.text()
        done = await post(session, f"{LIST}/bulk/do", {"action": "retry", "pick": tid})
        assert "done=0" in done.headers["location"]
        done = await post(session, f"{LIST}/bulk/do", {"action": "retry", "all": "1", "up_to": str(10**9)})
        assert "done=0" in done.headers["location"]
        found = await post(session, f"{LIST}/export", {"format": "jsonl"}, status=200)
        assert await found.text() == ""
        assert (await made.message(tid))["run"] == 1


async def test_a_viewer_looks_and_does_nothing(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made, "viewer") as session:
        tid = await failed(made, "look at me")
        page = await text(session, LIST)
        assert tids(page) == [tid]
        assert "data-select" not in page
        assert "data-retry" not in page
        await text(session, f"{LIST}/new", 403)
        for path in (f"/{tid}/retry", f"/{tid}/cancel", f"/{tid}/to-sandbox", "/bulk", "/bulk/do", "/new"):
            await post(session, LIST + path, {"action": "retry", "pick": tid}, status=403)
        assert (await made.message(tid))["run"] == 1


# --- masking --------------------------------------------------------------------------------------------------------


async def test_phones_and_texts_are_masked_until_they_are_revealed(tmp_path: Path):
    async with running(tmp_path, edit=masked) as made, signed_in(made, "operator") as session:
        await sent(made, "a secret word", channel="whatsapp", recipient=STRANGER)
        page = await text(session, LIST)
        assert "secret" not in page
        assert STRANGER not in page
        assert STRANGER[-3:] in page
        subject = re.search(r'name="id" value="(messages [0-9a-f]+)"', page)
        assert subject is not None
        await post(session, "/console/reveal", {"kind": "list", "id": subject.group(1), "next": LIST})
        page = await text(session, LIST)
        assert "a secret word" in page
        assert STRANGER in page
        assert "secret" not in await text(session, f"{LIST}?q=channel:whatsapp"), "another search is another thing"
        (entry,) = await actions(made, "revealed")
        assert (entry.kind, entry.subject) == ("list", subject.group(1))


async def test_who_may_not_see_a_text_cannot_search_for_it(tmp_path: Path):
    async with running(tmp_path, edit=masked) as made, signed_in(made, "viewer") as session:
        tid = await sent(made, "a secret word")
        await made.gateway.store.index_words(10)
        assert tids(await text(session, f"{LIST}?q={tid}")) == [tid]
        assert "not for your role" in await text(session, f"{LIST}?q=to:{STRANGER}")
        await post(session, f"{LIST}/export", {"format": "csv", "q": "secret"}, status=422)
        hit = await text(session, f"{LIST}?q=secret")
        miss = await text(session, f"{LIST}?q=nothing")
        assert len(tids(hit)) == len(tids(miss)) == 1


# --- many at once ---------------------------------------------------------------------------------------------------


async def test_picked_messages_are_counted_first_and_then_retried(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        first, second = await failed(made, "one"), await failed(made, "two")
        waiting = await later(made, "three")
        fields = [("action", "retry"), *(("pick", one) for one in (first, second, waiting))]
        asked = await post(session, f"{LIST}/bulk", fields, status=200)
        page = await asked.text()
        assert "2 messages" in page
        assert "Of 3 that are picked" in page
        assert (await made.message(first))["run"] == 1, "the question alone does nothing"
        done = await post(session, f"{LIST}/bulk/do", fields)
        told = await text(session, done.headers["location"])
        assert "2 messages are queued again" in told
        assert "have not failed" in told
        for tid in (first, second):
            assert (await made.message(tid))["run"] == 2
        (entry,) = await actions(made, "messages_retried")
        assert json.loads(entry.after)["messages"] == 3
        await made.until(first, int(Status.UNDELIVERED))
        await made.until(second, int(Status.UNDELIVERED))


async def test_all_that_a_search_finds_is_cancelled_and_nothing_that_came_after_the_question(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        meant = [await later(made, f"meant {number}") for number in range(5)]
        other = await sent(made, "meant too", channel="line", send_at="2030-01-01T00:00:00Z")
        fields = {"action": "cancel", "all": "1", "q": "channel:telegram"}
        page = await (await post(session, f"{LIST}/bulk", fields, status=200)).text()
        assert "5 messages" in page
        up_to = re.search(r'name="up_to" value="(\d+)"', page)
        assert up_to is not None
        after = await later(made, "after")
        done = await post(session, f"{LIST}/bulk/do", {**fields, "up_to": up_to.group(1)})
        assert "done=5" in done.headers["location"]
        assert [(await made.message(tid))["status"] for tid in (*meant, other, after)] == [-1] * 5 + [0, 0]


async def test_a_search_that_is_not_understood_is_not_acted_on(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await later(made, "keep me")
        for path in ("/bulk", "/bulk/do"):
            fields = {"action": "cancel", "all": "1", "q": "channel:fax", "up_to": "99"}
            await post(session, LIST + path, fields, status=422)
        await post(session, f"{LIST}/export", {"format": "csv", "q": "status:great"}, status=422)
        await post(session, f"{LIST}/bulk", {"action": "explode", "pick": tid}, status=422)
        await post(session, f"{LIST}/bulk/do", {"action": "cancel", "all": "1", "up_to": "x"}, status=422)
        assert (await made.message(tid))["status"] == 0


async def test_the_page_of_what_was_done_says_numbers_alone(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        page = await text(session, f"{LIST}/bulk/done?action=%3Cb%3E&done=Buy+now&ended=7&begun=-1")
        assert "0 messages are queued again" in page
        assert "Buy now" not in page
        assert re.search(r">7</strong>", page)


async def test_nothing_picked_leads_back(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        back = await post(session, f"{LIST}/bulk", {"action": "retry", "q": "a b"})
        assert back.headers["location"].endswith("/console/messages?q=a+b")


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
async def test_a_file_has_all_that_the_search_finds(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export_routes, "_ROWS", 3)  # several reads for few messages
    async with running(tmp_path) as made, signed_in(made) as session:
        wanted = [await later(made, f"=number {number}, «ไทย»") for number in range(8)]
        await sent(made, "another", channel="line", send_at="2030-01-01T00:00:00Z")
        answer = await post(session, f"{LIST}/export", {"format": kind, "q": "channel:telegram"}, status=200)
        assert answer.headers["content-disposition"].endswith(f'.{kind}"')
        found = await answer.text()
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(found.lstrip("\ufeff"), newline="")))
            assert rows[0]["text"] == "'=number 7, «ไทย»"
        else:
            rows = [json.loads(line) for line in found.splitlines()]
            assert rows[0]["text"] == "=number 7, «ไทย»"
        assert [row["tid"] for row in rows] == wanted[::-1]
        (entry,) = await actions(made, "exported")
        assert entry.subject == "channel:telegram"


async def test_a_full_file_that_ends_with_a_retried_message_leads_on_to_all_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export_routes.exporting, "MOST", 2)
    async with running(tmp_path) as made, signed_in(made) as session:
        old = await failed(made, "the oldest")
        between = await later(made, "between")
        await post(session, f"{LIST}/{old}/retry")
        await later(made, "the newest")
        found = await (await post(session, f"{LIST}/export", {"format": "jsonl"}, status=200)).text()
        *written, last = [json.loads(line) for line in found.splitlines()]
        assert [one["text"] for one in written] == ["the newest", "the oldest"]
        fields = {"format": "jsonl", "until": last["not_everything"].partition("until:")[2]}
        rest = await (await post(session, f"{LIST}/export", fields, status=200)).text()
        assert between in {json.loads(line).get("tid") for line in rest.splitlines()}


async def test_a_file_ends_where_it_is_full_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export_routes, "_ROWS", 2)
    monkeypatch.setattr(export_routes.exporting, "MOST", 3)
    async with running(tmp_path) as made, signed_in(made) as session:
        for number in range(5):
            await later(made, f"number {number}")
        found = await (await post(session, f"{LIST}/export", {"format": "jsonl"}, status=200)).text()
        lines = [json.loads(line) for line in found.splitlines()]
        assert [line.get("text") for line in lines] == ["number 4", "number 3", "number 2", None]
        last = lines[-1]["not_everything"]
        until = last.partition("until:")[2]
        rest = await (await post(session, f"{LIST}/export", {"format": "jsonl", "until": until}, status=200)).text()
        assert [json.loads(line)["text"] for line in rest.splitlines()] == ["number 1", "number 0"]


async def test_a_file_is_masked_unless_somebody_who_may_asks_for_more(tmp_path: Path):
    async with running(tmp_path, edit=masked) as made, signed_in(made, "viewer") as viewer, signed_in(made) as owner:
        await later(made, "a secret word")

        async def text_of(session: aiohttp.ClientSession, **more: str) -> Any:
            found = await post(session, f"{LIST}/export", {"format": "jsonl", **more}, status=200)
            return json.loads(await found.text())["text"]

        assert await text_of(viewer, plain="1") == "•••"
        assert await text_of(owner) == "•••"
        assert await text_of(owner, plain="1") == "a secret word"
        entries = await actions(made, "exported")
        assert [json.loads(one.after)["plain"] for one in entries] == [True, False, False]


async def test_a_form_of_another_site_does_nothing(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await later(made, "keep me")
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        for path in (f"/{tid}/cancel", "/bulk/do", "/export", "/new"):
            async with session.post(LIST + path, data={"action": "cancel", "pick": tid}, headers=elsewhere) as answer:
                assert answer.status == 403
        assert (await made.message(tid))["status"] == 0
