"""Callbacks in the console: what is seen of endpoints and deliveries, what is done with them, and by whom."""

import asyncio
import re
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from kurir.store.access import AuditFilter
from support.bodies import body
from support.console import post, signed_in, text
from support.delivering import eventually
from support.endpoint import Mode, RecordingEndpoint, recording
from support.servers import Running, running

TOKEN = "an administrator's token"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def open_loopback(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["allow_networks"] = ["127.0.0.0/8"]
    document["clients"]["other"] = {"username": "other", "password": "another correct battery", "accounts": []}


def masked(document: dict[str, Any]) -> None:
    open_loopback(document)
    document["mask"] = True


async def endpoint(gateway: Running, url: str, client: str = "demo") -> str:
    wanted = {"client": client, "url": url, "dialect": "standard", "secret": SECRET}
    where = f"{gateway.url}/v1/admin/callbacks"
    async with aiohttp.request("PUT", where, headers={"Authorization": f"Bearer {TOKEN}"}, json=wanted) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["data"]["id"]


@asynccontextmanager
async def connected(tmp_path, mode: Mode = Mode.WELL, edit=open_loopback):
    async with recording(mode) as hook, running(tmp_path, edit=edit) as gateway:
        yield gateway, hook, await endpoint(gateway, hook.url)


async def sent(gateway: Running, **more: Any) -> str:
    status, _, answer = await gateway.send("telegram", body(recipient="tg:1001", **more))
    assert status == 200, answer
    return answer["data"]["tid"]


async def told(gateway: Running, hook: RecordingEndpoint, endpoint_id: str, number: int = 1) -> int:
    """Wait until so many calls were made and are recorded; return the newest one's position."""
    await hook.until(number)
    store = gateway.gateway.store

    async def recorded() -> bool:
        rows = await store.callbacks(endpoint_id)
        return bool(rows) and all(row.tries for row in rows)

    await eventually(recorded)
    return (await store.callbacks(endpoint_id))[0].position


async def audited(gateway: Running, action: str) -> list[Any]:
    return list(await gateway.gateway.console.access.store.audit(AuditFilter(action=action), 10))


async def test_a_delivery_is_seen_with_its_payload_its_tries_and_its_message(tmp_path):
    async with connected(tmp_path) as (gateway, hook, one), signed_in(gateway) as browser:
        tid = await sent(gateway, id="m-1")
        position = await told(gateway, hook, one)
        listed = await text(browser, "/console/callbacks")
        assert hook.url in listed
        assert "1 of the last 1 tries were taken" in listed
        page = await text(browser, f"/console/callbacks/{one}")
        assert f"/console/callbacks/{one}/deliveries/{position}" in page
        delivery = await text(browser, f"/console/callbacks/{one}/deliveries/{position}")
        assert "&#34;message_id&#34;: &#34;m-1&#34;" in delivery
        assert f"/console/messages/{tid}" in delivery
        assert f"evt_{one}_{position}" in delivery
        assert "answered 200" in delivery
        assert SECRET not in listed + page + delivery


async def test_the_filter_by_state_and_older_pages(tmp_path, monkeypatch):
    monkeypatch.setattr("kurir.http.console.callbacks.DELIVERIES", 1)
    async with connected(tmp_path, Mode.REFUSE) as (gateway, hook, one), signed_in(gateway) as browser:
        for number in range(2):
            await sent(gateway, id=f"m-{number}")
        await hook.until(2)
        newest = await text(browser, f"/console/callbacks/{one}")
        older = re.search(r'rel="next" href="([^"]+)"', newest)
        assert older is not None
        assert newest.count("data-row") == 1
        second = await text(browser, older[1].replace("&amp;", "&"))
        assert second.count("data-row") == 1
        assert 'rel="next"' not in second
        positions = [re.search(r"/deliveries/(\d+)", page)[1] for page in (newest, second)]
        assert positions[0] > positions[1]
        assert "No delivery stands like this" in await text(browser, f"/console/callbacks/{one}?state=delivered")
        assert "data-row" in await text(browser, f"/console/callbacks/{one}?state=nonsense")


async def test_a_failing_endpoint_has_a_banner_with_the_reason_and_pause_and_resume_work(tmp_path):
    async with connected(tmp_path, Mode.FAIL) as (gateway, hook, one), signed_in(gateway) as browser:
        await sent(gateway)
        await told(gateway, hook, one)
        listed = await text(browser, "/console/callbacks?standing=failing")
        assert "1 endpoint takes no callbacks at present" in listed
        page = await text(browser, f"/console/callbacks/{one}")
        assert "error_status_code" in page
        assert "1 failure in a row" in page
        await post(browser, f"/console/callbacks/{one}/pause")
        assert "paused by the operator" in await text(browser, f"/console/callbacks/{one}")
        hook.mode = Mode.WELL
        await post(browser, f"/console/callbacks/{one}/resume")
        await hook.until(2)
        assert [len(await audited(gateway, f"endpoint_{each}")) for each in ("paused", "resumed")] == [1, 1]


async def test_an_endpoint_that_answers_and_takes_nothing_is_told_of_at_home(tmp_path):
    async with connected(tmp_path, Mode.REFUSE) as (gateway, _hook, one), signed_in(gateway) as browser:
        assert "takes no callbacks at present" not in await text(browser, "/console")
        for number in range(5):
            await gateway.send("telegram", body(recipient=f"tg:{1001 + number}", id=f"m-{number}"))
        async with asyncio.timeout(10):
            while len(await gateway.gateway.store.lately_tried(one, 5)) < 5:  # noqa: ASYNC110 -- nobody sets an event for it
                await asyncio.sleep(0.02)
        assert "1 endpoint takes no callbacks at present" in await text(browser, "/console")
        assert "Refusing" in await text(browser, "/console/callbacks")


async def test_a_replay_counts_first_and_repeats_with_the_same_id(tmp_path):
    async with connected(tmp_path, Mode.WELL) as (gateway, hook, one), signed_in(gateway) as browser:
        await gateway.until(await sent(gateway), 1)
        position = await told(gateway, hook, one)
        where = f"/console/callbacks/{one}"
        assert "0 callbacks would be sent again" in await text(browser, f"{where}/replay?which=failed")
        counted = await text(browser, f"{where}/replay?which=all&since=1h")
        assert "1 callback would be sent again" in counted
        assert len(hook.received) == 1, "nothing is sent by counting"
        since = re.search(r'name="since" value="(20[^"]+)"', counted)
        assert since is not None, "the time stands still between the count and the click"
        await post(browser, f"{where}/replay", {"which": "all", "since": since[1], "until": ""})
        first, second = await hook.until(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        await told(gateway, hook, one, 2)
        await post(browser, f"{where}/deliveries/{position}/replay")
        await hook.until(3)
        assert "This is no time" in await text(browser, f"{where}/replay?since=yesterday", 422)
        await post(browser, f"{where}/replay", {"which": "all", "since": "yesterday"}, 422)
        assert len(await audited(gateway, "callback_replayed")) == 2


async def test_an_example_shows_what_the_endpoint_said(tmp_path):
    async with connected(tmp_path, Mode.REFUSE) as (gateway, hook, one), signed_in(gateway) as browser:
        answer = await (
            await post(browser, f"/console/callbacks/{one}/example", {"kind": "message.status"}, 200)
        ).text()
        assert "The endpoint did not take it" in answer
        assert "answered 400" in answer
        assert hook.received[0].headers["kurir-test"] == "true"
        await post(browser, f"/console/callbacks/{one}/example", {"kind": "message.nonsense"}, 422)
        assert len(await audited(gateway, "example_sent")) == 1


async def test_an_endpoint_is_made_changed_rotated_and_deleted_and_its_secret_is_shown_once(tmp_path):
    async with recording() as hook, running(tmp_path, edit=open_loopback) as gateway, signed_in(gateway) as browser:
        fields = [
            ("client", "demo"),
            ("url", hook.url),
            ("dialect", "standard"),
            ("events", "message.status"),
            ("enabled", "1"),
        ]
        made = await (
            await post(browser, "/console/callbacks/new", [*fields, ("headers", "X-Api-Key: crm")], 200)
        ).text()
        secret = re.search(r"whsec_[\w+/=]+", made)[0]
        [known] = await gateway.gateway.store.endpoints("demo")
        one = (await gateway.gateway.store.all_endpoints())[0].id
        assert known.events == ("message.status",)
        await sent(gateway)
        [call] = await hook.until(1)
        assert call.verified(secret)["type"] == "message.status"
        assert call.headers["x-api-key"] == "crm"
        await post(browser, "/console/callbacks/new", fields, 422)

        await post(
            browser, f"/console/callbacks/{one}/change", [("dialect", "compat"), ("events", "*"), ("enabled", "1")]
        )
        await sent(gateway)
        call = (await hook.until(2))[1]
        assert call.verified(secret)["status"]["status"] == 1
        assert call.headers["x-api-key"] == "crm", "headers that nobody gave anew stay"

        was = re.search(r'name="was" value="(\w+)"', await text(browser, f"/console/callbacks/{one}"))[1]
        wanted = {"overlap": "3600", "was": was}
        rotated = await (await post(browser, f"/console/callbacks/{one}/rotate", wanted, 200)).text()
        # Sent twice, it would end the secret that the receiver still has.
        await post(browser, f"/console/callbacks/{one}/rotate", wanted, 422)
        newer = re.search(r"whsec_[\w+/=]+", rotated)[0]
        await sent(gateway)
        call = (await hook.until(3))[2]
        for each in (secret, newer):
            call.verified(each)
        await post(browser, f"/console/callbacks/{one}/rotate", {"overlap": "5"}, 422)

        everywhere = "".join(
            [await text(browser, f"/console/callbacks/{one}{end}") for end in ("", "/change")]
            + [
                entry.before + entry.after
                for name in ("endpoint_added", "endpoint_changed", "secret_rotated")
                for entry in await audited(gateway, name)
            ]
        )
        assert secret not in everywhere
        assert newer not in everywhere
        assert "X-Api-Key: crm" not in everywhere
        await post(browser, f"/console/callbacks/{one}/delete")
        await text(browser, f"/console/callbacks/{one}", 404)
        assert len(await audited(gateway, "endpoint_removed")) == 1


async def test_a_form_that_is_wrong_says_so_at_its_fields_and_keeps_what_was_typed(tmp_path):
    async with running(tmp_path, edit=open_loopback) as gateway, signed_in(gateway) as browser:
        fields = [("client", "nobody"), ("url", "ftp://x"), ("dialect", "compat"), ("events", "message.edited")]
        wrong = await (await post(browser, "/console/callbacks/new", fields, 422)).text()
        assert "there is no such enabled client" in wrong
        assert "ftp://x" in wrong
        assert "the compat dialect has no message.edited" in wrong
        headers = await post(browser, "/console/callbacks/new", [*fields, ("headers", "nonsense")], 422)
        assert "Line 1 is no header" in await headers.text()
        assert await gateway.gateway.store.all_endpoints() == []


async def test_somebody_of_one_client_sees_and_does_nothing_of_anothers_and_a_viewer_does_nothing(tmp_path):
    async with connected(tmp_path) as (gateway, hook, own):
        foreign = await endpoint(gateway, f"{hook.url}/foreign", "other")
        await sent(gateway)
        position = await told(gateway, hook, own)
        ways = ["", "/replay", f"/deliveries/{position}"]
        acts = ["pause", "resume", "replay", "example", f"deliveries/{position}/replay"]
        changes = ["change", "rotate", "delete"]
        async with signed_in(gateway, "client", client_id="other") as browser:
            listed = await text(browser, "/console/callbacks")
            assert own not in listed
            assert foreign in listed
            for way in ways:
                await text(browser, f"/console/callbacks/{own}{way}", 404)
            for act in acts:
                await post(browser, f"/console/callbacks/{own}/{act}", status=404)
            for one in (own, foreign):
                for change in changes:
                    await post(browser, f"/console/callbacks/{one}/{change}", status=403)
            await post(browser, "/console/callbacks/new", status=403)
            await post(browser, f"/console/callbacks/{foreign}/pause")
        async with signed_in(gateway, "viewer") as browser:
            page = await text(browser, f"/console/callbacks/{own}")
            assert '<form method="post" action="/console/callbacks' not in page
            for act in [*acts, *changes]:
                await post(browser, f"/console/callbacks/{own}/{act}", status=403)
        assert len(hook.received) == 1
        assert (await gateway.gateway.store.endpoint(own)).ladder.paused_at is None


async def test_what_was_said_is_hidden_until_it_is_revealed(tmp_path):
    async with connected(tmp_path, edit=masked) as (gateway, hook, one):
        await sent(gateway, id="private-id")
        position = await told(gateway, hook, one)
        where = f"/console/callbacks/{one}/deliveries/{position}"
        async with signed_in(gateway, "viewer") as browser:
            seen = await text(browser, where)
            assert "&#34;message_id&#34;" not in seen
            assert "answered 200" not in seen
        async with signed_in(gateway, "operator") as browser:
            assert "&#34;message_id&#34;" not in await text(browser, where)
            fields = {"kind": "callback", "id": f"{one}/{position}", "next": where}
            await post(browser, "/console/reveal", fields)
            assert "&#34;message_id&#34;" in await text(browser, where)
        async with signed_in(gateway, "client", client_id="other") as browser:
            await post(browser, "/console/reveal", {"kind": "callback", "id": f"{one}/{position}", "next": where})
            await text(browser, where, 404)


async def test_what_an_endpoint_answers_cannot_write_into_a_page(tmp_path):
    async with connected(tmp_path) as (gateway, _hook, _one), signed_in(gateway) as browser:
        evil = await endpoint(gateway, "http://127.0.0.1:1/<script>alert(1)</script>")
        page = await text(browser, f"/console/callbacks/{evil}") + await text(browser, "/console/callbacks")
        assert "<script>alert" not in page


async def test_a_list_of_many_endpoints_has_pages(tmp_path, monkeypatch):
    monkeypatch.setattr("kurir.http.console.callbacks.ENDPOINTS", 2)
    async with running(tmp_path, edit=open_loopback) as gateway, signed_in(gateway) as browser:
        made = {await endpoint(gateway, f"http://127.0.0.1:1/{number}") for number in range(5)}
        await post(browser, f"/console/callbacks/{next(iter(made))}/pause")
        seen: list[str] = []
        path: str | None = "/console/callbacks"
        while path is not None:
            page = await text(browser, path)
            seen += re.findall(r'id="e-(\w+)"', page)
            more = re.search(r'rel="next" href="([^"]+)"', page)
            path = f"/console/callbacks{more[1].replace('&amp;', '&')}" if more else None
        assert seen[0] == next(iter(made)), "what needs somebody comes first"
        assert sorted(seen) == sorted(made)


async def test_a_request_that_comes_from_elsewhere_changes_nothing(tmp_path):
    async with connected(tmp_path) as (gateway, _hook, one), signed_in(gateway) as browser:
        headers = {"Sec-Fetch-Site": "cross-site"}
        async with browser.post(f"/console/callbacks/{one}/delete", headers=headers) as response:
            assert response.status == 403
        assert await gateway.gateway.store.endpoint(one) is not None
        async with aiohttp.request("GET", f"{gateway.url}/console/callbacks/{one}", allow_redirects=False) as response:
            assert response.status == 303
