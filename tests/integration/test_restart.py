"""Stopping, dying and starting again: nothing lost, nothing sent again that was answered, and doubt told as doubt."""

import asyncio
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import apsw
import pytest

from kurir import channels
from kurir.clock import FakeClock
from kurir.configuration.file import parse
from kurir.domain.status import Status
from kurir.gateway import Gateway
from kurir.secretbox import EncryptionKeyError, encode_key, new_key
from kurir.store.base import StoreUnusable
from support.delivering import CLIENT, LINE_USER, Platform, World, delivering, eventually, refused
from support.servers import PASSWORD, running
from support.stores import STORE, change, store_of

LONG = "one " * 1000 + "two " * 1000 + "three " * 400


# --- the dispatcher ---------------------------------------------------------------------------------------------------------


async def abandon(world: World) -> None:
    """Die without a word: every task ends where it stands, and nothing is written any more."""
    for worker in world.dispatcher._workers.values():
        for task in [worker._task, *worker._running]:
            task.cancel()
        await asyncio.gather(worker._task, *worker._running, return_exceptions=True)


async def restart(world: World) -> None:
    """A new process over the same file."""
    await world.store.close()
    await world.store.open()
    await world.directory.reload(world.store)
    world.dispatcher = world.new_dispatcher()
    await world.dispatcher.start()


@dataclass
class Gate:
    """Holds every call with a text until it is opened."""

    text: str
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request):
        if request.text.startswith(self.text):
            await self.opened.wait()


class Reopening(STORE):
    """A store that can be opened again after it was closed, as a new process would."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self._place = path

    async def open(self) -> None:
        STORE.__init__(self, self._place)
        await super().open()


@asynccontextmanager
async def delivering_again(folder, **more) -> AsyncIterator[World]:
    async with delivering(folder, store=await store_of(folder, Reopening), **more) as world:
        yield world


async def test_a_clean_stop_records_what_is_in_flight_and_the_rest_goes_on_in_order(tmp_path):
    async with delivering_again(tmp_path, concurrency=4) as world:
        gate = world.platform.answers = Gate("0")
        tids = [await world.accept(f"tg:{1001 + lane}", str(number)) for number in range(5) for lane in range(8)]
        await world.platform.called(4)
        stopping = asyncio.create_task(world.dispatcher.stop(5.0))
        await eventually(lambda: world.dispatcher._sender._draining)
        gate.opened.set()
        await stopping
        assert len(world.platform.calls) == 4
        records = [await world.message(tid) for tid in tids]
        assert sum(record.status is Status.SENT for record in records) == 4
        assert all(part.phase.value == "answered" for record in records for part in record.parts)
        await restart(world)
        await world.idle()
        for lane in range(8):
            texts = [call.text for call in world.platform.calls if call.to == str(1001 + lane)]
            assert texts == [str(number) for number in range(5)]


async def test_a_stop_between_two_parts_begins_no_other_part(tmp_path):
    async with delivering_again(tmp_path) as world:
        gate = world.platform.answers = Gate("one")
        tid = await world.accept("tg:1001", LONG)
        await world.platform.called(1)
        stopping = asyncio.create_task(world.dispatcher.stop(5.0))
        await eventually(lambda: world.dispatcher._sender._draining)
        gate.opened.set()
        await stopping
        assert [part.phase.value for part in (await world.message(tid)).parts] == ["answered"]
        await restart(world)
        message = await world.ended(tid)
        assert (message.status, len(world.platform.calls)) == (Status.SENT, 3)
        assert len({call.text for call in world.platform.calls}) == 3


async def test_a_stop_waits_for_a_call_only_so_long_and_leaves_it_unknown(tmp_path):
    async with delivering_again(tmp_path) as world:
        gate = world.platform.answers = Gate("slow")
        tid = await world.accept("tg:1001", "slow")
        await world.platform.called(1)
        await world.dispatcher.stop(0.1)
        assert (await world.message(tid)).parts[0].phase.value == "in_flight"
        gate.opened.set()
        await restart(world)
        message = await world.ended(tid)
        assert (message.status, message.attempts[-1].code) == (Status.SENT, "maybe_duplicate")


@pytest.mark.scorecard(8)
@pytest.mark.parametrize("part", ["one", "two", "three"])
async def test_a_crash_in_part_k_repeats_part_k_only_and_says_so(tmp_path, part):
    async with delivering_again(tmp_path) as world:
        gate = world.platform.answers = Gate(part)
        tid = await world.accept("tg:1001", LONG)
        behind = await world.accept("tg:1001", "behind")
        number = ["one", "two", "three"].index(part) + 1
        await world.platform.called(number)
        await abandon(world)
        gate.opened.set()
        await restart(world)
        message = await world.ended(tid)
        await world.ended(behind)
        first_words = [call.text.split()[0] for call in world.platform.calls]
        expected = ["one", "two", "three", "behind"]
        expected.insert(number, part)
        assert first_words == expected
        assert message.status is Status.SENT
        assert [attempt.part for attempt in message.attempts if attempt.code == "maybe_duplicate"] == [number]


async def test_the_doubt_of_a_crash_is_not_forgotten_over_another_failure_and_another_restart(tmp_path):
    async with delivering_again(tmp_path) as world:
        gate = world.platform.answers = Gate("hello")
        tid = await world.accept("tg:1001")
        await world.platform.called(1)
        await abandon(world)
        gate.opened.set()
        world.platform.answers = lambda _: refused(500, "Internal Server Error: restart")
        await restart(world)
        await world.when(tid, lambda message: "retry" in [attempt.outcome for attempt in message.attempts])
        await world.dispatcher.stop()
        world.platform.answers = lambda _: None
        await restart(world)
        message = await world.ended(tid)
        attempts = message.attempts
        assert (attempts[0].outcome, attempts[0].code, attempts[-1].outcome) == ("unknown", "no_answer", "sent")
        assert attempts[-1].code == "maybe_duplicate"
        assert "sent again after an unknown outcome" in attempts[1].reason


async def test_a_doubt_that_nobody_wrote_down_is_known_by_the_marks(tmp_path):
    async with delivering_again(tmp_path) as world:
        world.platform.answers = lambda _: refused(500, "Internal Server Error: restart")
        tid = await world.accept("tg:1001")
        await world.platform.called(1)
        await world.dispatcher.stop()
        await change(world.store, "UPDATE part SET attempts = attempts + 1")
        world.platform.answers = lambda _: None
        await restart(world)
        assert (await world.ended(tid)).attempts[-1].code == "maybe_duplicate"


async def test_three_crashes_in_the_same_call_are_the_last(tmp_path):
    async with delivering_again(tmp_path) as world:
        world.platform.answers = Gate("hello")
        tid = await world.accept("tg:1001")
        for times in (1, 2, 3):
            await world.platform.called(times)
            await abandon(world)
            await restart(world)
        message = await world.ended(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert "3 copies may have been sent" in message.error.detail
        assert len(world.platform.calls) == 3


@pytest.mark.parametrize("policy", ["resend", "hold"])
async def test_a_line_push_in_flight_at_a_crash_a_day_ago_is_no_longer_repeatable(tmp_path, policy):
    clock = FakeClock()
    async with delivering_again(tmp_path, clock=clock, unknown_outcome=policy) as world:
        gate = world.platform.answers = Gate("hello")
        tid = await world.accept(LINE_USER, channel="line")
        await world.platform.called(1)
        await abandon(world)
        gate.opened.set()
        clock.move(23 * 3600 + 1)
        await restart(world)
        message = await world.ended(tid)
        if policy == "hold":
            assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
            assert len(world.platform.calls) == 1
        else:
            assert [attempt.code for attempt in message.attempts] == ["no_answer", "maybe_duplicate"]


@pytest.mark.scorecard(8)
async def test_a_crash_on_hold_ends_the_message_as_unknown_and_the_lane_goes_on(tmp_path):
    async with delivering_again(tmp_path, unknown_outcome="hold") as world:
        world.platform.answers = Gate("two")
        tid = await world.accept("tg:1001", LONG)
        behind = await world.accept("tg:1001", "behind")
        await world.platform.called(2)
        await abandon(world)
        await restart(world)
        message = await world.ended(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        assert (await world.ended(behind)).status is Status.SENT
        assert [call.text.split()[0] for call in world.platform.calls] == ["one", "two", "behind"]


async def test_a_line_push_in_flight_at_a_crash_is_repeated_with_its_key_and_is_no_duplicate(tmp_path):
    async with delivering_again(tmp_path, unknown_outcome="hold") as world:
        gate = world.platform.answers = Gate("hello")
        tid = await world.accept(LINE_USER, channel="line")
        await world.platform.called(1)
        await abandon(world)
        gate.opened.set()
        await restart(world)
        message = await world.ended(tid)
        assert message.status is Status.SENT
        assert len({call.headers["X-Line-Retry-Key"] for call in world.platform.calls}) == 1
        assert "maybe_duplicate" not in [attempt.code for attempt in message.attempts]


@pytest.mark.parametrize("policy", ["resend", "hold"])
async def test_where_receipts_may_tell_a_crash_waits_for_them_first(tmp_path, policy):
    clock = FakeClock()
    options = {"unknown_outcome": policy, "unknown_wait_seconds": 90.0}
    async with delivering_again(tmp_path, clock=clock, **options) as world:
        gate = world.platform.answers = Gate("hello")
        tid = await world.accept("6281234567890", channel="whatsapp")
        await world.platform.called(1)
        await abandon(world)
        gate.opened.set()
        clock.move(30)
        await restart(world)
        message = await world.waits(tid, "no_answer")
        assert 59 <= (message.waiting_until - clock.now()).total_seconds() <= 60
        assert len(world.platform.calls) == 1
        clock.move(61)
        world.wake()
        message = await world.ended(tid)
        if policy == "hold":
            assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")
        else:
            assert message.attempts[-1].code == "maybe_duplicate"
        assert len(world.platform.calls) == (1 if policy == "hold" else 2)


async def test_a_message_in_doubt_that_expires_while_nobody_runs_is_told_as_unknown(tmp_path):
    clock = FakeClock()
    async with delivering_again(tmp_path, clock=clock) as world:
        world.platform.answers = Gate("hello")
        tid = await world.accept("tg:1001", expires_in=60)
        await world.platform.called(1)
        await abandon(world)
        clock.move(61)
        await restart(world)
        message = await world.ended(tid)
        assert (message.status, message.error.code) == (Status.FAILED, "outcome_unknown")


async def test_a_parked_account_is_still_parked_after_a_restart_and_probed_at_once(tmp_path):
    async with delivering_again(tmp_path) as world:
        world.platform.answers = lambda _: refused(401, "Unauthorized")
        tid = await world.accept("tg:1001")
        await world.waits(tid, "account_credentials")
        await world.dispatcher.stop()
        assert [one.parked_code for one in await world.store.accounts() if one.channel == "telegram"] == [
            "account_credentials"
        ]
        world.platform.answers = lambda _: None
        await restart(world)
        assert (await world.ended(tid)).status is Status.SENT
        await eventually(lambda: not world.directory.accounts()[f"{CLIENT}-telegram"].parked_code)


async def test_what_was_for_later_is_still_for_later_after_a_restart(tmp_path):
    clock = FakeClock()
    async with delivering_again(tmp_path, clock=clock) as world:
        later = await world.accept("tg:1001", "later", send_at="2026-01-01T01:00:00Z")
        await world.dispatcher.stop()
        await restart(world)
        await world.ended(await world.accept("tg:1001", "now"))
        clock.move(3600)
        world.wake()
        await world.ended(later)
        assert [call.text for call in world.platform.calls] == ["now", "later"]


# --- the process ------------------------------------------------------------------------------------------------------------


CONFIG = """
listen = "127.0.0.1:0"
database = "{folder}/kurir.db"
public_url = "http://127.0.0.1:1"
[clients.acme]
username = "acme"
password = "correct horse battery staple"
"""
ACCOUNT = """
[[clients.acme.accounts]]
id = "acme-{policy}"
channel = "telegram"
api_base = "{platform}"
token = "42:telegram-token"
secret_token = "telegram-secret"
unknown_outcome = "{policy}"
"""
POLICIES = ("resend", "hold")


@dataclass
class Serving:
    """``kurir serve`` as a process of its own."""

    process: asyncio.subprocess.Process
    url: str


async def serve(folder: Path) -> Serving:
    """Start it as systemd does, and wait until it says that it is ready."""
    command = (sys.executable, "-m", "kurir", "serve", "--config", str(folder / "kurir.toml"))
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.setblocking(False)
    manager.bind("")  # Linux chooses a name
    place = "@" + manager.getsockname()[1:].decode()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NOTIFY_SOCKET": place},
    )
    assert process.stderr is not None
    seen = b""
    async with asyncio.timeout(20):
        while not (found := re.search(rb"listens on (http://[0-9.:]+)", seen)):
            line = await process.stderr.readline()
            assert line, seen.decode()
            seen += line
        with manager:
            assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"READY=1"
    return Serving(process, found.group(1).decode())


@pytest.mark.scorecard(8)
@pytest.mark.slow
async def test_a_gateway_that_is_killed_in_the_middle_of_its_calls_goes_on_where_it_was(tmp_path):
    platform = Platform()
    gate = platform.answers = Gate("in flight")
    login = {"Auth-username": "acme", "Auth-password": "correct horse battery staple"}
    async with platform.running(), aiohttp.ClientSession(headers=login) as session:

        async def send(url, identifier, to, text, policy):
            message = body(f"{policy}-{identifier}", to, text) | {"account": f"acme-{policy}"}
            async with session.post(f"{url}/telegram/send/acme", json=message) as response:
                assert response.status == 200, await response.text()
                return (await response.json())["data"]["tid"]

        async def message(url, tid):
            async with session.get(f"{url}/v1/messages/{tid}") as response:
                return (await response.json())["data"]

        accounts = [ACCOUNT.format(platform=platform.url, policy=policy) for policy in POLICIES]
        (tmp_path / "kurir.toml").write_text(CONFIG.format(folder=tmp_path) + "".join(accounts))
        first = await serve(tmp_path)
        before = [await send(first.url, f"b{n}", f"tg:{2000 + n}", "before", "hold") for n in range(5)]
        await platform.called(5)
        flying = {policy: await send(first.url, "f", "tg:1001", "in flight", policy) for policy in POLICIES}
        await platform.called(7)
        behind = {
            policy: [await send(first.url, f"q{n}", "tg:1001", f"{policy} {n}", policy) for n in range(20)]
            for policy in POLICIES
        }
        first.process.send_signal(signal.SIGKILL)
        await first.process.wait()
        assert len(platform.calls) == 7

        gate.opened.set()
        second = await serve(tmp_path)
        assert (await message(second.url, before[0]))["status"] == 1
        assert await send(second.url, "f", "tg:1001", "in flight", "resend") == flying["resend"]

        async def through():
            return [(await message(second.url, behind[policy][-1]))["status"] for policy in POLICIES] == [1, 1]

        await eventually(through)
        texts = [call.text for call in platform.calls[7:]]
        for policy in POLICIES:
            assert [text for text in texts if text.startswith(policy)] == [f"{policy} {n}" for n in range(20)]
        assert texts.count("in flight") == 1
        assert texts.index("in flight") < texts.index("resend 0")
        found = await message(second.url, flying["resend"])
        assert (found["status"], found["attempts"][-1]["code"]) == (1, "maybe_duplicate")
        found = await message(second.url, flying["hold"])
        assert (found["status"], found["error"]["code"]) == (-3, "outcome_unknown")
        second.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await second.process.wait() == 0


# --- the gateway ------------------------------------------------------------------------------------------------------------


async def test_stopping_the_gateway_loses_no_outcome(tmp_path):
    platform = Platform()
    gate = platform.answers = Gate("hello")
    async with platform.running():

        def edit(document):
            for account in document["clients"]["demo"]["accounts"]:
                account["api_base"] = platform.url

        async with running(tmp_path, edit=edit) as run:
            tids = []
            for number in range(10):
                status, _, answer = await run.send("telegram", body(str(number), f"tg:{1001 + number}", "hello"))
                assert status == 200
                tids.append(answer["data"]["tid"])
            await platform.called(10)
            stopping = asyncio.create_task(run.gateway.stop())
            await eventually(lambda: any(worker._stopping for worker in run.gateway._dispatcher._workers.values()))
            gate.opened.set()
            await stopping
            store = await store_of(tmp_path)
            await store.open()
            for tid in tids:
                message = await store.message("demo", tid)
                assert (message.status, len(message.attempts)) == (Status.SENT, 1)
            await store.close()
            await run.gateway.store.open()  # for the check at the end


def body(identifier, to, text):
    return {
        "id": identifier,
        "times": 0,
        "timestamp": "2026-01-01T12:00:00Z",
        "recipient": to,
        "type": "text",
        "body": {"text": text},
    }


def configured(folder: Path, **more):
    account = {"id": "acme-tg", "channel": "telegram", "token": "42:token", "secret_token": "s3cret"}
    document = {
        "listen": "127.0.0.1:0",
        "database": str(folder / "kurir.db"),
        "public_url": "http://127.0.0.1:1",
        "clients": {"acme": {"username": "acme", "password": PASSWORD, "accounts": [account]}},
    } | more
    return parse(document, {}, channels=channels.installed())


def left_running() -> set[str]:
    own = {asyncio.current_task()}
    tasks = {task.get_name() for task in asyncio.all_tasks() - own}
    names = ("kurir", "ThreadPoolExecutor")
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith(names)}
    return tasks | threads


@pytest.fixture
async def started_once(tmp_path) -> Path:
    gateway = Gateway(configured(tmp_path))
    await gateway.start()
    await gateway.stop()
    return tmp_path


async def refuses_to_start(gateway: Gateway, error: type[Exception]) -> str:
    before = left_running()
    with pytest.raises(error) as refused:
        await gateway.start()
    assert left_running() - before == set()
    return str(refused.value)


async def test_a_port_that_is_taken_stops_the_start_and_leaves_nothing_running(started_once):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await refuses_to_start(Gateway(configured(started_once, listen=f"127.0.0.1:{port}")), OSError)
    assert "already in use" in said
    await starts(started_once)


async def test_a_wrong_encryption_key_stops_the_start_with_one_sentence(started_once):
    key_file = next(started_once.glob("*.key"))
    right = key_file.read_text()
    key_file.write_text(encode_key(new_key()) + "\n")
    said = await refuses_to_start(Gateway(configured(started_once)), EncryptionKeyError)
    assert "\n" not in said
    assert "key" in said
    key_file.write_text(right)
    await starts(started_once)


async def test_a_newer_schema_stops_the_start_with_one_sentence(started_once):
    db = apsw.Connection(str(started_once / "kurir.db"))
    db.execute("INSERT INTO migration (version, name, applied_at) VALUES (9999, 'future', 0)")
    said = await refuses_to_start(Gateway(configured(started_once)), StoreUnusable)
    assert "9999" in said
    assert "newer kurir" in said
    db.execute("DELETE FROM migration WHERE version = 9999")
    db.close()
    await starts(started_once)


async def test_a_database_that_another_gateway_has_is_refused_with_its_holder(started_once):
    holder = Gateway(configured(started_once))
    await holder.start()
    said = await refuses_to_start(Gateway(configured(started_once)), StoreUnusable)
    assert "held by the process" in said
    async with aiohttp.ClientSession() as session, session.get(f"{holder.server.url}/readyz") as response:
        assert response.status == 200, await response.text()
    await holder.stop()


async def starts(folder: Path) -> None:
    gateway = Gateway(configured(folder))
    await gateway.start()
    await gateway.stop()


async def test_a_gateway_that_was_stopped_left_nothing_running(tmp_path):
    before = left_running()
    gateway = Gateway(configured(tmp_path))
    await gateway.start()
    assert left_running() - before
    await gateway.stop()
    assert left_running() - before == set()
    await gateway.stop()  # a second time changes nothing
