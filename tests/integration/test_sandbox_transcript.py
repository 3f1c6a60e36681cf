"""What happened on the phones is kept, played again on fresh ones, and held against what a bot does today."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kurir.cli.app import app
from kurir.sandbox.cases import check_transcript
from kurir.sandbox.config import DEMO_TELEGRAM
from kurir.sandbox.replay import ReplayError
from support.sandbox import ALL, BUDI, World, running

REPLY = {"type": "reply", "reply": {"id": "yes", "title": "Yes"}}
QUESTION = {
    "type": "interactive",
    "interactive": {"type": "button", "body": {"text": "Ok?"}, "action": {"buttons": [REPLY]}},
}


async def transcript(world: World, person: str = "") -> dict[str, Any]:
    status, body = await world.call("GET", f"/sandbox/transcript?person={person}")
    assert status == 200
    return body  # type: ignore[no-any-return] # JSON


async def talk(world: World) -> None:
    """Let Budi write, the shop answer him on all four, and him press, quote and react."""
    asked = await world.act("whatsapp", "text", text="Is it ready?")
    status, _ = await world.whatsapp(QUESTION | {"context": {"message_id": asked["id"]}})
    assert status == 200
    await world.bubble_when("whatsapp", lambda bubble: bubble["tick"] != "clock")
    await world.act("whatsapp", "press", choice="Yes")
    await world.act("telegram", "text", text="Hi")
    await world.telegram("sendMessage", text="<b>Hello</b>", parse_mode="HTML", reply_parameters={"message_id": 1})
    await world.act("telegram", "react", emoji="👍")
    await world.act("line", "image")
    await world.push({"type": "text", "text": "One"}, {"type": "text", "text": "Two"})
    await world.messenger({"text": "Hello"})
    await world.act("messenger", "voice")


def said(bubble: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a person sees of a bubble, without ids and times."""
    blocks = [(block["kind"], block["text"], [one["title"] for one in block["choices"]]) for block in bubble["blocks"]]
    return bubble["mine"], bubble["quoted_words"], bubble["reaction"], blocks


async def everything(world: World) -> list[list[tuple[Any, ...]]]:
    return [[said(bubble) for bubble in await world.bubbles(channel)] for channel in ALL]


async def test_a_talk_played_again_is_the_same_talk_and_nobody_is_told() -> None:
    async with running(channels=ALL) as world:
        await talk(world)
        before, kept = await everything(world), await transcript(world)
        await all_told(world)
        await world.call("POST", "/sandbox/reset", json={})
        told = len(world.receiver.bodies)
        status, answer = await world.call("POST", "/sandbox/replay", json=kept)
        assert (status, answer["data"]) == (200, {"played": len(kept["steps"]), "refused": []})
        assert await everything(world) == before
        read = next(one["id"] for one in await world.bubbles("whatsapp") if not one["mine"])
        await _until_read(world, read)
        assert len(world.receiver.bodies) == told, "a replay tells the account nothing"
        again = await transcript(world)
        assert [_plain(step) for step in again["steps"]] == [_plain(step) for step in kept["steps"]]
        # What happens after a replay is told again.
        await world.act("whatsapp", "text", text="New")
        await world.receiver.wait(told + 1)


async def all_told(world: World) -> None:
    """Wait until Budi's phones have told everything: the last receipts too, and each webhook was answered."""
    with world.server.sandbox.phones.listen() as listener:
        async with asyncio.timeout(10):
            while True:
                shown = [(channel, bubble) for channel in ALL for bubble in await world.bubbles(channel)]
                if all(_told(channel, bubble) for channel, bubble in shown):
                    return
                await listener.changes(10)


def _told(channel: str, bubble: dict[str, Any]) -> bool:
    answered = all(event["answer"] for event in bubble["events"] if event["what"].startswith("webhook"))
    read = bubble["mine"] or channel not in ("whatsapp", "messenger") or bubble["tick"] == "read"
    return bool(answered and read and bubble["events"])


async def _until_read(world: World, number: str) -> None:
    phone = world.server.sandbox.phones.of_person("whatsapp", "Budi")
    assert phone
    with world.server.sandbox.phones.listen() as listener:
        async with asyncio.timeout(10):
            while next(one for one in phone.bubbles if one.id == number).tick != "read":
                await listener.changes(10)


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step without what differs from run to run."""
    received = (
        {name: step["received"].get(name) for name in ("call", "status", "shown")} if "received" in step else None
    )
    did = {name: value for name, value in step.get("did", {}).items() if name not in ("message", "reply_to")}
    return {"who": (step.get("channel"), step.get("person")), "did": did, "received": received}


async def test_a_transcript_holds_no_token_and_says_what_was_shown() -> None:
    async with running() as world:
        await talk(world)
        kept = await transcript(world)
        text = json.dumps(kept)
        config = world.server.sandbox.config
        for secret in (config.telegram.token, config.whatsapp.access_token, config.messenger.page_access_token):
            assert secret not in text
        assert config.line.channel_access_token not in text
        assert kept["kurir_transcript"] == 1
        (question,) = [step for step in kept["steps"] if step.get("received", {}).get("call") == "messages"][:1]
        assert question["received"]["shown"] == [
            [
                {"kind": "text", "text": "Ok?"},
                {"kind": "buttons", "style": "rows", "choices": [{"title": "Yes", "payload": "yes"}]},
            ]
        ]
        assert [step["person"] for step in (await transcript(world, "ani"))["steps"]] == []


async def test_refused_calls_switches_faults_and_days_are_kept_and_files_are_not() -> None:
    async with running() as world:
        await world.switch("telegram", str(BUDI.telegram_chat_id), online=False)
        await world.call("POST", "/sandbox/clock", json={"move": 90000})
        await world.call("PUT", "/sandbox/faults/telegram", json={"expired_token": True})
        await world.telegram("sendMessage", text="Hello")
        await world.call("DELETE", "/sandbox/faults/telegram")
        form = {"chat_id": str(BUDI.telegram_chat_id), "photo": Path(__file__).open("rb")}  # noqa: ASYNC230, SIM115
        path = f"/telegram/bot{DEMO_TELEGRAM.token}/sendDocument"
        status, _ = await world.call("POST", path, data={"chat_id": form["chat_id"], "document": form["photo"]})
        assert status == 200
        kept = await transcript(world)
        assert "bytes" in json.dumps(kept)
        assert "test_a_talk_played_again" not in json.dumps(kept), "the content of a file is not kept"
        status, answer = await world.call("POST", "/sandbox/replay", json=kept)
        assert (status, answer["data"]["refused"]) == (200, [])
        phone = await world.phone("telegram")
        assert (phone["online"], phone["ahead"]) == (False, 90000)
        assert [call["status"] for call in phone["refused"]] == [401]
        assert [block["kind"] for bubble in phone["bubbles"] for block in bubble["blocks"]] == ["document"]
        assert (await world.call("GET", "/sandbox/faults"))[1]["data"]["telegram"] is None


async def test_what_is_very_large_is_left_out() -> None:
    async with running() as world:
        await world.push({"type": "text", "text": "x", "unknown": "y" * 70_000})
        (step,) = (await transcript(world))["steps"]
        assert list(step["received"]["body"]) == ["left_out"]
        status, answer = await world.call("POST", "/sandbox/replay", json={"kurir_transcript": 1, "steps": [step]})
        assert (status, len(answer["data"]["refused"])) == (200, 1)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([], 400, "A transcript"),
        ({"kurir_transcript": 2, "steps": []}, 400, "kurir_transcript: This version reads 1."),
        ({"kurir_transcript": 1, "steps": [1]}, 400, "A transcript"),
        ({"kurir_transcript": 1, "steps": [{"channel": "line", "person": "Eve", "did": {}}]}, 409, "There is no Eve"),
    ],
)
async def test_what_is_no_transcript_is_refused_and_changes_nothing(body: object, status: int, words: str) -> None:
    async with running() as world:
        await world.act("line", "text", text="Stays")
        answered, problem = await world.call("POST", "/sandbox/replay", json=body)
        assert answered == status
        assert problem["detail"].startswith(words)
        assert len(await world.bubbles("line")) == 1


async def test_a_step_that_cannot_be_played_is_said_and_the_rest_goes_on() -> None:
    async with running() as world:
        steps = [
            {"channel": "line", "person": "Budi", "did": {"do": "press", "choice": "Nowhere"}},
            {
                "channel": "line",
                "person": "Budi",
                "received": {"call": "push", "status": 200, "body": {"messages": []}},
            },
            {"at": "soon", "moved": "far", "did": 3},
            {"channel": "line", "person": "Budi", "did": {"do": "text", "text": "Hi"}},
        ]
        status, answer = await world.call("POST", "/sandbox/replay", json={"kurir_transcript": 1, "steps": steps})
        assert status == 200
        assert answer["data"]["played"] == 4
        assert [words.partition(":")[0] for words in answer["data"]["refused"]] == ["Budi, line"] * 2
        assert len(await world.bubbles("line")) == 1


# --- a case as a test -----------------------------------------------------------------------------------------------------


async def bot(world: World, answer: str) -> None:
    """Answer each text of Budi's on Telegram with *answer* and a button, for ever."""
    seen = 0
    while True:
        bodies = await world.receiver.wait(seen + 1)
        seen += 1
        if "message" in bodies[seen - 1]:
            keys = {"inline_keyboard": [[{"text": "More", "callback_data": "more"}]]}
            await world.telegram("sendMessage", text=answer, reply_markup=keys)


@pytest.fixture
def kept(case: Path) -> dict[str, Any]:
    """The same talk, read."""
    return json.loads(case.read_text())  # type: ignore[no-any-return] # JSON


@pytest.fixture
async def case(tmp_path: Path) -> Path:
    """A talk with a bot that says «Hello», as the command line saves it."""
    async with running(channels=("telegram",)) as world:
        works = asyncio.create_task(bot(world, "Hello"))
        await world.act("telegram", "text", text="Hi")
        await world.bubble_when("telegram", lambda bubble: not bubble["mine"])
        await world.act("telegram", "react", emoji="👍")
        printed = await cli(world, "export", "--person", "Budi")
        works.cancel()
    path = tmp_path / "case.json"
    path.write_text(printed.stdout)
    return path


async def cli(world: World, *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["sandbox", *words, "--url", world.server.url])


async def test_a_bot_that_answers_as_then_passes_and_another_does_not(case: Path) -> None:
    async with running(channels=("telegram",)) as world:
        works = asyncio.create_task(bot(world, "Hello"))
        ended = await cli(world, "replay", str(case), "--check")
        assert (ended.exit_code, ended.stdout) == (0, "everything arrived as in the case\n")
        works.cancel()
    async with running(channels=("telegram",)) as world:
        works = asyncio.create_task(bot(world, "Good day"))
        ended = await cli(world, "replay", str(case), "--check")
        works.cancel()
        assert ended.exit_code == 1
        assert ended.stdout == "step 2: expected «Hello» [More], found «Good day» [More]\n"


async def test_a_bot_that_is_silent_or_says_more_does_not_pass(kept: dict[str, Any]) -> None:
    async with running(channels=()) as world:
        differences = await check_transcript(kept, world.server.url, 0.05)
        assert str(differences[0]) == "step 2: expected «Hello» [More], found nothing"
        assert [one.step for one in differences] == [2, 3], "the reaction has nothing to be put on"
    kept["steps"] = [step for step in kept["steps"] if "received" not in step and step["did"]["do"] == "text"]
    first = {
        "channel": "telegram",
        "person": "Budi",
        "received": {"ids": ["1"], "shown": [[{"kind": "text", "text": "Yes"}]]},
    }
    async with running(channels=("telegram",)) as world:

        async def twice() -> None:
            await world.receiver.wait(1)
            await world.telegram("sendMediaGroup", media=_album())

        works = asyncio.create_task(twice())
        differences = await check_transcript(kept | {"steps": [*kept["steps"], first]}, world.server.url, 5)
        await works
        assert [str(one).partition(", found")[0] for one in differences] == [
            "step 2: expected «Yes»",
            "step 2: expected nothing more for Budi on telegram",
        ]


def _album() -> list[dict[str, str]]:
    photo = {"type": "photo", "media": "https://media.sandbox.invalid/demo.jpg"}
    return [photo, photo]


async def test_a_case_that_cannot_be_read_ends_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    async with running() as world:
        ended = await cli(world, "replay", str(path))
        assert (ended.exit_code, "cannot be read: No such file" in ended.stderr) == (1, True)
        path.write_text("[]")
        assert "is no transcript" in (await cli(world, "replay", str(path))).stderr
        path.write_text('{"kurir_transcript": 9, "steps": []}')
        for more in ((), ("--check",)):
            ended = await cli(world, "replay", str(path), *more)
            assert (ended.exit_code, "kurir_transcript: This version reads 1." in ended.stderr) == (1, True)
    with pytest.raises(ReplayError, match="does not answer"):
        await check_transcript({"kurir_transcript": 1, "steps": []}, world.server.url, 1)
