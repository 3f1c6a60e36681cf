"""``kurir doctor``: over a gateway that runs, and over configuration and database alone. Its exit code is the worst."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer.testing import CliRunner, Result

from kurir import doctor
from kurir.cli import doctor as doctor_cli
from kurir.cli.app import app
from kurir.configuration.file import parse
from kurir.gateway import open_store
from support import postgres
from support.bodies import body
from support.servers import Running, running
from support.stores import CHOSEN

TOKEN = "an administrator's token"
NOTHING = {"KURIR_URL": "", "KURIR_ADMIN_TOKEN": "", "KURIR_CONFIG": "", "KURIR_DATABASE": "", "KURIR_PUBLIC_URL": ""}


@pytest.fixture(autouse=True)
def _plenty_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the disk of whoever runs the tests out of their outcome."""
    room = doctor.DiskFacts(Path("/data"), 10**12, 10**13, 1.0)
    monkeypatch.setattr(doctor, "measure", lambda _folder: room)


def with_token(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN
    document["public_url"] = "http://127.0.0.1:1"


async def asked(gateway: Running, *more: str, token: str = TOKEN) -> Result:
    words = ["doctor", "--url", gateway.url, "--admin-token", token, *more]
    return await asyncio.to_thread(CliRunner().invoke, app, words, env=NOTHING)


def offline(config: Path, *more: str, **env: str) -> Result:
    done = CliRunner().invoke(app, ["doctor", "--offline", "--config", str(config), *more], env=NOTHING | env)
    assert "Traceback" not in done.output
    return done


def told(done: Result) -> Any:
    """Return what was printed as JSON; the gateway of the same process may have logged before it."""
    return json.loads(done.stdout[done.stdout.index("{\n") :])


def levels(done: Result) -> dict[str, str]:
    return {one["subject"]: one["level"] for one in told(done)["findings"]}


async def test_a_gateway_that_runs_is_asked_and_the_worst_finding_is_the_exit_code(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        done = await asked(gateway, "--json")
        worse = {subject: level for subject, level in levels(done).items() if level != "ok"}
        assert worse.pop("public URL") == "warn", "it is of this machine alone"
        hasty = CHOSEN != "sqlite"  # the tests' PostgreSQL runs with fsync off
        assert worse == ({"durability": "bad"} if hasty else {})
        assert (told(done)["level"], done.exit_code) == (("bad", 2) if hasty else ("warn", 1))
        operator = gateway.gateway.app.state.operator()
        await operator.pause("demo-line")
        await gateway.send("line", body(id="waits"))
        text = (await asked(gateway)).output
        assert "look  accounts: demo-line is paused" in text
        assert "kurir account resume NAME" in text
        await operator.resume("demo-line")


async def test_a_wrong_token_and_nobody_there_are_the_worst_code(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        done = await asked(gateway, token="wrong")
        assert done.exit_code == 2
        assert "unauthorized" in done.output
    gone = await asked(gateway)
    assert gone.exit_code == 2
    assert "was not reached" in gone.output


def configured(folder: Path, **more: str) -> Path:
    lines = {"database": "kurir.db", "public_url": "http://127.0.0.1:1", "admin_token": TOKEN, **more}
    path = folder / "kurir.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()), "utf-8")
    return path


def made(config: Path) -> None:
    """Make the database of the configuration, as a first start does."""

    async def make() -> None:
        store = open_store(parse({"database": str(config.parent / "kurir.db")}, {}, channels={}).settings)
        await store.open()
        await store.close()

    asyncio.run(make())


def test_without_a_gateway_configuration_and_database_are_looked_at(tmp_path):
    config = configured(tmp_path)
    done = offline(config, "--json")
    assert (levels(done)["database"], levels(done)["encryption key"]) == ("warn", "ok"), "the first start makes both"
    assert done.exit_code == 1
    made(config)
    assert levels(offline(config, "--json"))["encryption key"] == "bad"
    (tmp_path / "kurir.key").touch(mode=0o600)
    before = sorted(one.name for one in tmp_path.iterdir())
    done = offline(config, "--json")
    worse = {subject: level for subject, level in levels(done).items() if level != "ok"}
    assert worse == {"public URL": "warn", "accounts": "warn"}
    assert done.exit_code == 1
    assert "no gateway was asked" in done.output
    assert sorted(one.name for one in tmp_path.iterdir()) == before, "nothing was left behind"


def test_a_database_of_a_newer_kurir_is_bad_and_nothing_of_it_is_told(tmp_path):
    config = configured(tmp_path)
    made(config)
    with closing(apsw.Connection(str(tmp_path / "kurir.db"))) as db:
        columns = db.execute("SELECT * FROM migration ORDER BY version DESC LIMIT 1").fetchone()
        assert columns is not None
        db.execute(f"INSERT INTO migration VALUES (99{', ?' * (len(columns) - 1)})", columns[1:])
    done = offline(config, "--json")
    assert (levels(done)["database"], done.exit_code) == ("bad", 2)
    assert "newer" in done.output
    said = {one["subject"]: one["says"] for one in told(done)["findings"]}
    assert all("not looked at" in said[one] for one in ("accounts", "callbacks", "callbacks owed", "queue"))


def test_a_schema_of_a_newer_kurir_is_not_told_to_be_brought_up_by_a_start():
    (older,), (newer,) = doctor_cli._of_version(2, 3), doctor_cli._of_version(4, 3)
    assert (older.level, newer.level) == ("warn", "bad")
    assert "brings it up" not in newer.fix
    assert doctor_cli._of_version(3, 3) == []


@pytest.mark.of_sqlite("the rows of a PostgreSQL are looked at by a node")
async def test_the_database_of_a_gateway_that_works_can_be_looked_at_too(tmp_path):
    async with running(tmp_path, edit=with_token) as gateway:
        await gateway.gateway.app.state.operator().pause("demo-line")
        config = configured(tmp_path)
        done = await asyncio.to_thread(offline, config)
        assert "demo-line is paused" in done.output
        await gateway.gateway.app.state.operator().resume("demo-line")


def test_a_wrong_configuration_is_told_with_every_problem(tmp_path):
    config = configured(tmp_path, retention="soon", listn="x")
    done = offline(config)
    assert done.exit_code == 2
    assert "retention" in done.output
    assert "listn" in done.output


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path):
    config = configured(tmp_path)
    (tmp_path / "kurir.db").write_bytes(b"no database" * 1000)
    done = offline(config, "--json")
    assert done.exit_code == 2
    assert levels(done)["database"] == "bad"


@pytest.mark.skipif(not postgres.servers(), reason="no PostgreSQL is installed here")
def test_of_postgresql_server_and_schema_are_looked_at(tmp_path):
    dsn = asyncio.run(postgres.new_database(postgres.shared(max(postgres.servers(), key=int))))
    secret = dsn.replace("kurir@", "kurir:hush-hush@")
    done = offline(configured(tmp_path), "--json", KURIR_DATABASE=secret)
    assert (levels(done)["database"], levels(done)["schema"]) == ("ok", "warn")
    assert levels(done)["accounts"] == "ok", "nobody looked, so nothing is missed"
    assert "there is none" not in done.output
    assert "PostgreSQL" in done.output
    done = offline(configured(tmp_path), "--json", KURIR_DATABASE="postgresql://kurir:hush-hush@127.0.0.1:1/kurir")
    assert (levels(done)["database"], done.exit_code) == ("bad", 2)
    assert "hush" not in done.output


def test_the_certificate_of_the_public_url_is_looked_at_from_here(tmp_path, monkeypatch):
    seen: list[str] = []

    def look(url: str) -> doctor.CertificateFacts:
        seen.append(url)
        return doctor.CertificateFacts("chat.example", refused="certificate has expired")

    monkeypatch.setattr(doctor, "look_at_certificate", look)
    done = offline(configured(tmp_path, public_url="https://chat.example/hub"), "--json")
    assert seen == ["https://chat.example/hub"]
    assert list(levels(done)).index("certificate") == list(levels(done)).index("public URL") + 1
    assert levels(done)["certificate"] == "bad"
