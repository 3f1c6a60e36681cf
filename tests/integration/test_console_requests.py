"""The log of requests and what stands beside it: errors, revealing what is masked, settings and the doctor."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kurir.domain.errors import ERRORS
from kurir.http.console.reveal import LASTS
from kurir.settings import SETTINGS
from kurir.store.access import AuditFilter, RequestFilter, RequestRecord
from support.bodies import body
from support.console import post, signed_in, text
from support.servers import PASSWORD, Running, running
from support.stores import CHOSEN

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN = "an administrator's token"
PHONE = "6281298765432"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    def edit(document: dict[str, Any]) -> None:
        document["admin_token"] = ADMIN
        document["mask"] = True
        document["clients"]["other"] = {"username": "other", "password": "correct horse battery"}

    async with running(tmp_path_factory.mktemp("requests"), edit=edit) as started:
        yield started


async def logged(gateway: Running, **more: Any) -> list[RequestRecord]:
    await gateway.gateway.console.requests.flush()
    return await gateway.gateway.store.requests(RequestFilter(**more), 100)


async def refused(gateway: Running) -> str:
    """Send what is refused; return the id of the request."""
    status, headers, _ = await gateway.send("whatsapp", body(recipient=PHONE, type="parcel", secret="hunter2"))
    assert status == 422
    return str(headers["Request-Id"])


# --- what is kept -------------------------------------------------------------------------------------------------------


async def test_a_refused_send_is_kept_with_its_problems_and_body(gateway):
    request_id = await refused(gateway)
    (one,) = await logged(gateway, request_id=request_id)
    assert (one.client_id, one.method, one.path) == ("demo", "POST", "/whatsapp/send/demo")
    assert (one.status, one.code) == (422, "invalid_message")
    assert [(problem.pointer, problem.code) for problem in one.problems] == [("/type", "unsupported_value")]
    assert json.loads(one.body)["recipient"] == PHONE
    assert "hunter2" not in one.body
    assert one.duration_us > 0
    assert one.address == "127.0.0.1"
    assert "aiohttp" in one.agent


async def test_what_is_sent_well_is_no_entry(gateway):
    before = len(await logged(gateway))
    status, _, _ = await gateway.send("whatsapp", body())
    assert status == 200
    for path in ("/livez", "/v1/messages", "/errors", "/docs", "/console/sign-in", "/favicon.ico"):
        async with gateway.session.get(gateway.url + path):
            pass
    assert len(await logged(gateway)) == before


@pytest.mark.parametrize(
    ("method", "path", "headers", "sent", "code", "client"),
    [
        ("POST", "/whatsapp/send/demo", {"Auth-password": "hunter2"}, b'{"recipient": "hunter3"}', "unauthorized", ""),
        ("POST", "/whatsapp/send/demo", {"Auth-username": "x\xff"}, b"{}", "unauthorized", ""),
        ("GET", "/v1/messages/nothing", {}, b"", "not_found", "demo"),
        ("POST", "/whatsapp/send/other", {}, b"{}", "forbidden", "demo"),
        ("POST", "/whatsapp/send/demo", {"Content-Type": "text/json"}, b"{", "invalid_json", "demo"),
        ("POST", "/whatsapp/send/demo", {"Content-Type": "text/xml"}, b"<a/>", "unsupported_media_type", "demo"),
        ("GET", "/v1/messages?limit=x&key=hunter2", {}, b"", "invalid_parameters", "demo"),
        ("DELETE", "/v1/messages", {}, b"", "method_not_allowed", ""),
        ("GET", "/nowhere/at/all", {}, b"", "not_found", ""),
        ("GET", "/v1/messages/%00", {}, b"", "not_found", ""),
        ("POST", "/v1/admin/clients", {"Authorization": "Bearer hunter2"}, b'{"a": "hunter3"}', "unauthorized", ""),
    ],
)
async def test_each_refusal_is_kept_by_its_code_and_nothing_secret_with_it(
    gateway, method, path, headers, sent, code, client
):
    url = gateway.url + path
    login = {"Auth-username": "demo", "Auth-password": PASSWORD} | headers
    async with aiohttp.request(method, url, headers=login, data=sent or None) as response:
        request_id = response.headers["Request-Id"]
    (one,) = await logged(gateway, request_id=request_id)
    assert (one.code, one.client_id, one.status) == (code, client, ERRORS[code].status)
    assert one.status == response.status
    assert "hunter" not in repr(one)
    assert "?" not in one.path
    if not client:
        assert one.body == ""


async def test_a_change_by_the_native_api_is_kept_and_the_administrators_without_its_body(gateway):
    url = f"{gateway.url}/v1/contacts/whatsapp/{PHONE}"
    async with gateway.session.put(url, json={"phone": f"+{PHONE}"}) as response:
        assert response.status == 200, await response.text()
        request_id = response.headers["Request-Id"]
    (one,) = await logged(gateway, request_id=request_id)
    assert (one.status, one.code, one.client_id) == (200, "", "demo")
    login = {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.request(
        "PATCH", f"{gateway.url}/v1/admin/clients/nobody", json={"username": "hunter2"}, headers=login
    ) as response:
        request_id = response.headers["Request-Id"]
    (one,) = await logged(gateway, request_id=request_id)
    assert (one.status, one.client_id, one.body) == (404, "", "")


async def test_who_is_erased_is_not_named_by_the_request_that_erased_them(gateway):
    phone = "6281255550123"
    url = f"{gateway.url}/v1/contacts/whatsapp/{phone}"
    async with gateway.session.put(url, json={"phone": f"+{phone}"}) as response:
        assert response.status == 200, await response.text()
    assert any(phone in one.path for one in await logged(gateway))
    async with gateway.session.delete(url) as response:
        assert response.status == 200, await response.text()
    assert not [one.path for one in await logged(gateway) if phone in one.path + one.body]
    (noted,) = await gateway.gateway.store.audit(AuditFilter(action="contact_erased"), 1)
    assert phone not in noted.subject + noted.after


# --- the pages ----------------------------------------------------------------------------------------------------------


async def test_the_instance_of_an_error_leads_to_its_page(gateway):
    _, _, answer = await gateway.send("whatsapp", {"id": "x"})
    async with signed_in(gateway) as session, session.get(answer["instance"]) as response:
        page = await response.text()
        assert response.status == 200
        assert response.url.path.startswith("/console/requests/req_")
    assert ERRORS["invalid_message"].fix in page
    assert page.count('class="wrong"') == 1, "what is missing stands at the beginning"
    assert '"id": "•••"' in page.replace("&#34;", '"')


async def test_a_request_that_waits_to_be_written_is_found(gateway):
    request_id = await refused(gateway)
    async with signed_in(gateway) as session:
        assert request_id in await text(session, f"/console/requests/{request_id}")
        for name in ("req_0", "1", "%22%3Cb%3E", "x" * 500):
            page = await text(session, f"/console/requests/{name}", 404)
            assert "<b>" not in page


async def test_a_request_with_half_of_a_pair_has_a_page_too(gateway):
    url = f"{gateway.url}/whatsapp/send/demo"
    kind = {"Content-Type": "application/json"}
    async with gateway.session.post(url, data=b'{"id": "\\ud83d"}', headers=kind) as response:
        assert response.status == 400, await response.text()
        request_id = response.headers["Request-Id"]
    async with signed_in(gateway) as session:
        await post(session, "/console/reveal", {"kind": "request", "id": request_id})
        assert "invalid_json" in await text(session, f"/console/requests/{request_id}")


async def test_errors_are_grouped_and_lead_to_their_requests(gateway):
    for _ in range(3):
        await refused(gateway)
    await logged(gateway)
    async with signed_in(gateway) as session:
        page = await text(session, "/console/requests")
        group = re.search(r"<b[^>]*>(\d+)</b><div><a href=\"([^\"]+)\"[^>]*>The message has invalid fields", page)
        assert group is not None
        assert int(group[1]) >= 3
        narrowed = await text(session, "/console/requests" + group[2].replace("&amp;", "&"))
        assert "invalid_message</code>" in narrowed
        assert not re.search(r'class="grow"[^>]*><code>not_found', narrowed)
        assert "Nothing found" in await text(session, "/console/requests?code=internal")
        for odd in ("before=x", "status=5", "range=%3Cb%3E", "client=%3Cb%3E"):
            assert "<b>x" not in await text(session, f"/console/requests?{odd}")


async def test_a_clients_user_sees_that_clients_requests_alone(gateway):
    request_id = await refused(gateway)
    async with signed_in(gateway, "client", client_id="other") as session:
        assert request_id not in await text(session, "/console/requests")
        assert request_id not in await text(session, "/console/requests?client=demo")
        assert "unauthorized" not in await text(session, "/console/requests?client=-")
        await text(session, f"/console/requests/{request_id}", 404)
    async with signed_in(gateway, "client", client_id="demo") as session:
        assert request_id in await text(session, "/console/requests")


async def test_an_empty_log_tells_how_to_fill_it(gateway):
    async with signed_in(gateway, "client", client_id="other") as session:
        assert "curl -s" in await text(session, "/console/requests")


# --- revealing ----------------------------------------------------------------------------------------------------------


async def test_what_is_masked_is_shown_to_who_asks_in_that_session_and_for_that_thing(gateway):
    one, two = await refused(gateway), await refused(gateway)
    fields = {"kind": "request", "id": one, "next": f"/console/requests/{one}"}
    async with signed_in(gateway) as session, signed_in(gateway) as elsewhere:
        page = await text(session, f"/console/requests/{one}")
        assert PHONE not in page
        assert "parcel" not in page
        response = await post(session, "/console/reveal", fields)
        assert response.headers["Location"] == f"/console/requests/{one}"
        page = await text(session, f"/console/requests/{one}")
        assert PHONE in page
        assert "parcel" in page
        assert PHONE not in await text(session, f"/console/requests/{two}")
        assert PHONE not in await text(elsewhere, f"/console/requests/{one}")
    (noted,) = await gateway.gateway.store.audit(AuditFilter(action="revealed"), 1)
    assert (noted.actor, noted.kind, noted.subject) == ("owner", "request", one)


async def test_it_is_hidden_again_after_a_quarter_of_an_hour(gateway, monkeypatch):
    request_id = await refused(gateway)
    async with signed_in(gateway) as session:
        await post(session, "/console/reveal", {"kind": "request", "id": request_id})
        assert PHONE in await text(session, f"/console/requests/{request_id}")
        now = gateway.gateway.clock.now
        monkeypatch.setattr(gateway.gateway.clock, "now", lambda: now() + LASTS)
        assert PHONE not in await text(session, f"/console/requests/{request_id}")


async def test_who_may_only_look_reveals_nothing(gateway):
    request_id = await refused(gateway)
    async with signed_in(gateway, "viewer") as session:
        page = await text(session, f"/console/requests/{request_id}")
        assert "/console/reveal" not in page
        await post(session, "/console/reveal", {"kind": "request", "id": request_id}, 403)
        assert PHONE not in await text(session, f"/console/requests/{request_id}")


async def test_who_reveals_anothers_thing_sees_nothing_of_it(gateway):
    request_id = await refused(gateway)
    async with signed_in(gateway, "client", client_id="other") as session:
        await post(session, "/console/reveal", {"kind": "request", "id": request_id})
        await text(session, f"/console/requests/{request_id}", 404)


@pytest.mark.parametrize("fields", [{}, {"kind": "request"}, {"kind": "settings", "id": "x"}])
async def test_what_is_to_be_revealed_must_be_said(gateway, fields):
    async with signed_in(gateway) as session:
        await post(session, "/console/reveal", fields, 422)


async def test_revealing_leads_nowhere_else(gateway):
    async with signed_in(gateway) as session:
        fields = {"kind": "list", "id": "requests", "next": "https://elsewhere.example/"}
        assert (await post(session, "/console/reveal", fields)).headers["Location"] == "/console"


# --- errors -------------------------------------------------------------------------------------------------------------


async def test_errors_are_counted_in_the_console_and_not_for_strangers(gateway):
    await refused(gateway)
    await logged(gateway)
    async with signed_in(gateway) as session:
        page = await text(session, "/console/errors")
        assert page.index("<code>invalid_message") < page.index("<code>too_deep"), "what happened stands first"
        page = await text(session, "/console/errors/invalid_message")
        assert re.search(r"\d+ requests?</a>", page)
        await text(session, "/console/errors/nothing", 404)
    async with aiohttp.request("GET", f"{gateway.url}/errors/invalid_message", headers={"Accept": "text/html"}) as got:
        page = await got.text()
        assert got.status == 200
        assert "requests</a>" not in page
        assert "default-src 'none'" in got.headers["Content-Security-Policy"]


@pytest.mark.parametrize("code", sorted(ERRORS))
async def test_every_error_has_a_page_in_the_console(gateway, code):
    async with signed_in(gateway, "viewer") as session:
        page = await text(session, f"/console/errors/{code}")
    assert f"<code>{code}</code>" in page


# --- settings -----------------------------------------------------------------------------------------------------------


async def test_settings_show_every_setting_and_no_secret(gateway):
    async with signed_in(gateway, "viewer") as session:
        page = await text(session, "/console/settings")
    for setting in SETTINGS:
        assert f"<code>{setting.name}</code>" in page
    for hidden in (ADMIN, PASSWORD, gateway.gateway.configuration.settings.admin_token):
        assert hidden not in page.replace("&#39;", "'")
    for subject in ("readiness", "database", "durability", "disk", "sync", "public URL", "accounts", "queue", "nodes"):
        assert f"</span> {subject}</dt>" in page
    bad = re.findall(r'badge-bad">.*?</span> ([^<]+)</dt>', page)
    assert bad == ([] if CHOSEN == "sqlite" else ["durability"]), "the tests' PostgreSQL runs with fsync off"


async def test_settings_are_for_who_sees_all(gateway):
    async with signed_in(gateway, "client", client_id="demo") as session:
        await text(session, "/console/settings", 403)
