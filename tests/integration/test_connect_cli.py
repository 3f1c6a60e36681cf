"""``kurir account connect`` and ``check``, and ``kurir template``, as somebody types them."""

import asyncio
import json
import stat
import tomllib
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from kurir.channels import installed
from kurir.cli.app import app
from kurir.configuration.file import load
from support.connecting import ENDPOINT, INFO, TOKEN, gateway_with, line_answers, template
from support.platform import answering

FILE = """\
public_url = "http://127.0.0.1:1"   # mind the port
encryption_key = "0000000000000000000000000000000000000000000="

[clients.acme]
username = "acme"
password = "correct horse battery staple"
"""
BOT = {"ok": True, "result": {"id": 7001000, "first_name": "Shop", "username": "shop_bot"}}
BOT_TOKEN = "7001000:" + "x" * 35


async def typed(*words, stdin="", env=None):
    """Run a verb as from a shell without a terminal."""
    environment = {
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "KURIR_CONFIG": "",
        "KURIR_URL": "",
        "KURIR_ADMIN_TOKEN": "",
        **(env or {}),
    }
    found = await asyncio.to_thread(
        CliRunner().invoke, app, [str(word) for word in words], input=stdin, env=environment
    )
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


@asynccontextmanager
async def line_platform():
    url = "http://127.0.0.1:1/webhooks/acme-line"
    async with answering(line_answers(url) | {f"GET {ENDPOINT}": (404, {"message": "Not found"})}) as platform:

        def put() -> None:
            platform.answers[f"GET {ENDPOINT}"] = (200, {"endpoint": url, "active": True})

        yield platform, put


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "kurir.toml"
    path.write_text(FILE, "utf-8")
    return path


async def test_an_account_is_connected_and_written_and_the_file_is_right(file):
    async with line_platform() as (platform, put):
        put()
        found = await typed(
            "account", "connect", "line", "--write", file, "--api-base", platform.url,
            "--channel-access-token", "-", "--channel-secret", "-",
            stdin="line-t0ken\ns3cret\n",
        )  # fmt: skip
        assert found.exit_code == 0, found.output
        assert any(line == f"PUT {ENDPOINT}" for line, _, _ in platform.asked)
    assert "✓ the webhook endpoint is set to http://127.0.0.1:1/webhooks/acme-line" in found.stderr
    assert "@shop · Shop" in found.stderr
    assert "warning" not in found.stderr
    assert "line-t0ken" not in found.output
    text = file.read_text("utf-8")
    assert text.startswith(FILE)
    assert "line-t0ken" not in text
    kept = file.parent / "secrets" / "acme-line-channel-access-token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    (account,) = load(file, {}, channels=installed()).clients[0].accounts
    settings = account.settings
    assert (account.id, settings.channel_access_token, settings.channel_secret) == ("acme-line", "line-t0ken", "s3cret")


async def test_without_a_file_to_write_the_table_is_printed_and_what_was_made_is_shown_once(file):
    url = "http://127.0.0.1:1/webhooks/acme-tg"
    asked_for = ["message", "edited_message", "callback_query", "my_chat_member", "message_reaction"]
    info = {"ok": True, "result": {"url": url, "pending_update_count": 0, "allowed_updates": asked_for}}
    said = {"getMe": BOT, "getWebhookInfo": info, "setWebhook": {"ok": True, "result": True}}
    answers = {f"POST /bot{BOT_TOKEN}/{name}": (200, one) for name, one in said.items()}
    async with answering(answers) as platform:
        found = await typed(
            "account",
            "connect",
            "telegram",
            "--config",
            file,
            "--api-base",
            platform.url,
            env={"KURIR_CONNECT_TOKEN": BOT_TOKEN},
        )
        sent = next(json.loads(body) for line, body, _ in platform.asked if line.endswith("/setWebhook"))
    assert found.exit_code == 0, found.output
    table = tomllib.loads(found.stdout)["clients"]["acme"]["accounts"][0]
    assert table == {
        "id": "acme-tg",
        "channel": "telegram",
        "api_base": platform.url,
        "token": {"env": "ACME_TG_TOKEN"},
        "secret_token": {"env": "ACME_TG_SECRET_TOKEN"},
    }
    assert f"ACME_TG_SECRET_TOKEN={sent['secret_token']}" in found.stderr
    assert BOT_TOKEN not in found.output
    assert file.read_text("utf-8") == FILE


async def test_a_secret_on_the_command_line_is_warned_of_and_one_in_a_file_is_not(file):
    kept = file.parent / "given"
    kept.write_text("s3cret\n", "utf-8")
    async with line_platform() as (platform, put):
        put()
        found = await typed(
            "account", "connect", "line", "--config", file, "--api-base", platform.url,
            "--channel-access-token", "line-t0ken", "--channel-secret", f"@{kept}",
        )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert found.stderr.count("warning:") == 1
    assert "--channel-access-token is on the command line" in found.stderr


async def test_what_is_refused_writes_nothing(file):
    async with answering({f"GET {INFO}": (401, {"message": "Authentication failed"})}) as platform:
        found = await typed(
            "account", "connect", "line", "--write", file, "--api-base", platform.url,
            "--channel-access-token", "-", "--channel-secret", "-",
            stdin="wrong\ns3cret\n",
        )  # fmt: skip
    assert found.exit_code == 1
    assert "✗ token_refused: the channel access token is refused: LINE says «Authentication failed»" in found.stderr
    assert found.stdout == ""
    assert file.read_text("utf-8") == FILE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--client", "acme"], "--channel-access-token is missing, and there is no terminal to ask on"),
        (["--secrets", "wall"], "--secrets is env or files"),
        (["--public-url", "http://chat.example.com"], "public_url: expected an https:// address"),
        (
            ["--id", "6281234567890", "--channel-access-token", "t", "--channel-secret", "s"],
            "must not hold a phone number",
        ),
        (["--channel-access-token", "@/nowhere"], "/nowhere cannot be read"),
    ],
)
async def test_what_is_missing_or_wrong_is_one_sentence(file, words, said):
    found = await typed("account", "connect", "line", "--config", file, *words)
    assert found.exit_code == 1
    assert said in found.stderr


async def test_an_account_of_a_file_is_checked_without_a_gateway(file):
    async with line_platform() as (platform, put):
        put()
        table = f"""
[[clients.acme.accounts]]
id = "acme-line"
channel = "line"
api_base = "{platform.url}"
channel_access_token = "t"
channel_secret = "s"
"""
        file.write_text(FILE + table, "utf-8")
        found = await typed("account", "check", "acme-line", "--config", file)
        assert found.exit_code == 1
        (line,) = [line for line in found.stdout.splitlines() if "✗ public_url_unreachable" in line]
        assert " → start the gateway" in line
        as_json = await typed("account", "check", "--config", file, "--json")
        assert [one["account"] for one in json.loads(as_json.stdout)] == ["acme-line"]
        nobody = await typed("account", "check", "nobody", "--config", file)
        assert (nobody.exit_code, nobody.stderr) == (1, f"{file} has no account «nobody»\n")


async def test_accounts_of_a_gateway_are_reconnected_checked_and_waited_for(tmp_path):
    async with gateway_with(tmp_path) as (gateway, parts):
        where = {"KURIR_URL": gateway.url, "KURIR_ADMIN_TOKEN": TOKEN}
        found = await typed("account", "reconnect", "demo-tg", "--replace", env=where)
        assert found.exit_code == 0, found.output
        assert f"✓ the webhook is set to {gateway.url}/webhooks/demo-tg" in found.stdout
        checked = await typed("account", "check", "demo-tg", env=where)
        assert checked.exit_code == 0
        assert checked.stdout.startswith("✓ demo-tg  telegram  @demo_shop_bot")
        late = await typed("account", "reconnect", "demo-tg", "--wait", "1", env=where)
        assert late.exit_code == 1
        assert "no webhook came within 1 s" in late.stderr
        parts.heard.note("demo-tg", gateway.gateway.clock.now())
        green = await typed("account", "reconnect", "demo-tg", "--wait", "5", env=where)
        assert green.exit_code == 0
        assert "✓ demo-tg is connected: its platform called at " in green.stderr
        nobody = await typed("account", "check", "nobody", env=where)
        assert (nobody.exit_code, nobody.stderr) == (
            1,
            "there is no account «nobody»; «kurir account list» lists them\n",
        )


async def test_templates_are_read_listed_and_shown(tmp_path):
    path = "GET /v26.0/102290129340398/message_templates"
    async with answering(
        {path: (200, {"data": [template("order_update"), template("promo", "REJECTED")]})}
    ) as platform:

        def edit(document):
            document["clients"]["demo"]["accounts"][0]["api_base"] = platform.url

        async with gateway_with(tmp_path, edit) as (gateway, _):
            where = {"KURIR_URL": gateway.url, "KURIR_ADMIN_TOKEN": TOKEN}
            empty = await typed("template", "list", "demo-wa", env=where)
            assert "«kurir template sync demo-wa» reads them" in empty.stdout
            synced = await typed("template", "sync", "demo-wa", env=where)
            assert synced.stdout == "2 templates, 1 of them APPROVED\n"
            listed = await typed("template", "list", "demo-wa", env=where)
            assert "order_update" in listed.stdout
            assert "REJECTED" in listed.stdout
            shown = await typed("template", "show", "demo-wa", "order_update", env=where)
            assert shown.stdout == "order_update  en_US  APPROVED  UTILITY\n  body: Hi {{1}}\n"
            none = await typed("template", "show", "demo-wa", "nothing", env=where)
            assert none.exit_code == 1
            refused = await typed("template", "sync", "demo-tg", env=where)
            assert "templates are WhatsApp's" in refused.stderr
