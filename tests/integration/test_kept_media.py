"""Files that came in and are kept: fetched after the commit, over restarts, disks and platforms in trouble, and deleted."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fastapi import FastAPI, Request

from kurir.clock import FakeClock
from kurir.http import media as http_media
from kurir.intake import media_keep
from kurir.intake.kept_files import FOLDER, Shelf, Shelved
from kurir.intake.media import OpenFile
from kurir.upkeep import Upkeep
from support.delivering import eventually
from support.inbound import ANI, CLIENT, LINE_TOKEN, PAGE, TELEGRAM_TOKEN, Files, Inbox, platforms, receiving

CONTENT = bytes(range(256)) * 5000  # more than is gathered for one write
KIND = "application/pdf"
LINE_PATH = "/v2/bot/message/77001/content"


def keeping(*channels: str, space: str = "1GB") -> Callable[[dict[str, Any]], None]:
    """Return an edit by which the accounts on *channels* (all, without any) keep files."""

    def edit(document: dict[str, Any]) -> None:
        document["inbound_media_space"] = space
        for account in document["clients"]["acme"]["accounts"]:
            if not channels or account["channel"] in channels:
                account["inbound_media"] = "keep"

    return edit


def a_file(_: web.Request) -> web.Response:
    return web.Response(body=CONTENT, headers={"Content-Type": KIND, "Set-Cookie": "sid=platform"})


def answering(status: int) -> Callable[[web.Request], web.Response]:
    return lambda _: web.Response(status=status, text="the platform's own words")


def line_file(number: int = 77001, name: str = "Invoice 7.pdf") -> dict[str, Any]:
    return {
        "type": "message",
        "webhookEventId": f"01HFILE{number:019}",
        "deliveryContext": {"isRedelivery": False},
        "timestamp": 1795000000000,
        "mode": "active",
        "source": {"type": "user", "userId": ANI["line"]},
        "message": {"id": str(number), "type": "file", "fileName": name, "fileSize": len(CONTENT)},
    }


async def file_in(inbox: Inbox, channel: str) -> str:
    """Let Ani send a file; the platform path under which it is fetched."""
    match channel:
        case "telegram":
            path = f"/file/bot{TELEGRAM_TOKEN}/documents/a.pdf"
            described = {
                "ok": True,
                "result": {"file_id": "f1", "file_unique_id": "u1", "file_path": "documents/a.pdf"},
            }
            inbox.platform.gets[f"/bot{TELEGRAM_TOKEN}/getFile"] = lambda _: web.json_response(described)
            inbox.platform.gets[path] = a_file
            file = {"file_id": "f1", "file_unique_id": "u1", "file_name": "Invoice 7.pdf", "mime_type": KIND}
            who = {"id": int(ANI["telegram"]), "first_name": "Ani"}
            message = {"message_id": 601, "date": 1795000000, "from": who | {"is_bot": False}, "document": file}
            await inbox.telegram({"message": message | {"chat": who | {"type": "private"}}})
        case "whatsapp":
            path = "/lookaside/5"
            described = {"url": f"{inbox.platform.url}{path}", "mime_type": KIND, "id": "55", "file_size": len(CONTENT)}
            inbox.platform.gets["/v26.0/55"] = lambda _: web.json_response(described)
            inbox.platform.gets[path] = a_file
            file = {"id": "55", "mime_type": KIND, "sha256": "x", "filename": "Invoice 7.pdf"}
            head = {"from": ANI["whatsapp"], "id": "wamid.5", "timestamp": "1795000000", "type": "document"}
            await inbox.whatsapp(head | {"document": file})
        case "messenger":
            path = "/cdn/Invoice 7.pdf"
            inbox.platform.gets[path] = a_file
            attachment = {"type": "file", "payload": {"url": f"{inbox.platform.url}/cdn/Invoice%207.pdf?oh=1"}}
            message = {"mid": "m_5", "attachments": [attachment]}
            head = {"sender": {"id": ANI["messenger"]}, "recipient": {"id": PAGE}, "timestamp": 1795000000000}
            await inbox.messenger(head | {"message": message})
        case _:
            path = LINE_PATH
            inbox.platform.gets.setdefault(path, a_file)
            await inbox.line(line_file())
    return path


async def links(inbox: Inbox) -> list[str]:
    """Return the links to the files of the events since they were asked for last."""
    told = [one["data"]["message"]["media"] for one in await inbox.events() if one["type"] == "message.received"]
    return [media["url"] for media in told if media is not None]


def states(folder: Path) -> list[Shelved]:
    return [about.state for _, about in Shelf(folder / FOLDER, 0).all()]


def asked(platform: Files, path: str) -> int:
    return sum(one == path for one, _ in platform.asked)


@pytest.mark.parametrize("channel", ["telegram", "line", "whatsapp", "messenger"])
async def test_a_file_is_fetched_once_and_stays_when_the_platform_forgets_it(tmp_path, channel):
    async with receiving(tmp_path, edit=keeping()) as inbox:
        path = await file_in(inbox, channel)
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        inbox.platform.gets.clear()
        inbox.platform.gets[path] = answering(404)
        [link] = await links(inbox)
        status, headers, content = await inbox.fetch(link)
        assert (status, content, headers["Content-Type"]) == (200, CONTENT, KIND)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["Content-Disposition"].endswith("filename*=UTF-8''Invoice%207.pdf")
        assert "Set-Cookie" not in headers
        async with aiohttp.request("GET", inbox.local(link), headers={"Range": "bytes=256-511"}) as response:
            assert (response.status, await response.read()) == (206, CONTENT[256:512])
            assert response.headers["Content-Range"] == f"bytes 256-511/{len(CONTENT)}"
        assert asked(inbox.platform, path) == 1
        [kept] = [one for one in (tmp_path / FOLDER).glob("??/*") if one.suffix == ""]
        assert kept.read_bytes() == CONTENT
        assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        described = "".join(one.read_text() for one in (tmp_path / FOLDER).rglob("*.json"))
        for secret in (TELEGRAM_TOKEN, LINE_TOKEN, ANI[channel]):
            assert secret not in described


async def test_an_account_that_streams_keeps_nothing(tmp_path):
    async with receiving(tmp_path, edit=keeping("telegram")) as inbox:
        path = await file_in(inbox, "line")
        await file_in(inbox, "telegram")
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        assert asked(inbox.platform, path) == 0


async def test_where_nothing_is_kept_there_is_no_folder(tmp_path):
    async with receiving(tmp_path) as inbox:
        await file_in(inbox, "line")
        [link] = await links(inbox)
        assert (await inbox.fetch(link))[2] == CONTENT
    assert not (tmp_path / FOLDER).exists()


async def test_what_was_not_fetched_is_found_again_after_a_restart(tmp_path):
    async with platforms() as platform:
        platform.gets[LINE_PATH] = answering(503)
        async with receiving(tmp_path, platform=platform, edit=keeping()) as inbox:
            await file_in(inbox, "line")
            await eventually(lambda: asked(platform, LINE_PATH) == 1)
            [link] = await links(inbox)
            assert (await inbox.fetch(link))[0] == 502, "until then it streams, and the platform is in trouble"
        platform.gets[LINE_PATH] = a_file
        async with receiving(tmp_path, platform=platform, edit=keeping()) as inbox:
            await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
            platform.gets[LINE_PATH] = answering(410)
            assert (await inbox.fetch(link))[2] == CONTENT
        before = asked(platform, LINE_PATH)
        async with receiving(tmp_path, platform=platform, edit=keeping()) as inbox:
            await inbox.line(line_file(77002))
            await eventually(lambda: len(states(tmp_path)) == 2)
        assert asked(platform, LINE_PATH) == before, "what is settled is not asked for again"


async def test_what_came_before_files_were_kept_is_not_fetched(tmp_path):
    async with platforms() as platform:
        async with receiving(tmp_path, platform=platform) as inbox:
            await file_in(inbox, "line")
        async with receiving(tmp_path, platform=platform, edit=keeping()) as inbox:
            platform.gets["/v2/bot/message/77002/content"] = a_file
            await inbox.line(line_file(77002))
            await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        assert asked(platform, LINE_PATH) == 0


@pytest.mark.parametrize(("status", "channel"), [(404, "line"), (410, "line"), (400, "telegram")])
async def test_what_the_platform_gives_no_more_is_said_to_be_gone(tmp_path, status, channel, capfd):
    async with receiving(tmp_path, edit=keeping()) as inbox:
        path = LINE_PATH if channel == "line" else f"/bot{TELEGRAM_TOKEN}/getFile"
        inbox.platform.gets[LINE_PATH] = answering(status)
        if channel == "telegram":
            known = inbox.platform.gets
            inbox.platform.gets = _Fixed(known, path, answering(status))
        await file_in(inbox, channel)
        await eventually(lambda: states(tmp_path) == [Shelved.GONE])
        before = asked(inbox.platform, path)
        [link] = await links(inbox)
        answered, _, body = await inbox.fetch(link)
        problem = json.loads(body)
        assert (answered, problem["code"]) == (410, "media_gone")
        assert problem["detail"].startswith(f"the platform answered {status}, on 20")
        assert asked(inbox.platform, path) == before == 1, "neither for the link nor again"
        logged = "".join(capfd.readouterr())
        assert "file_not_kept" in logged
        assert "the platform's own words" not in logged
        assert TELEGRAM_TOKEN not in logged


class _Fixed(dict[str, Any]):
    """The answers to GET, of which one stays as it is."""

    def __init__(self, known: dict[str, Any], path: str, answer: Any) -> None:
        super().__init__(known | {path: answer})
        self._path = path

    def __setitem__(self, path: str, answer: Any) -> None:
        if path != self._path:
            super().__setitem__(path, answer)


async def test_a_file_is_asked_for_ever_more_rarely_and_not_for_ever(tmp_path):
    clock = FakeClock()
    async with receiving(tmp_path, clock=clock, edit=keeping()) as inbox:
        inbox.platform.gets[LINE_PATH] = answering(202)  # LINE: not ready yet
        event = line_file()
        event["timestamp"] = int(clock.now().timestamp() * 1000)
        await inbox.line(event)
        waits = []
        for tries in range(1, 9):
            await eventually(lambda tries=tries: asked(inbox.platform, LINE_PATH) == tries)
            keeper = inbox.gateway._media_keeper
            [one] = keeper._accounts["acme-line"].wanted
            await eventually(lambda one=one: one.task is None)
            waits.append(one.wait)
            clock.move(one.wait - 0.001 if tries < 8 else timedelta(days=8).total_seconds())
            inbox.gateway._fed(CLIENT)
        assert waits == [5, 10, 20, 40, 80, 160, 320, 600]
        await eventually(lambda: states(tmp_path) == [Shelved.LEFT])
        inbox.platform.gets[LINE_PATH] = a_file
        [link] = await links(inbox)
        assert (await inbox.fetch(link))[2] == CONTENT, "what was left out streams"


async def test_a_disk_that_takes_nothing_leaves_streaming_and_webhooks_alone(tmp_path, capfd):
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    clock = FakeClock()
    async with receiving(tmp_path, clock=clock, edit=keeping("line")) as inbox:
        await file_in(inbox, "line")
        inbox.platform.gets["/v2/bot/message/77002/content"] = a_file
        await inbox.line(line_file(77002))
        paths = (LINE_PATH, "/v2/bot/message/77002/content")
        await eventually(lambda: all(asked(inbox.platform, path) == 1 for path in paths))
        for link in await links(inbox):
            assert (await inbox.fetch(link))[2] == CONTENT
        assert "".join(capfd.readouterr()).count("kept_files_trouble") == 1
        assert (await inbox.get("/readyz"))[0] == 200
        (tmp_path / FOLDER).unlink()
        wanted = inbox.gateway._media_keeper._accounts["acme-line"].wanted
        await eventually(lambda: all(one.task is None and one.wait for one in wanted))
        clock.move(10)
        inbox.gateway._fed(CLIENT)
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT] * 2)


async def test_what_there_is_no_room_for_streams(tmp_path, capfd):
    async with receiving(tmp_path, edit=keeping("line", space="2MB")) as inbox:
        await file_in(inbox, "line")
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        inbox.platform.gets["/v2/bot/message/77002/content"] = a_file
        await inbox.line(line_file(77002))
        await eventually(lambda: sorted(states(tmp_path)) == [Shelved.KEPT, Shelved.LEFT])
        for link in await links(inbox):
            assert (await inbox.fetch(link))[2] == CONTENT
        assert "inbound_media_space" in "".join(capfd.readouterr())
        assert inbox.gateway._shelf.used == len(CONTENT), "what was dropped takes no room"


async def test_a_file_that_is_too_large_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(media_keep, "LARGEST", len(CONTENT) - 1)

    def untold(_: web.Request) -> web.Response:
        response = web.Response(body=CONTENT)
        response.enable_chunked_encoding()  # its length is not told
        return response

    async with receiving(tmp_path, edit=keeping("line")) as inbox:
        inbox.platform.gets["/v2/bot/message/77002/content"] = untold
        await file_in(inbox, "line")
        await inbox.line(line_file(77002))
        await eventually(lambda: states(tmp_path) == [Shelved.LEFT] * 2)
        assert [one for one in (tmp_path / FOLDER).glob("??/*") if one.suffix != ".json"] == []


async def test_retention_deletes_files_with_their_events(tmp_path):
    async with receiving(tmp_path, edit=keeping("line")) as inbox:
        await file_in(inbox, "line")
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        gateway = inbox.gateway
        assert gateway._media_keeper is not None
        assert await gateway._media_keeper.sweep() == 0
        later = FakeClock(gateway.clock.now() + timedelta(days=91))
        await Upkeep(gateway.store, later, timedelta(days=90)).once()
        assert await gateway._media_keeper.sweep() == 1
        assert list((tmp_path / FOLDER).glob("??/*")) == []
        assert gateway._shelf.used == 0


async def test_upkeep_deletes_the_files_of_a_person_who_was_erased(tmp_path):
    async with receiving(tmp_path, edit=keeping("line", "telegram")) as inbox:
        await file_in(inbox, "line")
        await file_in(inbox, "telegram")
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT] * 2)
        [link, other] = await links(inbox)
        async with inbox.session.delete(f"{inbox.url}/v1/contacts/line/{ANI['line']}") as response:
            assert response.status == 200, await response.text()
        assert (await inbox.fetch(link))[0] == 404
        gateway = inbox.gateway
        upkeep = Upkeep(gateway.store, gateway.clock, timedelta(days=90), gateway._media_keeper.sweep)
        upkeep.start()
        try:
            await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        finally:
            await upkeep.stop()
        assert (await inbox.fetch(other))[2] == CONTENT


async def test_a_file_that_was_damaged_on_the_disk_streams(tmp_path):
    async with receiving(tmp_path, edit=keeping("line")) as inbox:
        await file_in(inbox, "line")
        await eventually(lambda: states(tmp_path) == [Shelved.KEPT])
        [kept] = [one for one in (tmp_path / FOLDER).glob("??/*") if one.suffix == ""]
        kept.write_bytes(CONTENT[:-1])
        [link] = await links(inbox)
        assert (await inbox.fetch(link))[2] == CONTENT


class Opened:
    """A file that is open until it is closed: no collector of garbage does that for whoever forgets it."""

    def __init__(self) -> None:
        self.closed = False

    def open(self, _: Any) -> "Opened":
        return self

    async def __aenter__(self) -> OpenFile:
        return OpenFile(KIND, "a.pdf", None, self._chunks())

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield CONTENT


async def test_an_answer_that_cannot_be_built_lets_go_of_the_platform(monkeypatch):
    def fail(_: str) -> str:
        raise RuntimeError

    app, opened = FastAPI(), Opened()
    app.state.files = lambda: opened
    monkeypatch.setattr(http_media, "disposition", fail)
    with pytest.raises(RuntimeError):
        await http_media.get_media(Request({"type": "http", "app": app}), "acme-line", "1", "0", "1", "x")
    assert opened.closed


async def test_a_file_without_a_name_is_called_by_its_type(tmp_path):
    async with receiving(tmp_path) as inbox:
        message = {"id": "77003", "type": "image", "contentProvider": {"type": "line"}}
        inbox.platform.gets["/v2/bot/message/77003/content"] = lambda _: web.Response(
            body=b"\xff\xd8", content_type="image/jpeg"
        )
        await inbox.line(line_file() | {"message": message})
        [link] = await links(inbox)
        _, headers, _ = await inbox.fetch(link)
        assert headers["Content-Disposition"] == "attachment; filename=\"file.jpg\"; filename*=UTF-8''file.jpg"
