"""Code to copy, run as it stands against a gateway, in each language that this machine has."""

import asyncio
import html
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from support.bodies import body
from support.console import signed_in, text
from support.servers import PASSWORD, Running, running

#: What ends a string somewhere, and languages of four scripts.
TEXT = 'it\'s "quoted" `code` $(id) ${x} \\n END_OF_MESSAGE สวัสดี 日本語 👩‍👩‍👧 <b>&amp;'
COMMANDS = {
    "curl": ["sh", "send.sh"],
    "python": [sys.executable, "send.py"],
    "javascript": ["node", "send.mjs"],
    "php": ["php", "send.php"],
    "go": ["go", "run", "main.go"],
}


async def code_of(made: Running, tid: str, language: str) -> tuple[str, str]:
    """Return (file, code) that the message's page shows for the language."""
    async with signed_in(made) as session:
        page = await text(session, f"/console/messages/{tid}?tab=copy&as={language}")
    pattern = rf'<pre tabindex="0" aria-label="([^"]+)" data-language="{language}"><code>(.*?)</code>'
    found = re.search(pattern, page, re.DOTALL)
    assert found is not None
    return found.group(1), html.unescape(found.group(2))


#: What every machine has that runs the tests; the others where they are. Go's libraries take two minutes to compile where it
#: was never used, so that its code runs in the long tier, and is parsed in the short one.
LONG = {"go"} if os.environ.get("KURIR_TIER") != "N" else set()
HERE = [one for one in COMMANDS if one in ("curl", "python") or (shutil.which(COMMANDS[one][0]) and one not in LONG)]


@pytest.mark.parametrize("language", HERE)
async def test_the_code_sends_the_same_message_anew(tmp_path: Path, language: str):
    command = COMMANDS[language]
    async with running(tmp_path) as made:
        asked = body("button")
        asked["body"] = {"text": TEXT, "button": [{"key": TEXT, "title": "Yes"}]}
        status, _, answer = await made.send("telegram", asked)
        assert status == 200, answer
        name, code = await code_of(made, answer["data"]["tid"], language)
        assert name == command[-1]
        (tmp_path / name).write_text(code.replace("http://127.0.0.1:1", made.url), "utf-8")
        environment = os.environ | {"KURIR_USERNAME": "demo", "KURIR_PASSWORD": PASSWORD}
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, output.decode()
        found = (await (await made.session.get(f"{made.url}/v1/messages")).json())["data"]
        assert len(found) == 2, output.decode()
        said = [json.loads(one) for one in (await made.gateway.store.snippets([1, 2])).values()]
        assert said[0].pop("id") != said[1].pop("id")
        assert said[0] == said[1]
        assert said[0]["text"] == TEXT


async def test_the_code_for_go_is_go(tmp_path: Path):
    async with running(tmp_path) as made:
        asked = body()
        asked["body"] = {"text": TEXT}
        status, _, answer = await made.send("telegram", asked)
        assert status == 200, answer
        name, code = await code_of(made, answer["data"]["tid"], "go")
    assert "package main" in code
    assert "สวัสดี 日本語" in code
    if shutil.which("gofmt"):
        (tmp_path / name).write_text(code, "utf-8")
        process = await asyncio.create_subprocess_exec(
            "gofmt", "-e", str(tmp_path / name), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
