"""The link that the first start prints: once of many processes, for the first owner alone."""

import re

import aiohttp

from kurir.cli import serve
from kurir.clock import FakeClock
from support.servers import running


async def greeted(gateway, capsys) -> str:
    """Return what a start prints of the console."""
    await serve._greet(gateway.gateway)
    return str(capsys.readouterr().err)


async def test_the_first_start_prints_a_link_that_lets_the_owner_in_and_others_nothing(tmp_path, capsys):
    async with running(tmp_path) as gateway:
        clock = gateway.gateway.clock = FakeClock()
        said = await greeted(gateway, capsys)
        token = re.search(r"/console/enter\?token=(\S+)", said)
        assert token is not None
        assert said.startswith("open the console (once, within a day): http")
        assert await greeted(gateway, capsys) == "", "another process of the same start prints no second link"
        clock.move(serve._TOGETHER.total_seconds() + 1)
        assert "/console/enter?token=" in await greeted(gateway, capsys), "a later start does: the first may be lost"
        form, headers = {"token": token.group(1)}, {"Origin": gateway.url}
        async with (
            aiohttp.ClientSession() as browser,
            browser.post(f"{gateway.url}/console/enter", data=form, headers=headers, allow_redirects=False) as answer,
        ):
            assert answer.status == 303
        clock.move(3600)
        assert await greeted(gateway, capsys) == "", "there is an owner now"


async def test_a_worker_has_no_console_and_prints_no_link(tmp_path, capsys):
    async with running(tmp_path) as gateway:
        object.__setattr__(gateway.gateway.configuration.settings, "role", "worker")
        assert await greeted(gateway, capsys) == ""
