"""The verbs that call a running gateway: what they print, and how they end.

They run in a thread beside the gateway, which spares each of them the start of a process; the gateway's log is caught, so
that nothing but a verb writes to its output.
"""

import asyncio
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from rich.console import Console
from structlog.testing import capture_logs
from typer.testing import CliRunner

from kurir import demo
from kurir.cli import account, message
from kurir.cli.app import app
from kurir.sandbox.whatsapp_templates import TEMPLATES
from support.bodies import ANI, BUDI, body
from support.process import up
from support.servers import PASSWORD, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "an administrator's token"
NEVER = "8999-12-31T23:59:59Z"
UNLINKED = "6289999999999"


@dataclass(frozen=True)
class Ended:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]


@dataclass(frozen=True)
class Shell:
    """A terminal of 80 columns beside the data folder of a running demo."""

    gateway: Running
    folder: Path

    async def run(self, *words: str, **variables: str) -> Ended:
        """Run ``kurir`` with *words*."""
        where = () if "--data" in words else ("--data", str(self.folder / "kurir-data"))
        environment = {"COLUMNS": "80", "NO_COLOR": "1", **variables}
        async with asyncio.timeout(30):
            found = await asyncio.to_thread(CliRunner().invoke, app, [*words, *where], env=environment)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Ended(found.exit_code, found.stdout, found.stderr)

    async def send(self, channel: str = "line", **more: Any) -> str:
        status, _, answer = await self.gateway.send(channel, body(**more))
        assert status == 200, answer
        return str(answer["data"]["tid"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory):
    def with_token(document: dict[str, Any]) -> None:
        document["admin_token"] = TOKEN

    folder = tmp_path_factory.mktemp("shell")
    with capture_logs():
        async with running(tmp_path_factory.mktemp("gateway"), edit=with_token) as gateway:
            facts = {"url": gateway.url, "client_id": demo.CLIENT, "username": demo.CLIENT, "password": PASSWORD}
            (folder / "kurir-data").mkdir()
            path = folder / "kurir-data" / demo.FACTS_FILE
            path.write_text(json.dumps({**facts, "admin_token": TOKEN}), encoding="utf-8")
            yield Shell(gateway, folder)


# --- kurir message --------------------------------------------------------------------------------------------------------


async def test_a_message_is_shown_by_its_tid_and_by_its_own_id(shell):
    tid = await shell.send(id="order-1", type="text", recipient=ANI)
    await shell.gateway.until(tid, 1)
    by_tid, by_id = await shell.run("message", "show", tid), await shell.run("message", "show", "order-1")
    assert by_tid == by_id
    assert (by_tid.code, by_tid.err) == (0, "")
    lines = by_tid.out.splitlines()
    assert lines[0] == "order-1"
    assert lines[2] == f"tid {tid}"
    assert "1 sent: the platform sent every part, and tells no more on this channel" in lines
    for title in ("Parts", "Attempts", "History"):
        assert title in lines
    assert any("HTTP 200" in line and "sent" in line for line in lines)
    assert any(line.endswith("0 pending → 1 sent") for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert "/v2/bot/message/push" not in by_tid.out


async def test_verbose_shows_what_was_asked_and_answered_with_secrets_masked(shell):
    tid = await shell.send(id="order-2")
    await shell.gateway.until(tid, 1)
    shown = await shell.run("message", "show", tid, "--verbose")
    assert f"POST {shell.gateway.sandbox.url}/line/v2/bot/message/push" in shown.out
    assert "Authorization: Bearer •••" in shown.out
    assert 'answer: {"sentMessages":' in shown.out.replace('": ', '":')


async def test_json_is_what_the_gateway_answers(shell):
    tid = await shell.send(id="order-3")
    message = await shell.gateway.until(tid, 1)
    assert (await shell.run("message", "show", tid, "--json")).data == message
    listed = (await shell.run("message", "list", "--json", "--limit", "1")).data
    assert [one["tid"] for one in listed] == [tid]
    accounts = (await shell.run("account", "list", "--json")).data
    assert [one["id"] for one in accounts] == list(demo.ACCOUNTS.values())
    [node] = (await shell.run("node", "list", "--json")).data
    assert (node["pid"], node["role"], node["upkeep"]) == (os.getpid(), "all", True)
    assert node["accounts"] == sorted(demo.ACCOUNTS.values())
    listed = (await shell.run("node", "list")).out
    assert "(upkeep)" in listed.replace("\n", "")


async def test_a_message_that_waits_says_why_and_until_when(shell):
    tid = await shell.send(send_at=NEVER)
    shown = await shell.run("message", "show", tid)
    assert "0 pending: it is not sent before 8999-12-31T23:59:59Z" in shown.out
    assert "code scheduled" in shown.out
    assert "until 8999-12-31T23:59:59Z, in " in shown.out
    ended = await shell.run("message", "cancel", tid)
    assert ended.code == 0
    assert "−1 unsent" in ended.out
    again = await shell.run("message", "cancel", tid)
    assert (again.code, again.out) == (1, "")
    expected = (
        "it ended with the status -1 (unsent): the client cancelled it before it was sent (already_ended, HTTP 409)\n"
    )
    assert again.err == expected


async def test_a_failed_message_is_shown_with_its_error_and_retried(shell):
    tid = await shell.send(recipient=UNLINKED)
    await shell.gateway.until(tid, -1)
    shown = await shell.run("message", "show", tid)
    assert "−1 unsent: nobody linked this phone" in shown.out or "code recipient_not_linked" in shown.out
    ended = await shell.run("message", "retry", tid, "--json")
    assert (ended.code, ended.data["run"]) == (0, 2)
    sent = await shell.send()
    await shell.gateway.until(sent, 1)
    refused = await shell.run("message", "retry", sent)
    assert refused.code == 1
    assert "(not_failed, HTTP 409)" in refused.err


async def test_an_id_that_several_channels_have_is_asked_for_by_tid(shell):
    tids = [await shell.send(channel, id="twice") for channel in ("line", "telegram")]
    shown = await shell.run("message", "show", "twice")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("2 messages have the id «twice»; name one by its tid: ")
    assert all(tid in shown.err for tid in tids)


async def test_an_own_id_cancels_and_retries_as_a_tid_does(shell):
    identifier = "order 4/ü?"
    tid = await shell.send(id=identifier, send_at=NEVER)
    ended = await shell.run("message", "cancel", identifier)
    assert (ended.code, ended.out.startswith(tid)) == (0, True)
    assert "−1 unsent" in ended.out
    again = await shell.run("message", "retry", identifier, "--json")
    assert (again.code, again.data["tid"], again.data["run"]) == (0, tid, 2)
    tids = [await shell.send(channel, id="twice again", send_at=NEVER) for channel in ("line", "telegram")]
    for verb in ("cancel", "retry"):
        several = await shell.run("message", verb, "twice again")
        assert (several.code, several.out, all(one in several.err for one in tids)) == (1, "", True)
        missing = await shell.run("message", verb, "no such id")
        assert (missing.code, missing.err) == (1, "there is no message with the tid or the id «no such id»\n")
        told = (await shell.run("message", verb, "--help", COLUMNS="200")).out
        assert "TID|ID" in told
        assert "or your own" in told


async def test_what_is_said_beside_a_platforms_words_stands_alone_without_them(capsys):
    attempt = {
        "run": 1,
        "part": 1,
        "at": "2026-11-22T15:00:00.5Z",
        "duration_ms": 4,
        "status": 200,
        "outcome": "sent",
        "counted": True,
        "code": "maybe_duplicate",
        "reason": "(sent again after an unknown outcome)",
    }
    message._show_attempt(Console(width=100), attempt, verbose=False)
    message._show_attempt(Console(width=100), {**attempt, "reason": "busy (sent again)"}, verbose=False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "maybe_duplicate: sent again after an unknown outcome"
    assert lines[3] == "maybe_duplicate: busy (sent again)"


async def test_an_own_id_may_look_like_a_tid(shell):
    identifier = "01a203cb-0000-7000-8000-000000000001"
    await shell.send(id=identifier)
    assert (await shell.run("message", "show", identifier)).out.startswith(identifier)
    missing = await shell.run("message", "show", identifier[:-1] + "2")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.startswith("there is no message with the tid or the id «")


async def test_lists_are_filtered_and_bounded(shell):
    sent = await shell.send("telegram", recipient=BUDI)
    await shell.gateway.until(sent, 1)
    failed = await shell.send(recipient=UNLINKED)
    await shell.gateway.until(failed, -1)
    by_name, by_number = (
        await shell.run("message", "list", "--status", "unsent", "--recipient", UNLINKED),
        await shell.run("message", "list", "--status", "-1", "--recipient", UNLINKED),
    )
    assert by_name == by_number
    assert by_name.out.startswith(failed)
    listed = await shell.run("message", "list", "--channel", "telegram", "--limit", "1")
    assert listed.out.startswith(sent)
    assert listed.out.endswith("There are more; --limit shows up to 1,000.\n")
    assert (await shell.run("message", "list", "--recipient", "tg:1")).out == "There is no such message.\n"
    wrong = await shell.run("message", "list", "--channel", "pigeon")
    assert (wrong.code, "unknown_channel" in wrong.err) == (1, True)


async def test_more_than_a_page_is_listed(shell):
    for number in range(205):
        await shell.send(id=f"page-{number}", send_at=NEVER)
    listed = (await shell.run("message", "list", "--status", "pending", "--limit", "204", "--json")).data
    assert [one["id"] for one in listed] == [f"page-{number}" for number in range(204, 0, -1)]


async def test_what_others_wrote_does_not_steer_the_terminal(shell):
    tid = await shell.send(id="red \x1b[31m\x9bid [bold]", recipient=ANI)
    for words in (("message", "show", tid), ("message", "list", "--limit", "1"), ("message", "show", "\x1b]0;no\x07")):
        ended = await shell.run(*words)
        assert not {"\x1b", "\x9b", "\x07"} & set(ended.out + ended.err), words
    shown = await shell.run("message", "show", tid)
    assert shown.out.startswith("red \\x1b[31m\\x9bid [bold]")
    as_json = await shell.run("message", "show", tid, "--json")
    assert "\x9b" not in as_json.out
    assert as_json.data["id"] == "red \x1b[31m\x9bid [bold]"


# --- kurir account --------------------------------------------------------------------------------------------------------


async def test_an_account_is_paused_shown_and_resumed(shell):
    paused = await shell.run("account", "pause", "demo-fb")
    assert paused.code == 0
    assert paused.out.startswith("demo-fb  messenger of demo\npaused: the operator paused the account")
    tid = await shell.send("messenger")
    listed = await shell.run("account", "list")
    (row,) = [line.split() for line in listed.out.splitlines() if line.startswith("demo-fb ")]
    assert row[1:4] == ["messenger", "paused", "1"]
    assert "demo-fb: the operator paused the account" in listed.out
    shown = (await shell.run("account", "show", "demo-fb")).out.splitlines()
    assert re.fullmatch("since [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", shown[2])
    assert re.fullmatch("1 queued, the oldest for [0-9]+ s", shown[3])
    assert shown[4] == "0 may be sent at once now, at most 20"
    resumed = await shell.run("account", "resume", "demo-fb")
    assert (resumed.code, resumed.out.splitlines()[1]) == (0, "working")
    await shell.gateway.until(tid, 1)


async def test_what_is_scheduled_is_queued_and_has_no_age(shell):
    await shell.run("account", "pause", "demo-tg")
    tid = await shell.send("telegram", id="of next year", send_at=NEVER)
    queue = (await shell.run("account", "show", "demo-tg", "--json")).data["queue"]
    assert queue["messages"] >= 1
    assert (queue["oldest_at"], queue["oldest_age_seconds"]) == (None, None)
    assert re.search("^[0-9,]+ queued$", (await shell.run("account", "show", "demo-tg")).out, re.MULTILINE)
    await shell.run("message", "cancel", tid)
    await shell.run("account", "resume", "demo-tg")


async def test_the_queue_in_words_counts_as_the_reference_says():
    queue = {"messages": 3, "oldest_at": "2026-11-22T15:00:00Z", "oldest_age_seconds": 9.4}
    assert account._queue(queue, 1) == "3 queued, 1 of them being sent, the oldest for 9 s"
    nothing = {"messages": 0, "oldest_at": None, "oldest_age_seconds": None}
    assert account._queue(nothing, 1) == "0 queued", "it just ended"


async def test_an_account_that_is_not_there_and_a_wrong_token_end_with_a_sentence(shell):
    missing = await shell.run("account", "show", "nobody")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == "there is no account «nobody»; «kurir account list» lists them\n"
    assert (await shell.run("account", "pause", "nobody")).err == missing.err
    for variables in ({"KURIR_ADMIN_TOKEN": "wrong"}, {"KURIR_ADMIN_TOKEN": "wrong", "KURIR_URL": shell.gateway.url}):
        refused = await shell.run("account", "list", **variables)
        assert refused.code == 1
        assert refused.err.startswith("the administrator's token is missing or wrong")


# --- where the gateway is -------------------------------------------------------------------------------------------------


async def test_variables_and_options_name_a_gateway_without_any_demo(shell, tmp_path):
    elsewhere = Shell(shell.gateway, tmp_path)
    for words in (("message", "list"), ("account", "list"), ("send", "line", ANI, "x")):
        ended = await elsewhere.run(*words)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("no gateway")
        assert "with --data" in ended.err, "a demo may run in another folder"
    login = {"KURIR_URL": shell.gateway.url + "/", "KURIR_USERNAME": "demo", "KURIR_PASSWORD": PASSWORD}
    assert (await elsewhere.run("message", "list", "--limit", "1", **login)).code == 0
    assert (await elsewhere.run("account", "list", "--url", shell.gateway.url, "--admin-token", TOKEN)).code == 0


async def test_what_belongs_to_the_demo_is_never_sent_to_another_address(shell):
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.headers))
        return web.Response(text="hello")

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        for words in (("message", "list"), ("account", "list"), ("send", "line", ANI, "x")):
            ended = await shell.run(*words, "--url", url)
            assert (ended.code, ended.err.startswith("no gateway")) == (1, True)
        assert asked == []
        other = await shell.run("account", "list", "--url", url, "--admin-token", "mine")
        assert other.err == f"what answers at {url} is no kurir: the answer is not a JSON object\n"
        assert [headers["Authorization"] for headers in asked] == ["Bearer mine"]
    finally:
        await runner.cleanup()
    gone = await shell.run("account", "list", "--url", url, "--admin-token", "mine")
    assert gone.code == 1
    fix = "start it with «kurir up» or «kurir serve», or name another one with --url or --data"
    assert gone.err == f"the gateway at {url} was not reached: nothing listens there; {fix}\n"
    named = await shell.run("account", "list", "--url", "nowhere", "--admin-token", "mine")
    assert named.err == f"the gateway at nowhere was not reached: that is no http or https URL; {fix}\n"


async def test_a_mistake_in_the_options_is_told_before_anything_is_asked(shell, tmp_path):
    (tmp_path / "body.json").write_text("{", encoding="utf-8")
    for words, said in (
        (("message", "list", "--status", "7"), "is no status"),
        (("message", "list", "--limit", "0"), "--limit"),
        (("message", "show"), "TID|ID"),
        (("send", "line", "--body", str(tmp_path / "body.json")), "is not JSON"),
        (("send", "line", "--body", str(tmp_path / "nothing.json")), "cannot be read"),
    ):
        ended = await shell.run(*words, COLUMNS="400")
        assert (ended.code, ended.out) == (2, ""), words
        assert said in ended.err


async def test_a_demo_file_that_is_broken_is_told(shell, tmp_path):
    (tmp_path / demo.FACTS_FILE).write_text("{", encoding="utf-8")
    ended = await shell.run("message", "list", "--data", str(tmp_path))
    assert (ended.code, ended.err) == (1, f"{tmp_path / demo.FACTS_FILE} is not what «kurir up» wrote; start it anew\n")


async def test_send_prints_the_answer_and_waits_for_the_end(shell):
    ended = await shell.run("send", "line", ANI, "Hello", "--wait", "10")
    assert ended.code == 0
    answer, _, last = ended.out.partition("}\n{")
    assert json.loads(answer + "}")["meta"]["code"] == 200
    assert json.loads("{" + last)["status"] == 1
    refused = await shell.run("send", "line", "nobody", "Hello")
    assert (refused.code, json.loads(refused.out)["meta"]["code"]) == (1, 422)


# --- the demo's token -----------------------------------------------------------------------------------------------------


async def test_the_demos_token_is_kept_from_start_to_start(tmp_path):
    made = demo.admin_token(tmp_path)
    assert made.startswith("kurir_admin_")
    assert demo.admin_token(tmp_path) != made, "nothing kept it"
    path = tmp_path / demo.FACTS_FILE
    path.write_text(json.dumps({"admin_token": made}), encoding="utf-8")
    assert demo.admin_token(tmp_path) == made
    for broken in ("{", "[]", "{}", '{"admin_token": 7}'):
        path.write_text(broken, encoding="utf-8")
        assert demo.admin_token(tmp_path).startswith("kurir_admin_")


async def test_kurir_account_works_beside_kurir_up_at_once_and_after_a_restart(tmp_path):
    tokens = set()
    for _ in range(2):
        with up(tmp_path) as started:
            tokens.add(started.facts["admin_token"])
            words = ["account", "list", "--json", "--data", str(tmp_path)]
            found = await asyncio.to_thread(CliRunner().invoke, app, words)
            assert found.exit_code == 0, found.stderr
            assert [one["id"] for one in json.loads(found.stdout)["data"]] == list(demo.ACCOUNTS.values())
    assert len(tokens) == 1


# --- kurir up -------------------------------------------------------------------------------------------------------------


async def test_the_demo_knows_the_sandboxs_templates_from_its_start(tmp_path):
    with up(tmp_path / "kurir-data") as started:
        words = ("template", "list", "demo-wa", "--json", "--data", str(tmp_path / "kurir-data"))
        found = await asyncio.to_thread(CliRunner().invoke, app, words, env={"KURIR_URL": "", "KURIR_ADMIN_TOKEN": ""})
        assert found.exit_code == 0, found.output
        known = {(one["name"], one["language"]) for one in json.loads(found.stdout)["data"]}
        assert known == {(one["name"], one["language"]) for one in TEMPLATES}
        wanted = body(type="template", recipient=ANI, body={"template": {"name": "order_updat", "language": "en_US"}})
        status, answer = await asyncio.to_thread(started.call, "POST", "/whatsapp/send/demo", wanted)
        assert (status, answer["errors"][0]["code"]) == (422, "template_refused")
