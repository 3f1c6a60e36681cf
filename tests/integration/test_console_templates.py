"""Templates and quarantined webhooks in the console."""

import html
import json
import shlex
from typing import Any

from kurir.store.access import AuditFilter
from kurir.store.inbound import Unread
from support.console import post, signed_in, text
from support.servers import PASSWORD, Running, running

#: What a replay understands: somebody writes to the bot.
UPDATE = {
    "update_id": 900_001,
    "message": {
        "message_id": 1,
        "from": {"id": 1001, "is_bot": False, "first_name": "Ani"},
        "chat": {"id": 1001, "type": "private"},
        "date": 1_790_000_000,
        "text": "hello",
    },
}


def with_another(document: dict[str, Any]) -> None:
    document["clients"]["other"] = {"username": "other", "password": "another correct battery", "accounts": []}


def masked(document: dict[str, Any]) -> None:
    document["mask"] = True


async def audited(gateway: Running, action: str) -> list[Any]:
    return list(await gateway.gateway.console.access.store.audit(AuditFilter(action=action), 10))


# --- templates --------------------------------------------------------------------------------------------------------


async def test_templates_are_read_listed_narrowed_and_previewed(tmp_path):
    async with running(tmp_path) as gateway, signed_in(gateway) as browser:
        assert "No template is known" in await text(browser, "/console/templates")
        await post(browser, "/console/templates/demo-wa/sync")
        listed = await text(browser, "/console/templates")
        assert "order_update/en_US" in listed
        assert "REJECTED" in listed
        narrowed = await text(browser, "/console/templates?language=id&status=APPROVED")
        assert "order_update/id" in narrowed
        assert "order_update/en_US" not in narrowed
        assert "hello_world" not in await text(browser, "/console/templates?q=pesanan")
        one = await text(browser, "/console/templates/demo-wa/order_update/en_US")
        assert "Hi <mark>Ani</mark>, your order <mark>1042</mark> is <mark>on its way</mark>." in one
        assert "Thank you" in one
        await text(browser, "/console/templates/demo-wa/no_such/en_US", 404)
        await text(browser, "/console/templates/demo-tg/order_update/en_US", 404)
        [entry] = await audited(gateway, "templates_read")
        assert entry.subject == "demo-wa"


async def test_the_request_of_a_template_is_taken_as_it_stands(tmp_path):
    async with running(tmp_path) as gateway, signed_in(gateway) as browser:
        await post(browser, "/console/templates/demo-wa/sync")
        store, taken = gateway.gateway.store, []
        for record in await store.templates("demo-wa"):
            page = await text(browser, f"/console/templates/demo-wa/{record.name}/{record.language}")
            if record.status != "APPROVED":
                assert "WhatsApp has not approved it" in page
                continue
            shown = html.unescape(page.split("curl -sS", 1)[1].split("</code>", 1)[0])
            words = shlex.split(shown.replace("\\\n", " "))
            body = words[words.index("-d") + 1]
            sent = json.loads(body) | {"id": f"{record.name}-{record.language}"}
            status, _, answer = await gateway.send("whatsapp", sent)
            assert status == 200, answer
            taken.append(await gateway.until(answer["data"]["tid"], 1))
        assert len(taken) >= 3
        assert PASSWORD not in page


async def test_a_sync_that_fails_says_what_the_platform_said_and_changes_nothing(tmp_path):
    async with running(tmp_path) as gateway, signed_in(gateway) as browser:
        await post(browser, "/console/templates/demo-wa/sync")
        before = await gateway.gateway.store.templates("demo-wa")
        await gateway.sandbox.stop()
        failed = await (await post(browser, "/console/templates/demo-wa/sync", status=502)).text()
        assert "templates_not_synced" in failed
        assert await gateway.gateway.store.templates("demo-wa") == before
        await gateway.sandbox.start()


async def test_templates_of_another_client_are_not_there_and_only_operators_read_them_anew(tmp_path):
    async with running(tmp_path, edit=with_another) as gateway:
        async with signed_in(gateway) as owner:
            await post(owner, "/console/templates/demo-wa/sync")
        async with signed_in(gateway, "client", client_id="other") as browser:
            assert "order_update" not in await text(browser, "/console/templates?account=demo-wa")
            await text(browser, "/console/templates/demo-wa/order_update/en_US", 404)
            await post(browser, "/console/templates/demo-wa/sync", status=403)
        async with signed_in(gateway, "viewer") as browser:
            assert "/sync" not in await text(browser, "/console/templates")
            await post(browser, "/console/templates/demo-wa/sync", status=403)


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def kept(gateway: Running, body: bytes = b'{"secret words": 1', why: str = "it is no JSON") -> int:
    store, now = gateway.gateway.store, gateway.gateway.clock.now()
    number = await store.quarantine(Unread("demo-tg", body, why, now))
    assert number is not None
    return number


async def test_what_is_in_quarantine_is_listed_replayed_and_dropped(tmp_path):
    async with running(tmp_path) as gateway, signed_in(gateway) as browser:
        assert "Nothing is in quarantine" in await text(browser, "/console/webhooks")
        number = await kept(gateway, why="<b>it is no JSON</b>")
        listed = await text(browser, "/console/webhooks?account=demo-tg")
        assert f"/console/webhooks/{number}" in listed
        assert "<b>it is" not in listed
        assert "secret words" in await text(browser, f"/console/webhooks/{number}")
        answer = await post(browser, f"/console/webhooks/{number}/replay")
        assert answer.headers["location"].endswith(f"/webhooks/{number}?said=still_unread")
        fine = await kept(gateway, json.dumps(UPDATE).encode())
        answer = await post(browser, f"/console/webhooks/{fine}/replay")
        assert answer.headers["location"].endswith("/webhooks?said=understood")
        await post(browser, f"/console/webhooks/{number}/drop")
        assert await gateway.gateway.store.quarantined() == []
        await text(browser, f"/console/webhooks/{number}", 404)
        await text(browser, "/console/webhooks/x", 404)
        assert [len(await audited(gateway, f"webhook_{each}")) for each in ("replayed", "dropped")] == [2, 1]


async def test_a_body_is_hidden_until_it_is_revealed_and_no_client_sees_any(tmp_path):
    async with running(tmp_path, edit=masked) as gateway:
        number = await kept(gateway)
        where = f"/console/webhooks/{number}"
        async with signed_in(gateway, "operator") as browser:
            assert "secret words" not in await text(browser, where)
            await post(browser, "/console/reveal", {"kind": "webhook", "id": str(number), "next": where})
            assert "secret words" in await text(browser, where)
        async with signed_in(gateway, "client", client_id="demo") as browser:
            for path in ("/console/webhooks", where):
                await text(browser, path, 403)
            for act in ("replay", "drop"):
                await post(browser, f"{where}/{act}", status=403)
        async with signed_in(gateway, "viewer") as browser:
            assert "secret words" not in await text(browser, where)
            for act in ("replay", "drop"):
                await post(browser, f"{where}/{act}", status=403)


async def test_the_home_page_leads_to_what_is_in_quarantine_and_offers_only_steps_that_the_visitor_may_take(tmp_path):
    async with running(tmp_path) as gateway:
        await kept(gateway)
        for role, told, steps in (("owner", True, True), ("viewer", True, False), ("client", False, False)):
            client = {"client_id": "other"} if role == "client" else {}
            async with signed_in(gateway, role, **client) as browser:
                home = await text(browser, "/console")
                assert ("/console/webhooks" in home) == told, role
                assert ("/console/accounts/new" in home) == steps, role
