"""No secret leaves: each is planted as a canary into a whole run, and looked for in everything that comes out of it.

What comes out: every answer of every route to whoever may ask, the log in both of its renderings, the command line's words,
and what lies on the disk. Looked for in plain, base64, percent-encoded, as JSON and as HTML.
"""

import asyncio
import base64
import contextlib
import html
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
import structlog
from typer.testing import CliRunner

from kurir.cli.app import app
from kurir.console import totp
from kurir.logs import without_tokens
from kurir.sandbox.config import SandboxConfig, demo_config
from support import walking
from support.bodies import body
from support.delivering import eventually
from support.endpoint import recording
from support.servers import PASSWORD, Running, running
from support.tenants import ADMIN, TEXT, Stage, actors_of, furnish, missing_of, two_tenants
from support.walking import SAFE

#: With characters that every encoding writes in another way.
CHOSEN = 'correct "horse"/battery+staple&=canary'
CONSOLE = 'a sentence + "quotes" & /slashes/ of the owner\'s'
SECOND_FACTOR = bytes(range(70, 90))
SIGNING = "whsec_" + base64.b64encode(b"canary of the callbacks' secret/+").decode()
API_KEY = "canary/of+the==callback's header"
WRONG = "a wrong password + somebody typed"


def canary_config() -> SandboxConfig:
    demo = demo_config()
    return replace(
        demo,
        whatsapp=replace(demo.whatsapp, access_token="EAACanary+Whats/App==Token&1", verify_token="canary+verify/wa=1"),
        telegram=replace(demo.telegram, secret_token="canary-secret_telegram-0001"),
        line=replace(demo.line, channel_access_token="Canary/Line+Token==&long-lived"),
        messenger=replace(
            demo.messenger, page_access_token="EAACanary+Page/Token==&2", verify_token="canary+verify/fb=2"
        ),
    )


def forms(secret: str) -> set[str]:
    """Return how a secret may be written, base64 at each of its three places among other bytes."""
    raw = secret.encode()
    found = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        html.escape(secret),
    }
    found |= {repr(secret)[1:-1], raw.hex(), raw.hex().upper()}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        # The first and the last characters hold bits of what stands around.
        inner = whole[(4 if before else 0) : len(whole) - 2]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


@contextlib.contextmanager
def heard(into: list[tuple[str, str]]) -> Iterator[None]:
    """Collect every line of the log as JSON and as it stands on a terminal, and what other libraries log."""
    as_json, pretty = structlog.processors.JSONRenderer(), structlog.dev.ConsoleRenderer(colors=False)

    def both(logger: Any, name: str, event: Any) -> Any:
        event = structlog.processors.format_exc_info(logger, name, dict(event))
        event = without_tokens(logger, name, event)
        into.append(("log as JSON", str(as_json(logger, name, dict(event)))))
        into.append(("log", pretty(logger, name, dict(event))))
        raise structlog.DropEvent

    class Library(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            into.append(("library's log", self.format(record)))

    # In place, as structlog's own capture_logs does: loggers that were bound before hold this very list.
    processors = structlog.get_config()["processors"]
    kept, library, root = processors.copy(), Library(), logging.getLogger()
    level = root.level
    processors[:] = [both]
    root.addHandler(library)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        processors[:] = kept
        root.removeHandler(library)
        root.setLevel(level)


def secrets_of(folder: Path, stage: Stage) -> dict[str, str]:
    """Return every canary by a name."""
    found = {
        "client's password": PASSWORD,
        "chosen password": CHOSEN,
        "wrong password": WRONG,
        "administrator's token": ADMIN,
        "console's password": CONSOLE,
        "second factor": base64.b32encode(SECOND_FACTOR).decode(),
        "second factor's bytes": SECOND_FACTOR.decode("latin-1"),
        "callback's secret": SIGNING.removeprefix("whsec_"),
        "callback's header": API_KEY,
        "encryption key": (folder / "kurir.key").read_text().strip(),
    }
    config = stage.gateway.sandbox.sandbox.config
    for name, part in (("whatsapp", config.whatsapp), ("line", config.line), ("messenger", config.messenger)):
        for key in ("access_token", "app_secret", "verify_token", "channel_access_token", "channel_secret"):
            if value := getattr(part, key, ""):
                found[f"{name} {key}"] = value
    found["messenger page_access_token"] = config.messenger.page_access_token
    found["telegram token"] = config.telegram.token.partition(":")[2]
    found["telegram secret_token"] = config.telegram.secret_token
    for name, actor in stage.actors.items():
        for value in actor.cookies.values():
            found[f"session of {name}"] = value
    return found


#: Where a secret is shown rightly: what an operator has to paste at Meta, which the console shows to those who may operate
#: and `connect` prints; and the link that a verb was asked for.
SHOWN = {("owner", "verify_token"), ("connect", "verify_token")}


async def test_no_canary_comes_out_anywhere(tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        two_tenants(document)
        document["clients"]["choosing"] = {"username": "choosing", "password": CHOSEN, "accounts": []}

    outputs: list[tuple[str, str]] = []
    with heard(outputs):
        async with (
            recording() as hook,
            running(tmp_path, edit=edit, phones=True, config=canary_config()) as gateway,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            stage = Stage(gateway, session, await actors_of(gateway))
            stage.missing = missing_of(gateway)
            await furnish(stage, hook.url)
            await _people(stage, outputs)
            canaries = secrets_of(tmp_path, stage)
            outputs += await asyncio.to_thread(_command_line, gateway)
            await _walk(stage, outputs)
            await _break(stage)
            await _walk(stage, outputs, ("GET /v1/messages", "GET /console/messages/{tid}", "GET /console/settings"))
            outputs += [(str(path), path.read_bytes().decode("latin-1")) for path in _files(tmp_path)]
        outputs += [(f"{path} after the end", path.read_bytes().decode("latin-1")) for path in _files(tmp_path)]
    wheres = {where.partition(" ")[0] for where, _ in outputs}
    assert {"log", "owner", "admin", "victim", "viewer", "kurir"} <= wheres
    # The control: what is no secret is found in each of them.
    begins = ["victim GET /v1/messages/{tid}", "owner GET /console/messages/{tid}"]
    if (tmp_path / "kurir.db").exists():  # else it is a PostgreSQL, whose files are its own
        begins.append(f"{tmp_path}/kurir.db")
    for begin in begins:
        assert any(TEXT in text for where, text in outputs if where.startswith(begin)), begin
    assert any("webhook" in text for where, text in outputs if where == "log")
    found = []
    for name, secret in canaries.items():
        wanted = forms(secret)
        for where, text in outputs:
            if (where.partition(" ")[0], name.rpartition(" ")[2]) in SHOWN:
                continue
            hits = [form for form in wanted if form in text]
            if hits:
                at = text.index(hits[0])
                found.append(f"{name} in {where}: …{text[max(0, at - 60) : at]}<HERE>")
    assert not found, "\n".join(dict.fromkeys(found))


def _files(folder: Path) -> list[Path]:
    """Return what lies on the disk and is no key: the database with its log, and files that came in."""
    return [one for one in sorted(folder.rglob("*")) if one.is_file() and one.name != "kurir.key"]


async def _people(stage: Stage, outputs: list[tuple[str, str]]) -> None:
    """Let people sign in and clients fail to, and give an endpoint its secrets."""
    gateway, owner = stage.gateway, stage.actors["owner"]
    headers = {"Sec-Fetch-Site": "same-origin"}

    async def ask(method: str, path: str, status: int, **more: Any) -> str:
        async with stage.session.request(method, gateway.url + path, allow_redirects=False, **more) as response:
            text = await response.text()
            assert response.status == status, (path, text[:500])
            if WRONG not in str(more.get("data", {}).get("name", "")):  # a form shows again what was typed as the name
                outputs.append((f"people {method} {path}", text))
            return text

    for headers_of, status in (
        ({"Auth-username": "choosing", "Auth-password": CHOSEN}, 200),
        ({"Authorization": "Basic " + base64.b64encode(f"choosing:{CHOSEN}".encode()).decode()}, 200),
        ({"Auth-username": "choosing", "Auth-password": WRONG}, 401),
        ({"Auth-username": WRONG, "Auth-password": WRONG}, 401),
        ({"Authorization": f"Bearer {WRONG}"}, 401),
        ({"Authorization": f"Bearer {ADMIN}"}, 401),
    ):
        await ask("GET", "/v1/messages", status, headers=headers_of)
        await ask("POST", "/telegram/send/choosing", 422 if status == 200 else 401, headers=headers_of, json={"id": 1})
    await ask("GET", "/v1/admin/clients", 401, headers={"Authorization": f"Bearer {WRONG}"})
    await ask("GET", f"/nowhere?token={quote(ADMIN)}", 404)
    fields = {"name": "owner", "password": CONSOLE}
    await ask("POST", "/console/me/password", 303, data=fields, cookies=owner.cookies, headers=headers)
    secret = base64.b32encode(SECOND_FACTOR).decode()
    step = int(gateway.gateway.clock.now().timestamp()) // totp.STEP_SECONDS
    await ask(
        "POST",
        "/console/me/totp",
        303,
        data={"secret": secret, "code": totp.code_at(SECOND_FACTOR, step)},
        cookies=owner.cookies,
        headers=headers,
    )
    await ask("POST", "/console/sign-in", 401, data={"name": "owner", "password": WRONG}, headers=headers)
    await ask("POST", "/console/sign-in", 401, data={"name": WRONG, "password": CONSOLE}, headers=headers)
    await ask("POST", "/console/sign-in", 401, data={**fields, "code": "000000"}, headers=headers)
    code = totp.code_at(SECOND_FACTOR, step + 1)
    await ask("POST", "/console/sign-in", 303, data={**fields, "code": code}, headers=headers)
    wanted = {
        "client": "demo",
        "url": stage.theirs["endpoint_url"],
        "secret": SIGNING,
        "headers": {"X-Api-Key": API_KEY},
    }
    await ask("PUT", "/v1/admin/callbacks", 200, json=wanted, headers=stage.actors["admin"].headers)
    # Wrong in their form, so that the refusal might repeat them.
    for wrong in (
        {**wanted, "secret": f"{SIGNING}!"},
        {**wanted, "headers": {"X Api Key": API_KEY}},
        {**wanted, "secret": [SIGNING]},
    ):
        await ask("PUT", "/v1/admin/callbacks", 422, json=wrong, headers=stage.actors["admin"].headers)
    token = gateway.sandbox.sandbox.config.telegram.token
    for settings in ({"token": f"{token} "}, {"token": token, "colour": token}, {"token": token, "receive": token}):
        new = {"client": "demo", "channel": "telegram", "id": "another-bot", "settings": settings}
        await ask("POST", "/v1/admin/accounts", 422, json=new, headers=stage.actors["admin"].headers)
    status, _, answer = await gateway.send("telegram", body(id="after-the-endpoint"))
    assert status == 200, answer
    await gateway.until(answer["data"]["tid"], 1)


def _command_line(gateway: Running) -> list[tuple[str, str]]:
    where = {"COLUMNS": "200", "NO_COLOR": "1", "KURIR_URL": gateway.url}
    admin = {"KURIR_ADMIN_TOKEN": ADMIN}
    client = {"KURIR_USERNAME": "demo", "KURIR_PASSWORD": PASSWORD}
    said = []
    for words, environment, code in (
        ("client list --json", admin, None),
        ("client list", {"KURIR_ADMIN_TOKEN": WRONG}, 1),
        ("account list --json", admin, None),
        ("account show demo-tg", admin, None),
        ("account check demo-wa", admin, None),
        ("callback list --json", admin, 0),
        ("console users", admin, 0),
        ("webhook list", admin, 0),
        ("node list", admin, 0),
        ("template list demo-wa", admin, None),
        ("message list --json", client, 0),
        ("message list", {"KURIR_USERNAME": "demo", "KURIR_PASSWORD": WRONG}, 1),
        ("contact list --json", client, 0),
    ):
        found = CliRunner().invoke(app, words.split(), env=where | environment)
        assert code is None or found.exit_code == code, (words, found.output)
        said.append((f"kurir {words}", found.output + repr(found.exception)))
    return said


async def _walk(stage: Stage, outputs: list[tuple[str, str]], only: tuple[str, ...] = ()) -> None:
    """Ask for everything as everybody who may, reading first, and keep what is answered."""
    all_doors = [
        one for one in walking.doors(stage.gateway.gateway) if not one.mounted and (not only or str(one) in only)
    ]
    for safe in (True, False):
        for name in ("victim", "viewer", "admin", "owner", ""):
            actor = stage.actors[name]
            for door in all_doors:
                if (door.method in SAFE) is not safe or (not safe and not _harmless(door.path)):
                    continue
                if not (actor.is_let_in(door) or (not name and (door.method, door.path) in walking.OPEN)):
                    continue
                for ask in list(walking.asks(door, stage.theirs))[:3]:
                    told = await stage.ask(actor, ask)
                    kept = {key: value for key, value in told.headers.items() if key != "Set-Cookie"}
                    label = "connect" if door.path.endswith("/connect") else name or "stranger"
                    outputs.append((f"{label} {door} {ask.query}", f"{kept} {told.text}"))


def _harmless(path: str) -> bool:
    """Whether what a POST there does leaves those who ask their rights and their things."""
    return not any(
        word in path for word in ("disable", "remove", "sign-out", "end", "reset", "users", "delete", "sign-in")
    )


async def _break(stage: Stage) -> None:
    """Let the platforms be gone, so that what failed is told of calls whose URLs and headers hold tokens."""
    gateway = stage.gateway
    await gateway.sandbox.stop()
    tids = []
    for channel in ("telegram", "whatsapp", "line", "messenger"):
        status, _, answer = await gateway.send(channel, body(id=f"broken-{channel}"))
        assert status == 200, answer
        tids.append(answer["data"]["tid"])

    async def tried() -> bool:
        return all([(await gateway.message(tid))["attempts"] for tid in tids])

    await eventually(tried)
    stage.theirs["tid"] = tids[0]


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_canary_is_found_however_it_is_written(before: str) -> None:
    """The control: what looks for a secret finds it."""
    raw = (before + API_KEY + "xyz").encode()
    for text in (
        raw.decode(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        quote(raw.decode(), safe=""),
        quote_plus(raw.decode()),
        json.dumps({"a": raw.decode()}),
        html.escape(raw.decode()),
        raw.hex(),
    ):
        assert any(form in text for form in forms(API_KEY)), text
