"""The commands of the documentation as scripts: what stands in the shell blocks of a page, in its order, in one shell.

What stands in a ``text`` block after a prompt («$ ») is a command too. A block runs unless the line before it is a comment,
which does not show on the page:

    <!-- not run: why -->      the block is passed over
    <!-- runs on -->           the block does not end by itself: it has to say something, and still run when the page ends
    <!-- runs on: wait -->     the same, and what comes after it waits until it has said something
    <!-- ends with 1 -->       its last command ends so
    <!-- file: people.csv -->  the block, of any language, is written to this file

Ports that a page names are others in a run, since the machine may have taken them. ``curl`` fails where the answer is an
error, and ``python`` is the one that runs the tests.
"""

import re
import shutil
import socket
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<how>not run|runs on|file|ends with)(?::? (?P<word>[^\n]*?))? -->\n)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_PORT = re.compile(r"(?<=127\.0\.0\.1:)(\d{4})\b|(?<=localhost:)(\d{4})\b|(?<=--port )(\d{4})\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, how it is marked ("" for not at all), the mark's word, its text and its line."""

    language: str
    how: str
    word: str
    text: str
    line: int

    @property
    def commands(self) -> str:
        """Return the commands in it: all of a shell block, of a transcript what stands after its prompts."""
        if self.language == "sh":
            return self.text
        prompted = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n" for line in prompted) if self.language == "text" else ""


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text"))
        yield Block(found["language"], found["how"] or "", found["word"] or "", textwrap.dedent(found["text"]), line)


def is_run(block: Block) -> bool:
    """Return whether the test does something with *block*."""
    return block.how == "file" or (bool(block.commands) and block.how != "not run")


def script(page: str, ports: dict[str, str]) -> str:
    """Return the page's commands as one script of bash. *ports* maps the page's ports to those of this run, and grows."""
    lines = ["set -e -o pipefail"]
    going = []
    for block in blocks(page):
        if not is_run(block):
            continue
        text = block.text if block.how == "file" else block.commands
        text = _PORT.sub(lambda found: _port(found[0], ports), text)
        lines.append(f"echo '--- line {block.line}' >&2")
        if block.how == "file":
            lines.append(f"cat > {block.word} <<'END_OF_FILE'\n{text}END_OF_FILE")
        elif block.how == "runs on":
            going.append(block.line)
            lines.append(f"{{\n{text}\n}} > out-{block.line} 2>&1 &\njob_{block.line}=$!")
            if block.word == "wait":
                lines.append(_said(block.line))
        elif block.how == "ends with":
            lines.append(f"set +e\n{text}\ncode=$?\nset -e\n[ $code = {block.word} ]")
        else:
            lines.append(text)
    lines += [f"echo '--- still running: line {line}' >&2\n{_said(line)}\nkill -0 $job_{line}" for line in going]
    return "\n".join(lines)


def _said(line: int) -> str:
    """Return what waits until the block of *line* has said something."""
    return (
        f"for _ in $(seq 600); do [ ! -s out-{line} ] && kill -0 $job_{line} && sleep 0.05; done 2> kill-said || true\n"
        f"[ -s out-{line} ] || {{ echo 'it says nothing' >&2; exit 1; }}"
    )


def _port(number: str, ports: dict[str, str]) -> str:
    if number not in ports:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports[number] = str(free.getsockname()[1])
    return ports[number]


def tools(folder: Path) -> Path:
    """Make the commands that the pages call, as a virtual environment in *folder*; return where they are."""
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    python = f"#!/bin/sh\nexec '{sys.executable}'"
    for name, text in {
        "kurir": f'{python} -m kurir "$@"\n',
        "python": f'{python} "$@"\n',
        "pip": f'{python} -m pip --disable-pip-version-check "$@"\n',
        "curl": f'#!/bin/sh\nexec {shutil.which("curl")} --fail-with-body --max-time 30 "$@"\n',
    }.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    return bin_


def environment(bin_: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a page's shell: nothing of the tester's own settings."""
    path = f"{bin_}:/usr/local/bin:/usr/bin:/bin"
    source = ":".join([str(bin_.parent.parent / "site"), *(one for one in sys.path if one)])
    return {"PATH": path, "PYTHONPATH": source, "LANG": "C.UTF-8", "HOME": str(bin_.parent.parent), **more}
