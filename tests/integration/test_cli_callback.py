"""``kurir callback`` against a gateway that runs: what it prints, and how it ends."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import structlog
import structlog.testing
from typer.testing import CliRunner

from kurir.cli.app import app
from support.bodies import body
from support.endpoint import Mode, recording
from support.servers import running

TOKEN = "an administrator's token"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def open_loopback(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["allow_networks"] = ["127.0.0.0/8"]


class Shell:
    """A terminal beside a gateway with one endpoint."""

    def __init__(self, gateway: Any, hook: Any, endpoint: str) -> None:
        self.gateway, self.hook, self.endpoint = gateway, hook, endpoint

    async def run(self, verb: str, *words: str, code: int = 0) -> str:
        environment = {"COLUMNS": "200", "NO_COLOR": "1", "KURIR_URL": self.gateway.url, "KURIR_ADMIN_TOKEN": TOKEN}
        named = () if verb == "list" else (self.endpoint,)
        async with asyncio.timeout(30):
            found = await asyncio.to_thread(
                CliRunner().invoke, app, ["callback", verb, *named, *words], env=environment
            )
        assert found.exit_code == code, found.output
        return found.output

    async def send(self, count: int = 1) -> None:
        for _ in range(count):
            status, _, answer = await self.gateway.send("telegram", body(recipient="tg:1001"))
            assert status == 200, answer

    async def until(self, **wanted: Any) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                found = json.loads(await self.run("show", "--json"))["data"]
                if all(found[name] == value for name, value in wanted.items()):
                    return found
                await asyncio.sleep(0.05)


@asynccontextmanager
async def shell(tmp_path, mode: Mode = Mode.WELL):
    """Run a gateway with an endpoint. What it logs is kept from the output of the commands, which run in the same process."""
    with structlog.testing.capture_logs():
        async with recording(mode) as hook, running(tmp_path, edit=open_loopback) as gateway:
            wanted = {"client": "demo", "url": hook.url, "secret": SECRET}
            url, login = f"{gateway.url}/v1/admin/callbacks", {"Authorization": f"Bearer {TOKEN}"}
            async with aiohttp.request("PUT", url, json=wanted, headers=login) as response:
                endpoint = (await response.json())["data"]["id"]
            yield Shell(gateway, hook, endpoint)


async def test_endpoints_are_listed_paused_and_resumed(tmp_path):
    async with shell(tmp_path) as terminal:
        listed = await terminal.run("list")
        assert terminal.endpoint in listed
        assert "working" in listed
        assert terminal.hook.url in listed
        assert "There is no callback endpoint" in await terminal.run("list", "--client", "nobody")
        assert "paused" in await terminal.run("pause")
        await terminal.send(2)
        await terminal.until(pending=2)
        shown = await terminal.run("show")
        assert "2 owed, the oldest of 20" in shown
        assert "since 20" in shown
        assert "working" in await terminal.run("resume")
        await terminal.hook.until(2)
        await terminal.until(pending=0)


async def test_what_was_delivered_is_listed_and_each_try_shown(tmp_path):
    async with shell(tmp_path, Mode.REFUSE) as terminal:
        await terminal.send()
        await terminal.hook.until(1)
        await terminal.until(in_flight=0)
        listed = json.loads(await terminal.run("deliveries", "--json"))["data"]
        assert [one["type"] for one in listed] == ["message.status"]
        position = listed[0]["position"]
        shown = await terminal.run("deliveries", "--position", position)
        assert f"evt_{terminal.endpoint}_{position}" in shown
        assert "HTTP 400" in shown
        assert "error_status_code" in shown
        assert "There is no such delivery" in await terminal.run("deliveries", "--state", "delivered")
        assert "message.status" in await terminal.run("deliveries", "--limit", "1")


async def test_events_are_delivered_again_by_id_and_by_time(tmp_path):
    async with shell(tmp_path) as terminal:
        await terminal.send(2)
        first = (await terminal.hook.until(2))[0]
        await terminal.until(pending=0, in_flight=0)
        position = first.headers["webhook-id"].rsplit("_", 1)[1]
        assert await terminal.run("replay", "--position", position) == "1 callback will be delivered again\n"
        again = (await terminal.hook.until(3))[2]
        assert again.headers["webhook-id"] == first.headers["webhook-id"]
        await terminal.until(pending=0, in_flight=0)
        assert await terminal.run("replay", "--since", "10m") == "2 callbacks will be delivered again\n"
        await terminal.hook.until(5)
        assert await terminal.run("replay", "--failed") == "0 callbacks will be delivered again\n"
        assert (
            await terminal.run("replay", "--until", "2020-01-01T00:00:00Z") == "0 callbacks will be delivered again\n"
        )


async def test_a_new_secret_is_shown_once_and_signs(tmp_path):
    async with shell(tmp_path) as terminal:
        rotated = json.loads(await terminal.run("rotate", "--overlap", "0s", "--json"))["data"]["secret"]
        assert rotated not in await terminal.run("show")
        await terminal.send()
        assert (await terminal.hook.until(1))[0].verified(rotated)
        assert "It is not shown again." in await terminal.run("rotate")


async def test_a_try_says_what_the_endpoint_said_and_ends_by_it(tmp_path):
    async with shell(tmp_path) as terminal:
        assert "HTTP 200" in await terminal.run("test", "--type", "message.status")
        assert terminal.hook.received[0].headers["kurir-test"] == "true"
        terminal.hook.mode = Mode.FAIL
        said = await terminal.run("test", code=1)
        assert "HTTP 500" in said
        assert "error_status_code" in said


async def test_mistakes_are_named(tmp_path):
    async with shell(tmp_path) as terminal:
        assert "say which" in await terminal.run("replay", code=2)
        assert "offset" in await terminal.run("replay", "--since", "2026-11-22T09:00:00", code=2)
        await terminal.run("replay", "--since", "yesterday", code=2)
        terminal.endpoint = "nothing"
        assert "not_found, HTTP 404" in await terminal.run("show", code=1)


async def test_a_try_that_is_taken_lets_a_failing_endpoint_go_on_and_says_so(tmp_path):
    async with shell(tmp_path, Mode.FAIL) as terminal:
        await terminal.send(2)
        await terminal.until(standing="failing", pending=2)
        assert "goes on now" not in await terminal.run("test", code=1)
        terminal.hook.mode = Mode.WELL
        assert "It had failed, and goes on now: what is owed to it is delivered." in await terminal.run("test")
        shown = await terminal.until(standing="working", pending=0)
        assert shown["failures"] == 0
        assert "goes on now" not in await terminal.run("test")
        await terminal.run("pause")
        assert json.loads(await terminal.run("test", "--json"))["data"]["resumed"] is False
        assert "paused by the operator" in await terminal.run("show")


async def test_an_endpoint_is_added_changed_and_deleted(tmp_path):
    async with shell(tmp_path) as terminal, recording() as other:
        (tmp_path / "key").write_text("abc\n", "utf-8")
        words = ("--event", "message.status", "--header", f"X-Key=@{tmp_path / 'key'}", "--header", "X-Team=crm")
        first = terminal.endpoint
        terminal.endpoint = other.url
        made = json.loads(await terminal.run("add", *words, "--json"))["data"]
        assert (made["client"], made["dialect"], made["events"]) == ("demo", "compat", ["message.status"])
        assert made["secret"].startswith("whsec_")
        changed = await terminal.run("add", "--dialect", "standard", "--client", "demo")
        assert "standard of demo" in changed
        assert "events message.status" in changed
        assert made["secret"] not in changed
        await terminal.send()
        [came] = await other.until(1)
        assert came.verified(made["secret"])["type"] == "message.status"
        assert (came.headers["x-key"], came.headers["x-team"]) == ("abc", "crm")
        assert "takes name=value" in await terminal.run("add", "--header", "X-Key", code=2)
        assert "cannot be read" in await terminal.run("add", "--header", "X-Key=@nowhere", code=1)
        assert "no kind of event" in await terminal.run("add", "--event", "news", code=1)
        terminal.endpoint = made["id"]
        assert "0 callbacks are owed" in await terminal.run("delete", code=1)
        assert await terminal.run("delete", "--yes") == f"{made['id']} is deleted\n"
        assert "not_found, HTTP 404" in await terminal.run("delete", "--yes", code=1)
        assert first in await terminal.run("list")


async def test_why_nothing_was_heard_is_said_in_plain_words(tmp_path):
    async with shell(tmp_path) as terminal:
        async with recording() as gone:
            url = gone.url
        terminal.endpoint = url
        endpoint = json.loads(await terminal.run("add", "--json"))["data"]["id"]
        terminal.endpoint = endpoint
        said = await terminal.run("test", code=1)
        assert said.rstrip().endswith("could_not_connect: nothing listens there")
