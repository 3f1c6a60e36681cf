"""Who gets into the console, over real HTTP: every route asks for a right and our own origin, and nothing leads elsewhere."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from kurir.console import live, totp
from kurir.console.access import TOUCHED
from kurir.console.rights import Right, Role
from kurir.http.console import assets, nowhere
from kurir.http.console.pages import ROUTERS
from kurir.http.console.route import ConsoleRoute, inside
from kurir.store.access import SESSION_IDLE, AuditFilter, UserChange
from kurir.store.base import StoreUnavailable
from support import console
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER = "other"
PASSWORD = "a sentence is a good password"
ADMIN = "an administrator's token"
SAFE = {"GET", "HEAD", "OPTIONS"}


def two_clients(document: dict[str, Any]) -> None:
    document["admin_token"] = ADMIN
    document["mask"] = True
    document["clients"][OTHER] = {"username": OTHER, "password": "correct horse battery"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("console"), edit=two_clients) as started:
        yield started


def routes() -> Iterator[tuple[str, APIRoute]]:
    for router in (*ROUTERS, nowhere.router):
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods):
                    yield method, route


def path_of(route: APIRoute) -> str:
    """A path of the route, with something that is not there in place of each parameter."""
    return re.sub(r"\{[^}]*\}", "1", route.path)


ALL = [pytest.param(method, route, id=f"{method} {route.path}") for method, route in routes()]
UNSAFE = [one for one in ALL if one.values[0] not in SAFE]


def right_of(route: APIRoute) -> Right | None:
    return route.endpoint.right  # type: ignore[attr-defined]


# --- every route --------------------------------------------------------------------------------------------------------


async def test_the_application_has_no_page_of_the_console_beside_the_routers(gateway: Running) -> None:
    ours = {id(route.endpoint) for _, route in routes()}
    found = [route for route in console.all_routes(gateway.gateway) if route.path.startswith("/console")]
    assert len(found) > 40
    for route in found:
        assert isinstance(route, ConsoleRoute), route.path
        assert id(route.endpoint) in ours, route.path


async def test_a_route_that_names_no_right_does_not_start() -> None:
    async def forgotten() -> None:
        """Forget to say who may."""

    with pytest.raises(AttributeError, match="right"):
        ConsoleRoute("/console/forgotten", forgotten)


async def test_what_is_open_to_all_is_the_door_alone() -> None:
    assert {(method, route.path) for method, route in routes() if right_of(route) is None} == {
        ("GET", "/console/static/{tag}/{name:path}"),
        ("GET", "/console/bubble/{tag}/static/{name}"),
        ("GET", "/console/sign-in"),
        ("POST", "/console/sign-in"),
        ("GET", "/console/enter"),
        ("POST", "/console/enter"),
        ("POST", "/console/language"),
        ("GET", "/requests/{request_id}"),
    }


@pytest.mark.parametrize(("method", "route"), ALL)
async def test_who_is_not_signed_in_is_led_to_the_door(gateway, method, route):
    if right_of(route) is None:
        return
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with aiohttp.request(
        method, gateway.url + path_of(route), headers=headers, allow_redirects=False
    ) as response:
        assert response.status == 303
        assert urlsplit(response.headers["Location"]).path == "/console/sign-in"
        assert "Set-Cookie" not in response.headers


FOREIGN = [
    {},
    {"Origin": "null"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "http://127.0.0.1.elsewhere.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": ""},
]


@pytest.mark.parametrize(("method", "route"), UNSAFE)
async def test_a_change_is_taken_from_our_own_pages_alone(gateway, method, route):
    who = await console.user(gateway.gateway)
    cookies = await console.cookie(gateway.gateway, who)
    async with aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        for headers in FOREIGN:
            async with session.request(
                method, gateway.url + path_of(route), headers=headers, allow_redirects=False
            ) as response:
                page = await response.text()
                assert response.status == 403, headers
                assert "foreign_page" in page


async def test_an_old_browser_says_its_origin(gateway):
    origin = f"http://127.0.0.1:{urlsplit(gateway.url).port}"
    for headers, status in (({"Origin": origin}, 401), ({"Origin": origin.replace("http", "ftp")}, 403)):
        async with aiohttp.request("POST", f"{gateway.url}/console/sign-in", headers=headers) as response:
            assert response.status == status


# --- roles --------------------------------------------------------------------------------------------------------------

MAY = {
    Role.OWNER: set(Right),
    Role.OPERATOR: {Right.SEE, Right.SEE_ALL, Right.ACT, Right.OPERATE},
    Role.VIEWER: {Right.SEE, Right.SEE_ALL},
    Role.CLIENT: {Right.SEE, Right.ACT},
}


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_does_what_it_may_and_nothing_else(gateway, role):
    async with signed_in(gateway, role.value, client_id="demo" if role is Role.CLIENT else "") as session:
        for method, route in routes():
            right = right_of(route)
            if right is None or route.path in ("/console/live", "/console/sign-out"):
                continue
            if right in MAY[role]:
                continue  # what it may is told by each page's own tests
            async with session.request(method, path_of(route), allow_redirects=False) as response:
                assert response.status == 403, (method, route.path)
                assert "not_allowed" in await response.text()


@pytest.mark.parametrize("role", list(Role))
async def test_every_page_that_a_role_may_see_has_the_headers_of_one(gateway, role):
    async with signed_in(gateway, role.value, client_id="demo" if role is Role.CLIENT else "") as session:
        for method, route in routes():
            right = right_of(route)
            if method != "GET" or route.path == "/console/live" or (right is not None and right not in MAY[role]):
                continue
            async with session.get(path_of(route), allow_redirects=False) as response:
                page = await response.text() if "stream" not in response.headers.get("Content-Type", "") else ""
                assert response.status < 500, (route.path, page[:2000])
                check_headers(response, route.path)
                assert "<script>" not in page
                assert not re.search(r"<[^>]+ (?:on\w+|style)=", page), route.path


def check_headers(response: aiohttp.ClientResponse, path: str) -> None:
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy, path
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    if response.status == 200 and "/static/" not in path:
        assert "no-store" in response.headers["Cache-Control"]


async def test_a_clients_user_finds_nothing_of_another_client(gateway):
    """Everything that a page of somebody else's could name is looked for on every page that the user may open."""
    tid = (await gateway.send("whatsapp", body(id="of-demo")))[2]["data"]["tid"]
    await gateway.until(tid, 1)
    status, _, refused = await gateway.send("whatsapp", {"id": "refused-of-demo"})
    assert status == 422
    await gateway.gateway.console.requests.flush()
    instance = refused["instance"].rpartition("/")[2]
    hidden = ("of-demo", "demo-wa", "demo-tg", tid, instance)
    paths = [path_of(route) for method, route in routes() if method == "GET" and right_of(route) is not None]
    foreign = [f"/console/messages/{tid}", f"/console/requests/{instance}", "/console/accounts/demo-wa"]
    paths += foreign
    paths += ["/console/requests?client=demo", "/console/messages?q=client:demo", f"/console/messages?q={tid}"]
    async with signed_in(gateway, "client", client_id=OTHER) as session:
        for path in paths:
            if path == "/console/live":
                continue
            async with session.get(path, allow_redirects=False) as response:
                page = await response.text()
            assert response.status in (200, 303, 308, 403, 404, 405, 422), (path, response.status)
            assert f'href="/console/messages/{tid}"' not in page, path
            page = re.sub(r'<input[^>]*name="(?:q|next)"[^>]*>', "", page)  # what was asked for stands there again
            page = re.sub(r'href="[^"]*"|hx-get="[^"]*"', "", page)
            if path in foreign:
                assert response.status == 404, path
                continue
            if "?" in path:
                assert f'id="m-{tid}"' not in page, path
                continue
            for word in hidden:
                assert word not in page, (path, word)
    async with signed_in(gateway, "client", client_id="demo") as session:
        assert instance in await text(session, f"/console/requests/{instance}")


# --- the door -----------------------------------------------------------------------------------------------------------


async def test_a_link_is_shown_without_being_used_and_lets_in_by_its_button(gateway):
    who = await console.user(gateway.gateway, "viewer", name="linked")
    token = await gateway.gateway.console.access.new_link(who.id)
    async with aiohttp.ClientSession(
        gateway.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Sec-Fetch-Site": "same-origin"}
    ) as session:
        for _ in range(3):
            assert "lets one browser in, once" in await text(session, f"/console/enter?token={token}")
        response = await post(session, "/console/enter", {"token": token})
        assert response.headers["Location"] == "/console"
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        assert "linked" in await text(session, "/console/me")
        page = await text(session, f"/console/enter?token={token}")
        assert "too old" in page
        await post(session, "/console/enter", {"token": token}, 401)


async def test_behind_tls_the_cookie_is_of_this_host_alone(tmp_path):
    def edit(document: dict[str, Any]) -> None:
        document["public_url"] = "https://kurir.example/hub"

    async with running(tmp_path, edit=edit) as started:
        token = await started.gateway.console.access.owner_link()
        headers = {"Origin": "https://kurir.example"}  # what the browser says of the proxy's name
        async with aiohttp.request(
            "POST", f"{started.url}/console/enter", data={"token": token}, headers=headers, allow_redirects=False
        ) as response:
            assert response.status == 303
            assert response.headers["Location"] == "/hub/console"
            cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-kurir_session=")
        assert "Secure" in cookie


@pytest.mark.parametrize(
    "leads",
    [
        "https://elsewhere.example",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "/consolee",
        "/console@elsewhere.example",
        "/console\\@elsewhere.example",
        "javascript:alert(1)",
        "/v1/messages",
        "/console/../v1/messages",
        "//[",
        "console",
        "",
    ],
)
async def test_nobody_is_led_elsewhere(leads):
    assert inside(leads) == "/console"


@pytest.mark.parametrize(
    ("leads", "where"),
    [
        ("/console", "/console"),
        ("/console/messages?q=status%3Afailed&x=1", "/console/messages?q=status%3Afailed&x=1"),
        ("/console?range=7d", "/console?range=7d"),
        ("/console/x\r\nSet-Cookie: a=b", "/console/x%0D%0ASet-Cookie:%20a=b"),
    ],
)
async def test_one_is_led_back_to_where_one_was(leads, where):
    assert inside(leads) == where


async def test_signing_in_by_password_leads_back_and_failing_says_nothing(gateway):
    access = gateway.gateway.console.access
    who = await console.user(gateway.gateway, "viewer", name="with-password")
    await access.set_password(who, who.name, PASSWORD, "")
    async with aiohttp.ClientSession(
        gateway.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Sec-Fetch-Site": "same-origin"}
    ) as session:
        async with session.get("/console/messages?q=a b", allow_redirects=False) as response:
            query = parse_qs(urlsplit(response.headers["Location"]).query)
        assert query["next"][0] in {"/console/messages?q=a+b", "/console/messages?q=a%20b"}
        fields = {"name": who.name, "password": "wrong", "next": query["next"][0]}
        for name in (who.name, "nobody"):
            response = await post(session, "/console/sign-in", fields | {"name": name}, 401)
            assert "The name or the password is wrong." in await response.text()
        response = await post(session, "/console/sign-in", fields | {"password": PASSWORD})
        assert response.headers["Location"].startswith("/console/messages?q=a")
        await post(session, "/console/sign-out")
        async with session.get("/console/me", allow_redirects=False) as left:
            assert left.status == 303


async def test_too_many_failures_are_429_and_say_when_to_come_again(gateway):
    async with aiohttp.ClientSession(gateway.url, headers={"Sec-Fetch-Site": "same-origin"}) as session:
        statuses = []
        for _ in range(21):
            async with session.post("/console/sign-in", data={"name": "guessed", "password": "x"}) as response:
                statuses.append(response.status)
    assert statuses == [401] * 20 + [429]
    assert 1 <= int(response.headers["Retry-After"]) <= 30


async def test_a_failed_sign_in_is_noted_under_a_users_name_only(gateway):
    await console.user(gateway.gateway, "viewer", name="failing")
    async with aiohttp.ClientSession(gateway.url, headers={"Sec-Fetch-Site": "same-origin"}) as session:
        for name in ("failing", "my secret password"):
            async with session.post("/console/sign-in", data={"name": name, "password": "x"}):
                pass
    found = await gateway.gateway.store.audit(AuditFilter(action="sign_in_failed"), 2)
    assert [one.actor for one in found] == ["", "failing"]
    assert "secret" not in repr(found)


async def test_a_form_that_is_none_is_refused(gateway):
    async with aiohttp.ClientSession(gateway.url, headers={"Sec-Fetch-Site": "same-origin"}) as session:
        for sent, kind, status in (
            (b"name=a%00b&password=x", "application/x-www-form-urlencoded", 422),
            (b"name=%ff&password=x", "application/x-www-form-urlencoded", 422),
            (b'{"name": "a"}', "application/json", 415),
            (b"&".join(b"a=1" for _ in range(600)), "application/x-www-form-urlencoded", 422),
            (b"a=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
        ):
            async with session.post("/console/sign-in", data=sent, headers={"Content-Type": kind}) as response:
                assert response.status == status, sent[:40]


# --- one's own ----------------------------------------------------------------------------------------------------------


async def test_who_came_by_a_link_sets_a_password_without_the_present_one(gateway):
    access = gateway.gateway.console.access
    who = await console.user(gateway.gateway, "viewer", name="forgetful")
    await access.set_password(who, who.name, PASSWORD, "")
    async with signed_in(gateway, name="forgetful") as session:  # the helper's session did not come by the door
        page = await text(session, "/console/me")
        assert 'name="current"' in page
        fields = {"name": "forgetful", "password": "a second long sentence", "current": "wrong"}
        response = await post(session, "/console/me/password", fields, 422)
        assert "not your present password" in await response.text()
    token = await access.new_link(who.id)
    async with aiohttp.ClientSession(
        gateway.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Sec-Fetch-Site": "same-origin"}
    ) as session:
        await post(session, "/console/enter", {"token": token})
        assert 'name="current"' not in await text(session, "/console/me")
        short = await post(session, "/console/me/password", {"name": "forgetful", "password": "short"}, 422)
        assert "at least 12" in await short.text()
        taken = {"name": "owner", "password": "a second long sentence"}
        await console.user(gateway.gateway)
        assert "Another user" in await (await post(session, "/console/me/password", taken, 422)).text()
        await post(session, "/console/me/password", {"name": "forgetful", "password": "a second long sentence"})
    assert await access.by_password("forgetful", "a second long sentence", "", console.BROWSER)


async def test_the_second_factor_is_turned_on_by_a_code_and_off_by_the_password(gateway):
    access = gateway.gateway.console.access
    who = await console.user(gateway.gateway, "viewer", name="careful")
    async with signed_in(gateway, name="careful") as session:
        page = await text(session, "/console/me")
        assert "Set a password first" in page
        secret = "A" * 32
        await post(session, "/console/me/totp", {"secret": secret, "code": "000000"}, 422)
        await access.set_password(who, who.name, PASSWORD, await _session_id(gateway, "careful"))
        page = await text(session, "/console/me")
        found = re.search(r'name="secret" value="([A-Z2-7]{32})"', page)
        assert found is not None
        assert "000000" not in page
        raw = base64.b32decode(found[1])
        step = int(gateway.gateway.clock.now().timestamp()) // 30
        await post(session, "/console/me/totp", {"secret": found[1], "code": "000000"}, 422)
        for damaged in ("", "A", "!!", "A" * 8):
            await post(session, "/console/me/totp", {"secret": damaged, "code": "1"}, 422)
        await post(session, "/console/me/totp", {"secret": found[1], "code": totp.code_at(raw, step)})
        again = await post(session, "/console/me/totp", {"secret": found[1], "code": totp.code_at(raw, step + 1)}, 422)
        assert "Turn it off first" in await again.text() or "It is on" in await again.text()
        await post(session, "/console/me/totp", {"off": "1", "current": "wrong"}, 422)
        await post(session, "/console/me/totp", {"off": "1", "current": PASSWORD})
        assert "It is on" not in await text(session, "/console/me")


async def _session_id(gateway: Running, name: str) -> str:
    access = gateway.gateway.console.access
    who = await access.store.user_named(name)
    assert who is not None
    return (await access.store.sessions(who.id))[0].id


async def test_one_ends_ones_own_sessions_and_no_others(gateway):
    access = gateway.gateway.console.access
    async with (
        signed_in(gateway, "viewer", name="one") as here,
        signed_in(gateway, "viewer", name="one") as there,
        signed_in(gateway, "viewer", name="two") as foreign,
    ):
        who, two = await access.store.user_named("one"), await access.store.user_named("two")
        assert who is not None
        assert two is not None
        ids = [one.id for one in await access.store.sessions(who.id)]
        not_mine = (await access.store.sessions(two.id))[0].id
        page = await text(here, "/console/me")
        other = next(one for one in ids if f"sessions/{one}/end" in page)
        await post(here, f"/console/me/sessions/{not_mine}/end")
        assert await text(foreign, "/console/me")
        await post(here, f"/console/me/sessions/{other}/end")
        async with there.get("/console/me", allow_redirects=False) as response:
            assert response.status == 303


async def test_somebody_who_is_disabled_while_looking_is_out_with_the_next_click(gateway):
    access = gateway.gateway.console.access
    async with signed_in(gateway, "viewer", name="leaving") as session:
        assert await text(session, "/console/me")
        who = await access.store.user_named("leaving")
        assert who is not None
        await access.store.change_user(who.id, UserChange(enabled=False), gateway.gateway.clock.now())
        async with session.get("/console/me", allow_redirects=False) as response:
            assert response.status == 303
        async with session.get("/console", headers={"HX-Request": "true"}, allow_redirects=False) as response:
            assert response.status == 401
            assert response.headers["HX-Redirect"].startswith("/console/sign-in")


async def test_where_nothing_can_be_written_one_still_looks(gateway, monkeypatch):
    async def full(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    async with signed_in(gateway) as session:
        console, now = gateway.gateway.console, gateway.gateway.clock.now
        monkeypatch.setattr(console.access.store, "touch_session", full)
        monkeypatch.setattr(gateway.gateway.clock, "now", lambda: now() + TOUCHED)
        assert "<h1" in await text(session, "/console/settings")
        monkeypatch.setattr(gateway.gateway.clock, "now", lambda: now() + SESSION_IDLE)
        async with session.get("/console/settings", allow_redirects=False) as response:
            assert response.status == 303


async def test_a_fault_of_a_page_is_a_page(gateway, monkeypatch):
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret of the inside")

    async with signed_in(gateway) as session:
        monkeypatch.setattr(gateway.gateway.console.access.store, "sessions", broken)
        async with session.get("/console/me") as response:
            page = await response.text()
        assert response.status == 500
        assert "secret of the inside" not in page
        assert "<h1" in page
        check_headers(response, "/console/me")


async def test_a_page_that_follows_is_let_go_when_its_session_ends(gateway, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(assets, "HEARTBEAT_SECONDS", 0.0)
    async with signed_in(gateway, "viewer") as session, session.get("/console/live") as stream:
        seen = await asyncio.wait_for(stream.content.readuntil(b": alive\n\n"), 10)
        assert seen.startswith(b"retry: ")
        await post(session, "/console/sign-out")
        await asyncio.wait_for(stream.content.read(), 10)
        async with session.get("/console/live", allow_redirects=False) as again:
            assert again.status == 303
