"""Users of the console: added, changed and removed by owners alone, each change in the audit; links by API and command."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from kurir.cli.app import app
from kurir.store.access import AuditFilter, UserChange, UserRecord
from support import console
from support.console import post, signed_in, text
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = "an administrator's token"
LOGIN = {"Authorization": f"Bearer {ADMIN}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    def edit(document: dict[str, Any]) -> None:
        document["admin_token"] = ADMIN

    async with running(tmp_path_factory.mktemp("users"), edit=edit) as started:
        yield started


async def found(gateway: Running, name: str) -> UserRecord:
    user = await gateway.gateway.store.user_named(name)
    assert user is not None
    return user


async def last_noted(gateway: Running) -> tuple[str, str, str, Any]:
    (one,) = await gateway.gateway.store.audit(AuditFilter(), 1)
    return one.actor, one.action, one.subject, json.loads(one.after)


def link_in(page: str) -> str:
    link = re.search(r"/console/enter\?token=[\w-]{43}", page)
    assert link is not None
    return link[0]


async def test_an_added_user_comes_in_by_the_link_that_is_shown(gateway):
    async with signed_in(gateway) as session:
        fields = {"name": "Mo", "role": "operator", "client": "demo"}
        page = await (await post(session, "/console/users", fields, 200)).text()
        link = link_in(page)
        assert link not in await text(session, "/console/users"), "it is shown once"
    assert (await found(gateway, "mo")).role == "operator"
    assert (await found(gateway, "mo")).client_id == "", "a scope is for the role client alone"
    async with aiohttp.ClientSession(
        gateway.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Sec-Fetch-Site": "same-origin"}
    ) as session:
        await post(session, "/console/enter", {"token": link.partition("=")[2]})
        assert "Operator" in await text(session, "/console")
    entries = await gateway.gateway.store.audit(AuditFilter(kind="user", subject="mo"), 10)
    assert [one.action for one in entries] == ["signed_in", "link_made", "user_added"]
    assert link.partition("=")[2] not in repr(entries)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": "", "role": "viewer"}, "1 to 100 characters"),
        ({"name": "x" * 101, "role": "viewer"}, "1 to 100 characters"),
        ({"name": "a\u202eb", "role": "viewer"}, "1 to 100 characters"),
        ({"name": "nobody", "role": "king"}, "Choose a role"),
        ({"name": "nobody", "role": "client"}, "Choose the client"),
        ({"name": "nobody", "role": "client", "client": "elsewhere"}, "Choose the client"),
        ({"name": "owner", "role": "viewer"}, "Another user has this name"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_is_added(gateway, fields, why):
    async with signed_in(gateway) as session:
        before = len(await gateway.gateway.store.users())
        assert why in await (await post(session, "/console/users", fields, 422)).text()
        assert len(await gateway.gateway.store.users()) == before


async def test_a_name_is_shown_as_text(gateway):
    async with signed_in(gateway) as session:
        await post(session, "/console/users", {"name": "<script>x</script>", "role": "viewer"}, 200)
        page = await text(session, "/console/users")
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


async def test_a_user_is_given_another_role_and_scope(gateway):
    who = await console.user(gateway.gateway, "viewer", name="changing")
    async with signed_in(gateway) as session, signed_in(gateway, name="changing") as theirs:
        await text(theirs, "/console/settings")
        await post(session, f"/console/users/{who.id}", {"role": "client", "client": "demo"})
        assert await last_noted(gateway) == (
            "owner",
            "user_changed",
            "changing",
            {"role": "client", "client_id": "demo"},
        )
        await text(theirs, "/console/settings", 403)
        await post(session, f"/console/users/{who.id}", {"role": "viewer", "client": "demo"})
        assert (await found(gateway, "changing")).client_id == ""
        await post(session, f"/console/users/{who.id}", {"role": "king"}, 422)


async def test_a_disabled_user_is_out_and_comes_back_by_a_new_link_alone(gateway):
    who = await console.user(gateway.gateway, "viewer", name="away")
    async with signed_in(gateway) as session, signed_in(gateway, name="away") as theirs:
        await text(theirs, "/console")
        await post(session, f"/console/users/{who.id}/disable")
        await text(theirs, "/console", 303)
        await post(session, f"/console/users/{who.id}/link", status=403)
        await post(session, f"/console/users/{who.id}/enable")
        await text(theirs, "/console", 303)
        assert link_in(await (await post(session, f"/console/users/{who.id}/link", status=200)).text())


async def test_sessions_are_ended_and_a_second_factor_is_reset(gateway):
    who = await console.user(gateway.gateway, "viewer", name="lost-phone")
    await gateway.gateway.store.change_user(who.id, UserChange(totp=b"sealed"), gateway.gateway.clock.now())
    async with signed_in(gateway) as session, signed_in(gateway, name="lost-phone") as theirs:
        await post(session, f"/console/users/{who.id}/totp/reset")
        assert (await found(gateway, "lost-phone")).totp == b""
        await text(theirs, "/console")
        await post(session, f"/console/users/{who.id}/sessions/end")
        await text(theirs, "/console", 303)
        assert await last_noted(gateway) == ("owner", "session_ended", "lost-phone", {"sessions": 1})
        own = await found(gateway, "owner")
        await post(session, f"/console/users/{own.id}/sessions/end")
        assert await text(session, "/console"), "one's own session stays"


async def test_the_last_owner_is_not_removed_disabled_or_demoted(gateway):
    async with signed_in(gateway) as session:
        owner = await found(gateway, "owner")
        for path, fields in (("/remove", {}), ("/disable", {}), ("", {"role": "operator"})):
            response = await post(session, f"/console/users/{owner.id}{path}", fields, 409)
            assert "last_owner" in await response.text()
        assert "The last owner" in await text(session, "/console/users")
        second = await console.user(gateway.gateway, "owner", name="second")
        await post(session, f"/console/users/{second.id}/remove")
        assert await last_noted(gateway) == ("owner", "user_removed", "second", {})


async def test_who_is_not_there_is_not_found(gateway):
    async with signed_in(gateway) as session:
        for path in ("", "/disable", "/enable", "/remove", "/link", "/sessions/end", "/totp/reset"):
            await post(session, f"/console/users/nobody{path}", {"role": "viewer"}, 404)


# --- the administrator's API --------------------------------------------------------------------------------------------


async def api(gateway: Running, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.request(method, f"{gateway.url}/v1/admin/console{path}", json=body, headers=LOGIN) as response:
        return response.status, await response.json(content_type=None)


async def test_the_api_makes_a_link_for_whom_it_names(gateway):
    await console.user(gateway.gateway, "viewer", name="named")
    status, answer = await api(gateway, "POST", "/links", {"user": "Named"})
    assert status == 200, answer
    assert answer["data"]["user"] == "named"
    assert answer["data"]["url"].startswith("http://127.0.0.1")
    done = await gateway.gateway.console.access.by_link(answer["data"]["url"].partition("=")[2], console.BROWSER)
    assert done.user.name == "named"
    assert await last_noted(gateway) == ("administrator", "link_made", "named", {"user": "Named"})


async def test_without_a_name_the_api_makes_one_for_the_owner(gateway):
    await console.user(gateway.gateway)
    for body in (None, {}, {"user": None}):
        status, answer = await api(gateway, "POST", "/links", body)
        assert (status, answer["data"]["user"]) == (200, "owner")


@pytest.mark.parametrize(
    ("body", "status"), [({"user": "nobody"}, 404), ({"user": ""}, 404), ({"user": 5}, 422), ({"users": "x"}, 422)]
)
async def test_the_api_says_what_is_wrong(gateway, body, status):
    assert (await api(gateway, "POST", "/links", body))[0] == status


async def test_the_api_lists_users_without_a_secret(gateway):
    who = await console.user(gateway.gateway, "client", client_id="demo")
    status, answer = await api(gateway, "GET", "/users")
    assert status == 200
    one = next(user for user in answer["data"] if user["id"] == who.id)
    assert one == {
        "id": who.id,
        "name": "client-demo",
        "role": "client",
        "client": "demo",
        "enabled": True,
        "has_password": False,
        "second_factor": False,
        "last_signed_in_at": one["last_signed_in_at"],
    }


async def test_the_first_owner_of_an_empty_installation_comes_by_the_api(tmp_path):
    def edit(document: dict[str, Any]) -> None:
        document["admin_token"] = ADMIN

    async with running(tmp_path, edit=edit) as started:
        assert (await api(started, "GET", "/users"))[1]["data"] == []
        status, answer = await api(started, "POST", "/links")
        assert (status, answer["data"]["user"]) == (200, None)
        done = await started.gateway.console.access.by_link(answer["data"]["url"].partition("=")[2], console.BROWSER)
        assert done.user.role == "owner"


# --- the command --------------------------------------------------------------------------------------------------------


async def command(gateway: Running, *words: str) -> str:
    place = ("--url", gateway.url, "--admin-token", ADMIN)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["console", *words, *place])
    assert result.exit_code == 0, result.output
    return str(result.output)


async def test_the_command_makes_a_link_and_lists_users(gateway):
    await console.user(gateway.gateway)
    assert link_in(await command(gateway, "link"))
    await console.user(gateway.gateway, "viewer", name="by-command")
    said = await command(gateway, "link", "by-command")
    assert link_in(said)
    assert "once" in said
    assert json.loads(await command(gateway, "link", "--json"))["data"]["user"] == "owner"
    listed = await command(gateway, "users")
    assert re.search(r"by-command +viewer", listed)
