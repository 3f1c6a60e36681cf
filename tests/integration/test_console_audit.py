"""The audit: every change by the administrator's API is in it, it is read and exported, and nobody with a scope sees it."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from kurir.console.auditing import ACTIONS
from kurir.console.trail import COLUMNS, KINDS
from kurir.gateway import Gateway
from kurir.http.audited import OF_ADMINISTRATOR, OF_CLIENTS, of_administrator
from kurir.http.edge import AdminRoute, NativeRoute
from kurir.store.access import AuditFilter, AuditRecord
from kurir.store.base import StoreUnavailable
from support.console import all_routes, signed_in, text
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {ADMIN}"}
SAFE = {"GET", "HEAD", "OPTIONS"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    def edit(document: dict[str, Any]) -> None:
        document["admin_token"] = ADMIN

    async with running(tmp_path_factory.mktemp("audit"), edit=edit) as started:
        yield started


async def api(gateway: Running, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.request(method, f"{gateway.url}/v1/admin{path}", json=body, headers=LOGIN) as response:
        return response.status, await response.json(content_type=None)


async def newest(gateway: Running, limit: int = 1, **more: Any) -> list[AuditRecord]:
    return await gateway.gateway.store.audit(AuditFilter(**more), limit)


# --- the administrator's API --------------------------------------------------------------------------------------------


def unsafe(gateway: Gateway, kind: type[APIRoute]) -> Iterator[tuple[str, str]]:
    for route in all_routes(gateway):
        if isinstance(route, kind):
            yield from ((method, route.path) for method in route.methods if method not in SAFE)


async def test_every_route_of_the_administrator_that_changes_something_is_noted(gateway):
    assert set(unsafe(gateway.gateway, AdminRoute)) == set(OF_ADMINISTRATOR)
    assert set(OF_CLIENTS) <= set(unsafe(gateway.gateway, NativeRoute))
    assert [path for (_, path), how in OF_ADMINISTRATOR.items() if how is None] == [
        "/v1/admin/accounts/{account_id}/check"
    ]
    for how in (*OF_ADMINISTRATOR.values(), *OF_CLIENTS.values()):
        assert how is None or (how.action in ACTIONS and how.kind in KINDS)


async def test_a_route_that_is_forgotten_does_not_start():
    with pytest.raises(KeyError):
        of_administrator({"POST"}, "/v1/admin/forgotten")
    assert of_administrator({"GET", "HEAD"}, "/v1/admin/forgotten") is None


async def test_what_the_administrator_changes_is_noted_with_what_was_asked_and_no_secret(gateway):
    calls = [
        ("POST", "/clients", {"id": "acme", "max_age": "2h"}, "client_added", "acme", {"id": "acme", "max_age": "2h"}),
        ("PATCH", "/clients/acme", {"max_age": "3h"}, "client_changed", "acme", {"max_age": "3h"}),
        ("POST", "/clients/acme/rotate-password", {"overlap_seconds": 0}, "password_rotated", "acme", None),
        ("POST", "/clients/acme/disable", None, "client_disabled", "acme", {}),
        ("POST", "/clients/acme/enable", None, "client_enabled", "acme", {}),
        (
            "POST",
            "/accounts",
            {
                "client": "acme",
                "channel": "telegram",
                "id": "acme-tg",
                "settings": {"token": "7001000:" + "x" * 35, "receive": "poll"},
            },
            "account_added",
            "acme-tg",
            {"client": "acme", "channel": "telegram", "id": "acme-tg", "settings": {"token": "•••", "receive": "poll"}},
        ),
        ("POST", "/accounts/acme-tg/disable", None, "account_disabled", "acme-tg", {}),
        ("POST", "/accounts/demo-tg/pause", None, "account_paused", "demo-tg", {}),
        ("POST", "/accounts/demo-tg/resume", None, "account_resumed", "demo-tg", {}),
    ]
    for method, path, body, action, subject, after in calls:
        status, answer = await api(gateway, method, path, body)
        assert status == 200, answer
        (one,) = await newest(gateway)
        assert (one.actor, one.via, one.address) == ("administrator", "api", "127.0.0.1")
        assert (one.action, one.subject) == (action, subject)
        assert one.client_id == ("demo" if subject.startswith("demo") else "acme")
        assert after is None or json.loads(one.after) == after
        assert "x" * 35 not in repr(one)
        assert answer["data"].get("password") is None or answer["data"]["password"] not in repr(one)


async def test_a_callback_endpoint_is_noted_without_what_lets_in(gateway):
    hook = {"client": "demo", "url": "http://u:hunter2@127.0.0.1:9/x?key=hunter3", "headers": {"X-Own": "hunter4"}}
    status, answer = await api(gateway, "PUT", "/callbacks", hook | {"enabled": False})
    if status != 200:  # user and password in an address may be refused
        hook["url"] = "http://127.0.0.1:9/x?key=hunter3"
        status, answer = await api(gateway, "PUT", "/callbacks", hook | {"enabled": False})
    assert status == 200, answer
    (one,) = await newest(gateway)
    assert (one.action, one.subject, one.client_id) == ("endpoint_changed", answer["data"]["id"], "demo")
    assert "hunter" not in one.after
    await api(gateway, "DELETE", f"/callbacks/{answer['data']['id']}")
    assert (await newest(gateway))[0].action == "endpoint_removed"


async def test_what_is_refused_or_only_looked_at_is_not_noted(gateway):
    before = await newest(gateway)
    assert (await api(gateway, "POST", "/clients", {"id": ""}))[0] == 422
    assert (await api(gateway, "POST", "/accounts/nobody/pause"))[0] == 404
    assert (await api(gateway, "GET", "/accounts"))[0] == 200
    assert (await api(gateway, "POST", "/accounts/demo-tg/check"))[0] == 200
    assert await newest(gateway) == before


async def test_who_erases_a_person_is_noted_and_the_person_is_not(gateway):
    async with gateway.session.delete(f"{gateway.url}/v1/contacts/whatsapp/6281200000001") as response:
        assert response.status in (200, 404), await response.text()
        if response.status == 404:
            return
    (one,) = await newest(gateway)
    assert (one.actor, one.action, one.client_id) == ("demo", "contact_erased", "demo")
    assert "6281200000001" not in repr(one)


async def test_a_change_stands_where_the_audit_cannot_be_written(gateway, monkeypatch):
    async def away(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(type(gateway.gateway.store), "add_audit", away)
    status, answer = await api(gateway, "POST", "/clients/acme/rotate-password")
    assert status == 200
    assert answer["data"]["password"], "the password is known nowhere else"


# --- the page -----------------------------------------------------------------------------------------------------------


async def test_the_page_tells_who_did_what_with_before_and_after(gateway):
    audit = gateway.gateway.console.audit
    await audit.note_by(
        "mender", "console", "192.0.2.9", "account_changed", ("account", "demo-wa"), before={"n": 1}, after={"n": "<b>"}
    )
    async with signed_in(gateway) as session:
        page = await text(session, "/console/audit?actor=mender")
        assert "changed an account" in page
        assert "<del>1</del><ins>&lt;b&gt;</ins>" in page
        assert "192.0.2.9" in page
        assert "actor=administrator" not in page
        assert "actor=administrator" in await text(session, "/console/audit?via=api")
        assert "changed an account" not in await text(session, "/console/audit?kind=user")
        assert "Nothing found" in await text(session, "/console/audit?actor=nobody")
        for odd in ("before=x", "before=%C2%B2", f"before={'9' * 30}", "kind=%3Cb%3E"):
            assert "<b>" not in await text(session, f"/console/audit?{odd}")


async def test_pages_follow_one_another_without_a_gap(gateway):
    await gateway.gateway.store.add_audit(
        [
            AuditRecord(gateway.gateway.clock.now(), "filler", "console", "", "exported", "list", f"entry-{number:03}")
            for number in range(120)
        ]
    )
    seen: list[str] = []
    path = "/console/audit?actor=filler"
    async with signed_in(gateway) as session:
        while path:
            page = await text(session, path)
            seen += re.findall(r">(entry-\d+)<", page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            path = "/console/audit" + older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"entry-{number:03}" for number in reversed(range(120))]


async def test_the_audit_is_given_as_a_file_and_that_is_noted(gateway):
    await gateway.gateway.store.add_audit(
        [
            AuditRecord(gateway.gateway.clock.now(), "mass", "api", "", "exported", "list", f"=cmd{number}")
            for number in range(1100)
        ]
    )
    async with signed_in(gateway) as session:
        async with session.get("/console/audit/export?format=csv&actor=mass") as response:
            assert response.headers["Content-Disposition"].startswith('attachment; filename="kurir-audit-')
            rows = list(csv.reader(io.StringIO(await response.text())))
        assert tuple(rows[0]) == COLUMNS
        assert len(rows) == 1101
        assert all(row[7].startswith("'=cmd") for row in rows[1:])
        async with session.get("/console/audit/export?format=jsonl&actor=mass") as response:
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
        assert [one["subject"] for one in lines] == [f"=cmd{number}" for number in reversed(range(1100))]
        await text(session, "/console/audit/export?format=xml", 422)
    found = await newest(gateway, 2, action="audit_exported")
    assert [(one.actor, one.subject) for one in found] == [("owner", "jsonl"), ("owner", "csv")]


async def test_who_sees_one_client_does_not_see_the_audit(gateway):
    async with signed_in(gateway, "client", client_id="demo") as session:
        for path in ("/console/audit", "/console/audit/export"):
            await text(session, path, 403)
    async with signed_in(gateway, "viewer") as session:
        await text(session, "/console/audit")
