"""Clients and their passwords in the console, over real HTTP."""

import html
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kurir.store.access import AuditFilter
from support.console import post, signed_in, text
from support.servers import Running, running

_PASSWORD = re.compile(r'id="new-password">([^<]+)<')


async def lets_in(made: Running, username: str, password: str) -> bool:
    """Return whether a client's request is let in with this login."""
    login = {"Auth-username": username, "Auth-password": password}
    async with aiohttp.request("GET", f"{made.url}/v1/messages", headers=login) as response:
        assert response.status in (200, 401), await response.text()
        return response.status == 200


async def password_in(answer: aiohttp.ClientResponse) -> str:
    """Return the new password that a page shows."""
    found = _PASSWORD.search(html.unescape(await answer.text()))
    assert found is not None
    return found[1]


async def added(browser: Any, client_id: str = "shop", **fields: str) -> str:
    """Add a client in the browser; return its password."""
    answer = await post(browser, "/console/clients/new", {"id": client_id} | fields, 200)
    return await password_in(answer)


async def tag_of(browser: Any, client_id: str = "shop") -> str:
    """Return what the form that rotates sends along."""
    found = re.search(r'name="was" value="([^"]+)"', await text(browser, f"/console/clients/{client_id}"))
    assert found is not None
    return found[1]


async def test_a_client_is_added_let_in_and_its_password_is_shown_once(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made, name="ani") as browser:
        word = await added(browser, default_region="ID")
        assert await lets_in(made, "shop", word)
        shown = await text(browser, "/console/clients/shop")
        assert word not in shown
        assert "It is shown now" not in shown
        assert 'id="c-shop"' in await text(browser, "/console/clients")
        found = await made.gateway.store.audit(AuditFilter(subject="shop"), 5)
        assert [(one.action, one.actor) for one in found] == [("client_added", "ani")]
        assert word not in found[0].after


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"id": "demo"}, "id"),
        ({"id": "with blank"}, "id"),
        ({"id": "shop", "username": "demo"}, "username"),
        ({"id": "shop", "default_region": "Atlantis"}, "default_region"),
        ({"id": "shop", "max_age": "long"}, "max_age"),
        ({"id": "shop", "allow_from": "203.0.113.7/24"}, "allow_from"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(tmp_path: Path, fields: dict[str, str], name: str) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        answer = await post(browser, "/console/clients/new", fields, 422)
        shown = html.unescape(await answer.text())
        assert re.search(rf'class="field field-wrong">\s*<label for="f-{name}"', shown), shown
        assert "shop" not in made.gateway.directory.clients()


async def test_a_password_is_rotated_with_an_overlap_and_without(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        first = await added(browser)
        sent = {"overlap": "86400", "was": await tag_of(browser)}
        second = await password_in(await post(browser, "/console/clients/shop/rotate", sent, 200))
        assert await lets_in(made, "shop", first)
        assert await lets_in(made, "shop", second)
        assert "lets in until" in await text(browser, "/console/clients/shop")
        sent = {"overlap": "0", "was": await tag_of(browser)}
        third = await password_in(await post(browser, "/console/clients/shop/rotate", sent, 200))
        assert [await lets_in(made, "shop", one) for one in (first, second, third)] == [False, False, True]


async def test_a_form_that_is_sent_twice_rotates_once(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        await added(browser)
        sent = {"overlap": "0", "was": await tag_of(browser)}
        word = await password_in(await post(browser, "/console/clients/shop/rotate", sent, 200))
        await post(browser, "/console/clients/shop/rotate", sent, 422)
        assert await lets_in(made, "shop", word)


async def test_an_overlap_that_was_not_offered_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        word = await added(browser)
        await post(browser, "/console/clients/shop/rotate", {"overlap": "99", "was": await tag_of(browser)}, 422)
        assert await lets_in(made, "shop", word)


async def test_a_client_is_changed_disabled_and_enabled(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        word = await added(browser)
        changes = {
            "username": "shop-2",
            "default_region": "TH",
            "max_age": "2h",
            "allow_from": "192.0.2.0/24\n127.0.0.0/8",
        }
        await post(browser, "/console/clients/shop", changes)
        record = made.gateway.directory.clients()["shop"]
        assert (record.username, record.default_region, record.max_age_seconds) == ("shop-2", "TH", 7200)
        assert record.allow_from == ("192.0.2.0/24", "127.0.0.0/8")
        assert await lets_in(made, "shop-2", word)
        await post(browser, "/console/clients/shop", {"allow_from": "192.0.2.0/24"})
        assert not await lets_in(made, "shop-2", word)
        await post(browser, "/console/clients/shop", {"allow_from": ""})
        await post(browser, "/console/clients/shop/disable")
        assert not await lets_in(made, "shop-2", word)
        await post(browser, "/console/clients/shop/enable")
        assert await lets_in(made, "shop-2", word)
        found = [one.action for one in await made.gateway.store.audit(AuditFilter(subject="shop"), 9)]
        assert found == ["client_enabled", "client_disabled", *["client_changed"] * 3, "client_added"]


async def test_a_client_of_the_file_is_changed_there(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        shown = await text(browser, "/console/clients/demo")
        assert "stands in the configuration file" in shown
        assert "/rotate" not in shown
        await post(browser, "/console/clients/demo/disable", status=409)
        await post(browser, "/console/clients/demo", {"max_age": "1h"}, 409)
        assert "demo" in made.gateway.directory.clients()


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_others_than_owners_look_only(tmp_path: Path, role: str) -> None:
    async with running(tmp_path) as made, signed_in(made, role) as browser:
        assert 'id="c-demo"' in await text(browser, "/console/clients")
        assert 'method="post" action="/console/clients' not in await text(browser, "/console/clients/demo")
        await text(browser, "/console/clients/new", 403)
        await post(browser, "/console/clients/new", {"id": "shop"}, 403)
        for verb in ("", "/rotate", "/disable", "/enable"):
            await post(browser, f"/console/clients/demo{verb}", status=403)
        assert "shop" not in made.gateway.directory.clients()


async def test_a_user_of_one_client_sees_no_clients(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made, "client", client_id="demo") as browser:
        await text(browser, "/console/clients", 403)
        await text(browser, "/console/clients/demo", 403)


async def test_a_client_that_there_is_not_is_not_found(tmp_path: Path) -> None:
    async with running(tmp_path) as made, signed_in(made) as browser:
        await text(browser, "/console/clients/nobody", 404)
        await post(browser, "/console/clients/nobody/disable", status=404)
