"""``kurir client``, and ``kurir account add``, ``change``, ``disable``, ``enable``, against a gateway that runs."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import structlog.testing
from typer.testing import CliRunner

from kurir.cli.app import app
from support.servers import running

TOKEN = "an administrator's token"


def with_token(document: dict[str, Any]) -> None:
    document["admin_token"] = TOKEN


class Shell:
    """A terminal beside a gateway. No word of a command is asked for: there is nobody to answer."""

    def __init__(self, gateway: Any, folder: Any) -> None:
        self.gateway, self.folder = gateway, folder
        self.bot = gateway.sandbox.sandbox.config.telegram
        (folder / "bot-token").write_text(self.bot.token + "\n", "utf-8")

    async def run(self, *words: str, code: int = 0, given: str = "", **environment: str) -> str:
        where = {"COLUMNS": "200", "NO_COLOR": "1", "KURIR_URL": self.gateway.url, "KURIR_ADMIN_TOKEN": TOKEN}
        async with asyncio.timeout(30):
            found = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=where | environment, input=given)
        assert found.exit_code == code, found.output
        return found.output

    async def add(self, *words: str, **more: Any) -> str:
        base = f"api_base={self.gateway.sandbox.url}/telegram"
        return await self.run("account", "add", "telegram", "--client", "demo", "--set", base, *words, **more)


@asynccontextmanager
async def shell(tmp_path):
    with structlog.testing.capture_logs():
        async with running(tmp_path, edit=with_token) as gateway:
            yield Shell(gateway, tmp_path)


async def test_an_account_is_added_from_a_file_changed_and_switched_off_and_on(tmp_path):
    async with shell(tmp_path) as at:
        said = await at.add("--id", "second-bot", "--set", f"token=@{tmp_path / 'bot-token'}")
        assert said == "second-bot, a telegram account of demo, is there now: working\n"
        said = await at.run("account", "change", "second-bot", "--set", "rate.account=5/s", "--set", "concurrency=3")
        assert said == "second-bot, a telegram account of demo, is changed: working\n"
        described = await at.gateway.gateway.app.state.administration.accounts.find("second-bot")
        account = at.gateway.gateway.app.state.administration.accounts.opened(described)
        assert (account.settings.token, account.concurrency, account.rates["account"].count) == (at.bot.token, 3, 5)
        assert account.settings.secret_token, "one was made"
        assert "disabled" in await at.run("account", "disable", "second-bot")
        assert "working" in await at.run("account", "enable", "second-bot")


async def test_a_secret_comes_from_standard_input_or_a_variable_and_is_warned_of_on_the_command_line(tmp_path):
    async with shell(tmp_path) as at:
        said = await at.add("--id", "piped", "--set", "token=-", given=at.bot.token + "\n")
        assert "warning" not in said
        await at.add("--id", "named", KURIR_CONNECT_TOKEN=at.bot.token)
        assert "token is on the command line" in await at.add("--id", "plain", "--set", f"token={at.bot.token}")
        accounts = at.gateway.gateway.app.state.administration.accounts
        for name in ("piped", "named", "plain"):
            assert accounts.opened(await accounts.find(name)).settings.token == at.bot.token


async def test_what_is_wrong_with_an_account_is_said_and_nothing_is_made(tmp_path):
    async with shell(tmp_path) as at:
        assert 'did you mean "token"?' in await at.add("--set", "tokn=x", code=1)
        assert "settings.token is missing" in await at.add(code=1)
        assert "expected KEY=VALUE" in await at.add("--set", "token", code=1)
        assert "concurrency: expected an integer" in await at.add("--set", "concurrency=many", code=1)
        assert "configured_in_file" in await at.run("account", "disable", "demo-tg", code=1)
        assert "there is no channel" in await at.run("account", "add", "pigeon", "--client", "demo", code=1)
        assert "nothing is changed" in await at.run("account", "change", "demo-tg", code=1)
        assert len(await at.gateway.gateway.store.accounts()) == 4


async def test_a_client_is_added_listed_changed_rotated_and_switched_off(tmp_path):
    async with shell(tmp_path) as at:
        added = await at.run("client", "add", "shop", "--default-region", "ID", "--allow-from", "203.0.113.0/24")
        assert "password kurir_pw_" in added
        assert "let in from 203.0.113.0/24" in added
        listed = await at.run("client", "list")
        assert [line.split()[:4] for line in listed.splitlines()[1:]] == [
            ["demo", "demo", "enabled", "file"],
            ["shop", "shop", "enabled", "database"],
        ]
        assert "let in from" not in await at.run("client", "change", "shop", "--allow-from", "")
        rotated = await at.run("client", "rotate", "shop", "--overlap", "1h")
        assert "The password before lets in until" in rotated
        assert "password kurir_pw_" in rotated
        assert "lets in until" not in await at.run("client", "rotate", "shop", "--overlap", "0s")
        assert "disabled" in await at.run("client", "disable", "shop")
        assert "enabled" in await at.run("client", "enable", "shop")
        assert "there is no client" in await at.run("client", "disable", "nobody", code=1)
        assert "nothing is changed" in await at.run("client", "change", "shop", code=1)
