"""A message's page in the console, over real HTTP: what it shows, what it hides, its buttons; and sending by hand."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kurir.domain.status import Status
from kurir.sandbox.pages import BUBBLE_SCRIPT
from kurir.store.access import AuditFilter
from kurir.store.database import Database, Whose
from support.bodies import ANI, body
from support.console import post, signed_in, text
from support.servers import Running, running

LIST = "/console/messages"
STRANGER = "6289999999999"
TABS = ("request", "platform", "answers", "receipts", "callbacks", "losses", "copy")


def masked(document: dict[str, Any]) -> None:
    document["mask"] = True


async def sent(made: Running, channel: str, kind: str = "text", **more: Any) -> str:
    """Send the least message of a kind and return its tid."""
    status, _, answer = await made.send(channel, body(kind, **more))
    assert status == 200, answer
    tid: str = answer["data"]["tid"]
    return tid


async def actions(made: Running, action: str) -> list[Any]:
    return await made.gateway.console.access.store.audit(AuditFilter(action=action), 10)


def bubbles(page: str) -> Any:
    found = re.search(
        r'<kurir-bubble channel="(\w+)" business="[^"]*"><script type="application/json">(.*?)</script>', page
    )
    assert found is not None
    return json.loads(found.group(2))["bubbles"]


# --- what it shows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["whatsapp", "telegram", "line", "messenger"])
async def test_the_bubble_is_drawn_from_what_the_platform_got(tmp_path: Path, channel: str):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, channel, "button", header={"type": "text", "text": "Order </script>"})
        await made.until(tid, int(Status.SENT))
        page = await text(session, f"{LIST}/{tid}")
        assert "As the platform got it" in page
        words = json.dumps(bubbles(page))
        assert "Which one?" in words
        assert "Order </script>" in words
        assert "Order </script>" not in page
        if channel in ("telegram", "line"):
            assert "final on this channel" in page


async def test_a_message_that_waits_says_why_and_what_it_will_look_like(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, "telegram", send_at="2030-01-01T00:00:00Z")
        page = await text(session, f"{LIST}/{tid}")
        assert "As it will be asked for" in page
        assert "Hello" in json.dumps(bubbles(page))
        assert "it is not sent before 2030-01-01T00:00:00Z" in page
        assert "Kept until its time" in page
        assert 'data-live hx-get="' in page


async def test_a_message_that_failed_says_why_what_to_do_and_who_told(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, "whatsapp", recipient=STRANGER)
        await made.until(tid, int(Status.UNDELIVERED))
        page = await text(session, f"{LIST}/{tid}")
        assert "Why it failed:" in page
        assert "131026" in page
        assert "Use another channel for this person." in page
        assert '/console/errors/recipient_unreachable"' in page
        assert "by a receipt" in page
        assert "data-live" not in page, "nothing more will come"


async def test_every_tab_shows_what_was_said_with_its_secrets_masked(tmp_path: Path):
    secret = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    refusing = {"callbacks": [{"url": "http://127.0.0.1:9/hook", "events": ["*"], "secret": secret}]}

    def edit(document: dict[str, Any]) -> None:
        document["allow_networks"] = ["127.0.0.0/8"]

    async with running(tmp_path, extra=refusing, edit=edit) as made, signed_in(made) as session:
        status, _, answer = await made.send("messenger", {**body("list"), "footer": {"title": "", "text": "Bye"}})
        assert status == 200, answer
        tid = answer["data"]["tid"]
        await made.until(tid, int(Status.READ))
        tabs = {tab: html.unescape(await text(session, f"{LIST}/{tid}?tab={tab}")) for tab in TABS}
        token = made.sandbox.sandbox.config.messenger.page_access_token
        assert not any(token in page for page in tabs.values())
        assert '"recipient": "628xxxxxxxx"' in tabs["request"]
        assert re.search(r'"url": "[^"]*/messages"', tabs["platform"])
        assert '"message_id"' in tabs["answers"]
        assert "HTTP 200" in tabs["answers"]
        assert tabs["receipts"].count("a receipt") >= 2
        assert "http://127.0.0.1:9/hook" in tabs["callbacks"]
        assert "to be told" in tabs["callbacks"]
        losses = (await made.message(tid))["losses"]
        assert losses
        assert all(one["detail"] in tabs["losses"] for one in losses)
        assert "KURIR_PASSWORD" in tabs["copy"]
        unknown = await text(session, f"{LIST}/{tid}?tab=nonsense&as=cobol")
        assert 'aria-current="page">Request in' in unknown


async def test_what_the_drawing_needs_is_served_also_without_a_sandbox(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, "line")
        page = await text(session, f"{LIST}/{tid}")
        script = re.search(rf'src="(/console/bubble/\w+/static/){BUBBLE_SCRIPT}"', page)
        assert script is not None
        seen: set[str] = set()
        wanted = {BUBBLE_SCRIPT, "icons.svg", *re.findall(r'href="/console/bubble/\w+/static/([\w.]+)"', page)}
        while wanted:
            name = wanted.pop()
            seen.add(name)
            async with session.get(script.group(1) + name) as answer:
                assert answer.status == 200, name
                assert "immutable" in answer.headers["cache-control"]
                wanted |= set(re.findall(r'from "\./([\w.]+)"', await answer.text())) - seen
        assert {"bubble.js", "blocks.js", "skins.css", "icons.svg"} <= seen
        async with session.get("/console/bubble/old/static/bubble.js") as answer:
            assert answer.headers["cache-control"] == "no-cache"
        for name in ("..%2f..%2fserver.py", "server.py", "index.html"):
            async with session.get(f"/console/bubble/old/static/{name}") as answer:
                assert answer.status == 404


async def test_there_is_no_message_with_a_strange_tid(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        for tid in ("nonsense", "x" * 500, "01a20713-bd02-7df2-af31-0e6014ad6188"):
            await text(session, f"{LIST}/{tid}", 404)


# --- what it hides --------------------------------------------------------------------------------------------------


async def test_nothing_of_the_person_shows_until_it_is_revealed(tmp_path: Path):
    async with running(tmp_path, edit=masked) as made, signed_in(made) as owner, signed_in(made, "viewer") as viewer:
        status, _, answer = await made.send(
            "whatsapp", {**body("text", recipient=STRANGER), "body": {"text": "a secret"}}
        )
        assert status == 200
        tid = answer["data"]["tid"]
        await made.until(tid, int(Status.UNDELIVERED))
        wamid = (await made.message(tid))["parts"][0]["provider_message_ids"][0]
        for session in (owner, viewer):
            for tab in TABS:
                page = await text(session, f"{LIST}/{tid}?tab={tab}")
                assert not [one for one in ("a secret", STRANGER, wamid) if one in html.unescape(page)], tab
                assert "<kurir-bubble" not in page
        assert "Show for 15 minutes" not in await text(viewer, f"{LIST}/{tid}")
        await post(viewer, "/console/reveal", {"kind": "message", "id": tid}, status=403)
        await post(owner, "/console/reveal", {"kind": "message", "id": tid, "next": f"{LIST}/{tid}"})
        page = await text(owner, f"{LIST}/{tid}")
        assert "a secret" in page
        assert STRANGER in page
        assert "a secret" not in await text(viewer, f"{LIST}/{tid}")


async def test_a_reason_that_names_the_person_is_masked_too(tmp_path: Path):
    async with running(tmp_path, edit=masked) as made, signed_in(made) as owner, signed_in(made, "viewer") as viewer:
        tid = await sent(made, "whatsapp", recipient=STRANGER)
        await made.until(tid, int(Status.UNDELIVERED))
        detail = f"{STRANGER} is a chat, and a phone linked to tg:{STRANGER}"  # as recipient_ambiguous says it

        def write(db: Database) -> None:
            db.execute("UPDATE message SET error_detail = ? WHERE tid = ?", (detail, tid))
            db.execute("UPDATE event SET error_detail = ? WHERE error_code IS NOT NULL", (detail,))
            db.execute("UPDATE attempt SET reason = ?", (detail,))

        await made.gateway.store._write(Whose("demo"), write)
        page = html.unescape(await text(viewer, f"{LIST}/{tid}"))
        assert "is a chat, and a phone linked to" in page
        assert STRANGER not in page
        await post(owner, "/console/reveal", {"kind": "message", "id": tid})
        assert detail in html.unescape(await text(owner, f"{LIST}/{tid}"))


# --- its buttons ----------------------------------------------------------------------------------------------------


async def test_a_failed_message_is_retried_and_a_waiting_one_cancelled(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made, "client", client_id="demo") as session:
        tid = await sent(made, "whatsapp", recipient=STRANGER)
        await made.until(tid, int(Status.UNDELIVERED))
        done = await post(session, f"{LIST}/{tid}/retry")
        assert done.headers["location"] == f"{LIST}/{tid}?said=retried"
        await made.until(tid, int(Status.UNDELIVERED))
        page = await text(session, f"{LIST}/{tid}")
        assert "Retried: run 2" in page
        (entry,) = await actions(made, "message_retried")
        assert (entry.actor, entry.subject, entry.client_id) == ("client-demo", tid, "demo")

        waiting = await sent(made, "telegram", send_at="2030-01-01T00:00:00Z")
        back = await post(session, f"{LIST}/{waiting}/cancel", {"next": f"{LIST}?q=a+b&said=old"})
        assert back.headers["location"] == f"{LIST}?q=a+b&said=cancelled"
        assert (await made.message(waiting))["status"] == Status.UNSENT
        refused = await post(session, f"{LIST}/{waiting}/cancel", status=409)
        assert "it ended with the status -1 (unsent)" in await refused.text()
        elsewhere = await post(session, f"{LIST}/{waiting}/retry", {"next": "https://evil.example/"})
        assert elsewhere.headers["location"] == f"{LIST}/{waiting}?said=retried"


async def test_a_copy_goes_to_the_sandbox_and_nowhere_else(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        tid = await sent(made, "whatsapp", "button", recipient=STRANGER)
        assert "to-sandbox" not in await text(session, f"{LIST}/{tid}"), "no sandbox is in this process"
        await post(session, f"{LIST}/{tid}/to-sandbox", status=404)
        state = made.gateway.app.state
        object.__setattr__(state.console, "sandbox", made.sandbox.sandbox)
        assert "to-sandbox" in await text(session, f"{LIST}/{tid}")
        done = await post(session, f"{LIST}/{tid}/to-sandbox")
        copy = done.headers["location"].rpartition("/")[2].partition("?")[0]
        found = await made.until(copy, int(Status.READ))
        assert (found["recipient"], found["type"], found["account"]) == (ANI, "button", "demo-wa")
        (entry,) = await actions(made, "message_sent")
        assert json.loads(entry.after)["copy_of"] == tid


# --- by hand --------------------------------------------------------------------------------------------------------


def form_of(page: str) -> dict[str, str]:
    found = re.search(r'name="id" value="([^"]+)"', page)
    assert found is not None
    return {"id": found.group(1), "account": "demo-wa", "recipient": ANI, "type": "text", "text": "By hand"}


async def test_a_message_by_hand_goes_the_way_of_the_api_once(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        fields = form_of(await text(session, f"{LIST}/new"))
        looked = await (await post(session, f"{LIST}/new", {**fields, "preview": "1"}, status=200)).text()
        assert "By hand" in json.dumps(bubbles(looked))
        done = await post(session, f"{LIST}/new", fields)
        again = await post(session, f"{LIST}/new", fields)
        assert done.headers["location"] == again.headers["location"]
        tid = done.headers["location"].rpartition("/")[2].partition("?")[0]
        assert (await made.until(tid, int(Status.SENT)))["type"] == "text"
        (entry,) = await actions(made, "message_sent")
        assert (entry.subject, entry.client_id) == (tid, "demo")
        assert "By hand" not in entry.after
        await post(session, f"{LIST}/new", {**fields, "text": "other"}, status=409)


async def test_what_is_wrong_by_hand_is_said_at_its_field_and_what_was_typed_stays(tmp_path: Path):
    async with running(tmp_path) as made, signed_in(made) as session:
        fields = form_of(await text(session, f"{LIST}/new"))
        wrong = {
            **fields,
            "recipient": "nobody",
            "type": "image",
            "media_url": "ftp://<b>",
            "text": "stays </textarea>",
        }
        page = await (await post(session, f"{LIST}/new", wrong, status=422)).text()
        assert re.search(r'id="h-media_url"><strong class="problem"', page)
        assert re.search(r'id="h-recipient"><strong class="problem"', page)
        assert "stays &lt;/textarea&gt;" in page
        assert "ftp://&lt;b&gt;" in page
        missing = await (await post(session, f"{LIST}/new", {**fields, "account": "nope"}, status=422)).text()
        assert "choose the account to send from" in missing
        assert "No message yet" in await text(session, LIST)
