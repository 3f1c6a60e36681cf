"""A channel of another package, as ``examples/fifth-channel`` brings it: found by its entry point, used like ours.

The package is installed into a folder of the test's own, and the gateway is a real one. The platform is the example's own
server, which is written from the example's README and refuses what does not fit it.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from kurir import channels
from kurir.channels.base import Answer, Ignored, Inbound, NoAnswer, Outcome, Stage, WebhookRequest, WebhookUnreadable
from kurir.cli.app import app
from kurir.domain import channel as names
from kurir.domain import recipient
from kurir.domain.account import Account
from kurir.domain.errors import ERRORS
from kurir.domain.message import Message, MessageType
from kurir.intake import wire
from support.bodies import TYPES, body
from support.console import signed_in
from support.endpoint import RecordingEndpoint, recording
from support.junk import spoilt
from support.servers import PASSWORD, Running, running

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fifth-channel"
TOKEN, SECRET, HOOK_SECRET = "parlour-token", "parlour-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ACCOUNT = "acme-parlour"


def forget() -> None:
    channels.installed.cache_clear()
    recipient.forget("parlour")
    names.forget("parlour")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(folder), str(EXAMPLE)], check=True)
    return folder


@pytest.fixture
def parlour(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The channel, installed: the gateway finds it as it finds any."""
    monkeypatch.syspath_prepend(str(site))
    forget()
    yield channels.installed()["parlour"]
    forget()
    for name in [one for one in sys.modules if one.partition(".")[0] == "kurir_parlour"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parlour_server", EXAMPLE / "parlour.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["parlour_server"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@dataclass
class World:
    gateway: Running
    platform: Any
    url: str
    hook: RecordingEndpoint

    async def door(self, name: str = "ani") -> list[dict[str, Any]]:
        async with aiohttp.request("GET", f"{self.url}/people/{name}") as answer:
            return await answer.json()

    async def act(self, what: str, **how: Any) -> None:
        async with aiohttp.request("POST", f"{self.url}/people/ani/{what}", json=how) as answer:
            assert await answer.json() in ({}, {"webhook": 200}), await answer.text()

    async def send(self, **top: Any) -> Any:
        """Send, wait until it is sent, and return the message."""
        status, _, answer = await self.gateway.send("parlour", body(**{"recipient": "parlour:ani", **top}))
        assert status == 200, answer
        return await self.gateway.until(answer["data"]["tid"], 1)


@asynccontextmanager
async def world(tmp_path: Path, server: ModuleType) -> AsyncIterator[World]:
    platform = server.Parlour(TOKEN, SECRET)
    runner = web.AppRunner(platform.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def edit(document: dict[str, Any]) -> None:
        document["allow_networks"] = ["127.0.0.0/8"]
        client = document["clients"]["demo"]
        account = {"id": ACCOUNT, "channel": "parlour", "api_base": url, "token": TOKEN, "signing_secret": SECRET}
        client["accounts"] = [*client["accounts"], account]
        client["callbacks"] = [{"url": hook.url, "secret": HOOK_SECRET, "dialect": "compat"}]

    try:
        async with recording() as hook, running(tmp_path, edit=edit) as gateway:
            platform.webhook = f"{gateway.url}/webhooks/{ACCOUNT}"
            yield World(gateway, platform, url, hook)
    finally:
        await runner.cleanup()


async def told(hook: RecordingEndpoint, count: int, member: str) -> Any:
    return (await hook.until(count))[count - 1].verified(HOOK_SECRET)[member]


# --- outgoing -----------------------------------------------------------------------------------------------------------


async def test_every_type_arrives_by_the_fifth_channel(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        for kind in TYPES:
            message = await there.send(type=kind, body=body(kind)["body"])
            assert (message["status"], message["channel"], message["account"]) == (1, "parlour", ACCOUNT), message
        arrived = await there.door()
        assert [one.get("file", {}).get("kind", "") for one in arrived[1:6]] == list(TYPES[1:6])
        assert arrived[0]["text"] == "Hello"
        assert arrived[6]["buttons"] == [{"id": "a", "title": "A"}]
        assert arrived[7]["text"] == "Which one?\n\nOne\nA"
        assert "openstreetmap" in arrived[8]["text"]


async def test_many_choices_become_messages_and_a_long_key_comes_back(tmp_path, parlour, server):
    long_key = "k" * 300
    buttons = [{"key": f"{long_key}{number}", "title": f"Button {number}"} for number in range(8)]
    async with world(tmp_path, server) as there:
        message = await there.send(type="button", body={"text": "Which?", "button": buttons}, id="m-1")
        assert [one["kind"] for one in message["losses"]] == ["choices_split"]
        first, second = await there.door()
        assert (len(first["buttons"]), len(second["buttons"])) == (6, 2)
        assert second["text"] == "Options 7–8"
        await there.hook.until(1)  # status 1
        await there.act("press", title="Button 7")
        event = await told(there.hook, 2, "message")
        assert (event["type"], event["postback"]) == ("postback", {"key": f"{long_key}7", "title": "Button 7"})
        assert event["reply_id"] == "m-1"


async def test_the_preview_is_what_is_sent(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        wanted = body(recipient="ani", reply_id="", footer={"title": "", "text": "Bye"})
        url = f"{there.gateway.url}/parlour/preview/demo"
        async with there.gateway.session.post(url, json={**wanted, "type": "button", **button()}) as answer:
            shown = (await answer.json())["data"]
        assert TOKEN not in json.dumps(shown)
        assert shown["parts"][0]["json"] == {
            "to": "ani",
            "text": "Which one?\n\nBye",
            "buttons": [{"id": "a", "title": "A"}],
        }


def button() -> dict[str, Any]:
    return {"body": body("button")["body"], "footer": {"title": "", "text": "Bye"}}


# --- what the platform answers --------------------------------------------------------------------------------------------


async def test_a_platform_that_throttles_is_obeyed_and_asked_again(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        there.platform.trouble = [(429, {"error": {"code": "too_fast"}}, {"Retry-After": "1"})]
        message = await there.send()
        assert [one["outcome"] for one in message["attempts"]] == ["retry", "sent"]
        assert len(await there.door()) == 1


async def test_an_answer_that_nobody_can_read_is_repeated_under_the_same_key_and_sent_once(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        there.platform.trouble = [(502, {"page": "of a proxy"}, {})]
        message = await there.send()
        assert [one["outcome"] for one in message["attempts"]] == ["unknown", "sent"]
        keys = [dict(one["request"]["headers"])["Idempotency-Key"] for one in message["attempts"]]
        assert keys[0] == keys[1]


async def test_somebody_who_is_not_there_and_somebody_who_blocks(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        for name, code in (("nobody", "recipient_unknown"), ("ani", "recipient_blocked")):
            if name == "ani":
                there.platform.blocked.add("ani")
            _, _, answer = await there.gateway.send("parlour", body(recipient=f"parlour:{name}"))
            message = await there.gateway.until(answer["data"]["tid"], -2)
            assert message["error"]["code"] == code


# --- incoming -------------------------------------------------------------------------------------------------------------


async def test_receipts_bring_the_status_on(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        message = await there.send(id="m-1")
        assert not message["final"]
        await there.act("read")
        assert (await there.gateway.until(message["tid"], 3))["final"]
        assert [one.verified(HOOK_SECRET)["status"]["status"] for one in await there.hook.until(3)] == [1, 2, 3]


async def test_what_somebody_writes_reaches_the_client_and_can_be_answered(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        await there.act("say", text="Hello there")
        event = await told(there.hook, 1, "message")
        assert (event["type"], event["text"]) == ("text", "Hello there")
        sender = there.hook.received[0].verified(HOOK_SECRET)["from"]
        assert (sender["address"], sender["id"], sender["name"]) == ("parlour:ani", "ani", "Ani")
        await there.send(recipient=sender["address"], reply_id=event["id"])
        assert (await there.door())[0]["reply_to"] == event["id"]


async def test_a_file_that_somebody_sends_comes_by_a_link_of_ours(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        await there.act("say", kind="image", name="cat.png")
        event = await told(there.hook, 1, "message")
        assert (event["type"], event["media"]["name"], event["media"]["mime_type"]) == ("image", "cat.png", "image/png")
        # The demo's public_url is nobody's: the path is what counts.
        path = "/media/" + event["media"]["url"].partition("/media/")[2]
        async with aiohttp.request("GET", there.gateway.url + path) as answer:
            assert (answer.status, await answer.read()) == (200, b"a picture")


async def test_a_webhook_that_is_not_signed_is_refused_and_one_that_says_nothing_is_kept(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        async with aiohttp.request("POST", there.platform.webhook, data=b'{"events": []}') as answer:
            assert answer.status == 401
        await there.platform.post({"type": "message"})
        kept = [one async for one in _quarantined(there)]
        assert [one["why"] for one in kept] == ["an event that lacks what makes its type"]


async def _quarantined(there: World) -> AsyncIterator[Any]:
    for one in await there.gateway.gateway.store.quarantined():
        yield {"why": one.why}


# --- its place in the house -----------------------------------------------------------------------------------------------


async def test_contacts_can_be_linked_and_the_console_shows_all_of_it(tmp_path, parlour, server):
    async with world(tmp_path, server) as there:
        async with there.gateway.session.put(
            f"{there.gateway.url}/v1/contacts/parlour/ani", json={"phone": "6281234500000"}
        ) as answer:
            assert answer.status == 200, await answer.text()
        message = await there.send(recipient="6281234500000")
        assert message["address"] == "ani"
        await there.act("say", text="Hello")
        pages = (
            "/console",
            "/console/messages?q=channel:parlour",
            f"/console/messages/{message['tid']}",
            "/console/accounts",
            f"/console/accounts/{ACCOUNT}",
            f"/console/accounts/{ACCOUNT}/settings",
            f"/console/accounts/{ACCOUNT}/connected",
            "/console/contacts?channel=parlour",
            "/console/clients/demo",
            f"/console/messages/new?account={ACCOUNT}",
        )
        async with signed_in(there.gateway) as browser:
            for page in pages:
                async with browser.get(page) as answer:
                    text = await answer.text()
                    assert answer.status == 200, (page, text[:300])
                    assert "parlour" in text, page


def test_the_forms_of_its_addresses_are_known(parlour):
    read = recipient.read("parlour", "parlour:ani")
    assert read == recipient.read("parlour", "ani") == recipient.Recipient(recipient.Form.ADDRESS, "ani")
    wrong = recipient.read("parlour", "parlour:ANI")
    assert not isinstance(wrong, recipient.Recipient)
    assert "the name of a person, such as ani" in wrong.detail
    elsewhere = recipient.read("telegram", "parlour:ani")
    assert not isinstance(elsewhere, recipient.Recipient)
    assert "somebody on parlour" in elsewhere.detail


def test_its_configuration_is_checked_by_the_command_line(tmp_path, parlour):
    file = tmp_path / "kurir.toml"
    account = f'[[clients.acme.accounts]]\nid = "{ACCOUNT}"\nchannel = "parlour"\ntoken = "t"\n'
    file.write_text(f'[clients.acme]\nusername = "acme"\npassword = "{PASSWORD}"\n{account}')
    done = CliRunner().invoke(app, ["config", "check", "--config", str(file)], env={"NO_COLOR": "1"})
    assert done.exit_code != 0
    assert "signing_secret: is missing" in " ".join(done.output.split())


# --- what every channel must keep -----------------------------------------------------------------------------------------


def account_of(parlour: Any) -> Account:
    return Account(ACCOUNT, "acme", "parlour", "http://127.0.0.1:1", parlour.SETTINGS(TOKEN, SECRET))


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 429, 500, 503])
def test_every_answer_has_an_outcome(parlour, status):
    decoded = wire.decode(body(recipient="ani"), "parlour")
    assert isinstance(decoded, Message)
    rendering = parlour.render(decoded, account_of(parlour), channels.base.Facts(tid="t", address="ani"))
    [call] = rendering.calls
    bodies = [json.dumps({"error": {"code": one}, "id": "m1"}).encode() for one in (*parlour.ERRORS, "new")]
    for content in (b"", b"[]", b"<html>", b"\xff", *bodies, *(spoilt(bodies[0], Random(seed)) for seed in range(100))):
        assert isinstance(parlour.classify(call, Answer(status, {}, content)), Outcome)
    for stage in Stage:
        assert isinstance(parlour.classify(call, NoAnswer(stage, "cut")), Outcome)


def test_only_unreadable_leaves_its_parser(parlour):
    person = {"id": "ani", "name": "Ani"}
    file = {"id": "f1", "kind": "image", "type": "image/png", "name": "cat.png", "size": 1}
    events = [
        {"id": "e1", "at": 1, "type": "receipt", "message_id": "m1", "status": "read"},
        {"id": "e2", "at": 1, "type": "message", "from": person, "message": {"id": "m2", "text": "a", "file": file}},
        {"id": "e3", "at": 1, "type": "press", "from": person, "message_id": "m1", "button": {"id": "a", "title": "A"}},
        {"id": "e4", "at": 1, "type": "blocked", "from": person},
    ]
    whole = json.dumps({"events": events}).encode()
    assert not any(isinstance(one, Ignored) for one in parsed(parlour, whole))
    for seed in range(300):
        parsed(parlour, spoilt(whole, Random(seed)))


def parsed(parlour: Any, content: bytes) -> list[Inbound]:
    try:
        return parlour.parse(account_of(parlour), WebhookRequest("POST", {}, {}, content))
    except WebhookUnreadable:
        return []


def test_its_tables_are_whole(parlour):
    assert set(parlour.CAPABILITIES.types) == set(MessageType)
    assert {code for _, code in parlour.PLATFORM_CODES} <= set(ERRORS)
