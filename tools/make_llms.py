"""Writes ``docs/llms.txt``: what the documentation has, for programs that read it. ``--check`` only says whether it is stale.

The form is that of llmstxt.org: a title, a summary, and lists of links with a line on each. Pages and their order are those
of ``mkdocs.yml``, the line is the first sentence of the page. As a hook of MkDocs it puts ``llms-full.txt`` beside it: all
pages in one.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
TARGET: Final = DOCS / "llms.txt"
LONGEST: Final = 220

SUMMARY: Final = (
    "> One REST API that sends chat messages over WhatsApp, Telegram, LINE and Facebook Messenger, and posts back what\n"
    "> people answer. Self-hosted, one process, one file of data. All pages in one file: [llms-full.txt](llms-full.txt).\n"
)


class _Loader(yaml.SafeLoader):
    """Reads ``mkdocs.yml``, whatever tags it has."""


_Loader.add_multi_constructor("", lambda *_: None)


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the sections of the navigation, each with its pages: a title and a path."""
    settings = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader=_Loader)  # noqa: S506 - it is a SafeLoader
    alone: list[tuple[str, str]] = []
    for entry in settings["nav"]:
        for title, inner in entry.items():
            if isinstance(inner, str):
                alone.append((title, inner))
            else:
                yield title, [_page(one) for one in inner]
    yield "More", alone


def _page(entry: str | Mapping[str, str]) -> tuple[str, str]:
    if isinstance(entry, str):
        return _title(entry), entry
    [(title, path)] = entry.items()
    return title, path


def _title(path: str) -> str:
    return (DOCS / path).read_text("utf-8").partition("# ")[2].partition("\n")[0]


def first_sentence(page: str) -> str:
    """Return the first sentence below the title of *page*, without its links."""
    body = re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL).partition("# ")[2].partition("\n")[2]
    body = re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    blocks = (block.strip() for block in body.split("\n\n"))
    text = next((one for one in blocks if one and one[0] not in "#|!-<>"), "")
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split())).replace("**", "")
    sentence = re.split(r"(?<=[.:?])\s", text, maxsplit=1)[0].rstrip(":")
    return sentence if len(sentence) <= LONGEST else sentence[:LONGEST].rpartition(" ")[0] + " …"


def make() -> str:
    """Return the file."""
    lines = ["# kurir", "", SUMMARY]
    for title, pages in sections():
        lines += [f"## {title}", ""]
        for name, path in pages:
            said = first_sentence((DOCS / path).read_text("utf-8"))
            lines.append(f"- [{name}]({path.removesuffix('.md')}.html){': ' + said if said else ''}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def make_full() -> str:
    """Return all pages in one, in the order of the navigation, each after its path."""
    paths = [path for _, pages in sections() for _, path in pages]
    return "\n\n".join(f"<!-- {path} -->\n\n{(DOCS / path).read_text('utf-8').strip()}" for path in paths) + "\n"


def on_post_build(config: Mapping[str, Any], **_: Any) -> None:
    """Put all pages in one file into the site that MkDocs built."""
    Path(config["site_dir"], "llms-full.txt").write_text(make_full(), "utf-8")


def main() -> int:
    """Write the file where it is stale, or only say so."""
    wanted = make()
    if TARGET.exists() and TARGET.read_text("utf-8") == wanted:
        return 0
    print(TARGET.name)
    if "--check" in sys.argv[1:]:
        return 1
    TARGET.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
