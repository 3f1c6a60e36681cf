"""The documentation against the code: what there is is described, what is generated is fresh, examples are accepted."""

import ast
import base64
import importlib.util
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from fastapi import APIRouter

from kurir.callbacks import ladder, signing
from kurir.channels import BUILT_IN
from kurir.cli.app import app
from kurir.client import Event, verify
from kurir.domain import errors
from kurir.domain import message as messages
from kurir.http import (
    admin,
    admin_accounts,
    callbacks,
    clients,
    connect,
    console_links,
    contacts,
    doctoring,
    events,
    media,
    metrics,
    native,
    nodes,
    operations,
    quarantine,
    send,
    webhooks,
)
from kurir.intake import wire
from kurir.settings import SETTINGS
from kurir.store.feed import KINDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PACKAGE = ROOT / "src" / "kurir"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])

#: Losses that only a preview reports, under the code of the error that a send would end with.
OF_PREVIEW = {"recipient_not_linked", "recipient_ambiguous", "recipient_blocked", "window_closed"}


def read(*path: str) -> str:
    return DOCS.joinpath(*path).read_text("utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what there is is described -----------------------------------------------------------------------------------------


def test_generated_pages_are_fresh() -> None:
    assert load_tool("make_reference").stale() == [], "run: python tools/make_reference.py"


def test_the_list_of_pages_for_programs_is_fresh() -> None:
    tool = load_tool("make_llms")
    made, whole = tool.make(), tool.make_full()
    assert tool.TARGET.read_text("utf-8") == made, "run: python tools/make_llms.py"
    links = re.findall(r"\]\(([^)]+)\.html\)", made)
    assert sorted(f"{link}.md" for link in links) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert all(path.read_text("utf-8").strip() in whole for path in DOCS.rglob("*.md"))


def test_every_error_code_is_described() -> None:
    explained, _, platforms = read("reference", "errors.md").partition("## Platform codes")
    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", explained, re.MULTILINE)
    assert sorted(rows) == sorted(errors.ERRORS), "each code in one table, once"
    assert all(one.title and one.cause and one.fix for one in errors.ERRORS.values())
    of_platforms = {ours for channel in BUILT_IN.values() for _, ours in channel.PLATFORM_CODES}
    assert set(re.findall(r"^\| `([a-z0-9_]+)` \|", platforms, re.MULTILINE)) == of_platforms


#: What says a code as a literal: as its first argument, or as its second.
SAYING = re.compile(
    r"\b(?:(?:RequestFailed|Retry|AccountDown|Unknown|ErrorRecord)\(|(?:Problem|Rejected)\([^,()]+,)\s*\"([a-z_]+)\""
)


def test_every_code_that_the_code_says_is_in_the_registry() -> None:
    said = {one for path in (ROOT / "src" / "kurir").rglob("*.py") for one in SAYING.findall(path.read_text("utf-8"))}
    assert len(said) > 40
    assert said <= set(errors.ERRORS)


def test_every_setting_is_described() -> None:
    page = read("reference", "configuration.md")
    for setting in SETTINGS:
        assert f"| `{setting.name}` | `{setting.variable}` |" in page
        assert not setting.flag or f"`{setting.flag}`" in page


def verbs(command: Any, path: tuple[str, ...] = ("kurir",)) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    if getattr(command, "invoke_without_command", False) and len(path) > 1:
        yield " ".join(path), command
    for name, one in inner.items():
        yield from verbs(one, (*path, name))


def section_of(page: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section «{title}»"
    return found.group(1)


@pytest.mark.parametrize(("verb", "command"), list(verbs(typer.main.get_command(app))))
def test_every_verb_and_option_is_described(verb: str, command: Any) -> None:
    section = section_of(read("reference", "command-line.md"), verb)
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    described = set(re.findall(r"`(--[a-z-]+)`", "\n".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))))
    assert described == options - {"--help"}


def test_every_option_of_the_root_is_described() -> None:
    page = read("reference", "command-line.md")
    for option in typer.main.get_command(app).params:
        for name in option.opts:
            assert name in page


MODULES = (
    send,
    native,
    contacts,
    events,
    admin,
    admin_accounts,
    clients,
    nodes,
    doctoring,
    console_links,
    connect,
    callbacks,
    quarantine,
    webhooks,
    media,
    operations,
    metrics,
)


def routes() -> Iterator[tuple[str, str]]:
    """Yield the method and path of each route of the modules, of all the routers that they have."""
    for module in MODULES:
        routers = [one for one in vars(module).values() if isinstance(one, APIRouter)]
        assert routers, f"{module.__name__} has no routes"
        for router in routers:
            for route in router.routes:
                yield from ((method, route.path) for method in route.methods - {"HEAD"})


def bare(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", text)


def test_every_module_of_routes_is_looked_at() -> None:
    found = {path.stem for path in (PACKAGE / "http").glob("*.py") if "APIRouter(" in path.read_text("utf-8")}
    assert found == {module.__name__.rpartition(".")[2] for module in MODULES}


@pytest.mark.parametrize(("method", "path"), sorted(routes()))
def test_every_route_is_described(method: str, path: str) -> None:
    assert f"`{method} {bare(path)}`" in bare(read("reference", "api.md"))


def test_no_route_is_described_that_is_not_there() -> None:
    described = set(re.findall(r"`(GET|PUT|POST|PATCH|DELETE) (/[^`?]*)`", bare(read("reference", "api.md"))))
    there = {(method, bare(path)) for method, path in routes()} | {("GET", "/openapi.json")}
    assert described <= there


# --- callbacks ----------------------------------------------------------------------------------------------------------


def example_blocks() -> list[Any]:
    return [json.loads(block) for block in fenced(read("reference", "callbacks.md"), "json")]


def test_every_kind_of_event_has_an_example_in_its_dialects() -> None:
    standard = [block for block in example_blocks() if "type" in block]
    assert [block["type"] for block in standard] == list(KINDS)
    compat = [block for block in example_blocks() if "type" not in block]
    assert {"status" in block for block in compat} == {True, False}
    assert any(block.get("message", {}).get("postback") for block in compat)


def test_the_examples_of_callbacks_are_read_by_our_own_client() -> None:
    for block in example_blocks():
        secret = "whsec_" + base64.b64encode(b"a secret of this test only").decode()
        body = json.dumps(block).encode()
        at = datetime(2026, 11, 22, tzinfo=UTC)
        headers = signing.headers("evt_docs_1", at, body, [secret])
        event = verify(headers, body, secret, now=at.timestamp())
        assert type(event) is not Event, f"{event.type} is a plain event for the client"


def test_the_ladder_in_the_docs_is_the_one_in_the_code() -> None:
    page = read("explanation", "callbacks.md")
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \| ([^|]*) \|$", section_of(page, "The ladder"), re.MULTILINE)
    waits = [said(seconds) for seconds in ladder.WAITS]
    sums = [said(sum(ladder.WAITS[: number + 1])) for number in range(len(ladder.WAITS))]
    expected = [(str(number), *pair) for number, pair in enumerate(zip(waits, sums, strict=True), 1)]
    assert rows == [*expected, (str(ladder.LAST_STEP), "–", "paused")]


def said(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    found = [(hours, "h"), (minutes, "min"), (left, "s")]
    return " ".join(f"{number} {unit}" for number, unit in found if number)


def test_every_message_type_has_an_example() -> None:
    page = read("how-to", "send-each-type.md")
    shown = set(re.findall(r'"type": "([a-z]+)"', page))
    assert set(messages.MessageType) - {"template"} <= shown


# --- losses -------------------------------------------------------------------------------------------------------------


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class _Losses(ast.NodeVisitor):
    """Collects the kinds that a module gives to ``Loss`` and ``lose``, also those that pass through a parameter."""

    def __init__(self, tree: ast.Module) -> None:
        self.kinds: set[str] = set()
        self.tree = tree
        self.function: ast.FunctionDef | None = None
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self.function = self.function, node
        self.generic_visit(node)
        self.function = outer

    def visit_Call(self, node: ast.Call) -> None:
        if _called(node) in ("Loss", "lose") and len(node.args) == 3:
            self.kinds |= self.values(node.args[1], self.function)
        self.generic_visit(node)

    def values(self, node: ast.expr, function: ast.FunctionDef | None) -> set[str]:
        if isinstance(node, ast.Constant):
            return {str(node.value)}
        if isinstance(node, ast.JoinedStr):
            texts = {""}
            for piece in node.values:
                inner = piece.value if isinstance(piece, ast.FormattedValue) else piece
                texts = {text + more for text in texts for more in self.values(inner, function)}
            return texts
        if isinstance(node, ast.Name) and function is not None and function.name not in ("lose", "__init__"):
            return self.assigned(node.id, function) or self.given(node.id, function)
        return set()

    def assigned(self, name: str, function: ast.FunctionDef) -> set[str]:
        """Return what *function* itself assigns to *name*."""
        found: set[str] = set()
        for one in ast.walk(function):
            if not isinstance(one, ast.Assign) or not isinstance(one.targets[0], ast.Tuple):
                continue
            names = [getattr(target, "id", "") for target in one.targets[0].elts]
            if name in names and isinstance(one.value, ast.Tuple):
                value = one.value.elts[names.index(name)]
                found |= {value.value} if isinstance(value, ast.Constant) and isinstance(value.value, str) else set()
        return found

    def given(self, name: str, function: ast.FunctionDef) -> set[str]:
        """Return what the module's calls of *function* give for its parameter *name*."""
        parameters = [one.arg for one in function.args.args if one.arg != "self"]
        if name not in parameters:
            return set()
        place = parameters.index(name)
        found: set[str] = set()
        for one in ast.walk(self.tree):
            if isinstance(one, ast.Call) and _called(one) == function.name and len(one.args) > place:
                found |= self.values(one.args[place], None)
        return found


def losses_in(*names: str) -> set[str]:
    kinds: set[str] = set()
    for name in names:
        for path in PACKAGE.glob(name):
            kinds |= _Losses(ast.parse(path.read_text("utf-8"))).kinds
    return kinds


def test_every_loss_is_described_with_its_channels() -> None:
    by_kind: dict[str, set[str]] = defaultdict(set)
    for name in BUILT_IN:
        for kind in losses_in(f"channels/{name}/*.py"):
            by_kind[kind].add(name)
    everywhere = losses_in("intake/wire.py") | OF_PREVIEW
    common, _, own = read("reference", "losses.md").partition("## By channel")
    first = set(re.findall(r"^\| `([a-z_]+)` \|", common, re.MULTILINE))
    rows = {
        kind: set(names.split(", "))
        for kind, names in re.findall(r"^\| `([a-z_]+)` \| ([a-z, ]+) \|", own, re.MULTILINE)
    }
    assert first == everywhere | {kind for kind, names in by_kind.items() if names == set(BUILT_IN) and kind in first}
    assert rows == {kind: names for kind, names in by_kind.items() if kind not in first}


# --- examples -----------------------------------------------------------------------------------------------------------


def fenced(page: str, language: str) -> list[str]:
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def values_in(text: str) -> Iterator[Any]:
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_json_in_the_docs_is_json(path: Path) -> None:
    for block in fenced(path.read_text("utf-8"), "json"):
        assert list(values_in(block))


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in PAGES:
        for block in fenced(path.read_text("utf-8"), "sh"):
            for text in re.findall(r"'(\{.*?\})'", block, re.DOTALL):
                value = json.loads(text)
                if "recipient" in value:
                    yield name_of(path), value


@pytest.mark.parametrize("channel", BUILT_IN)
def test_every_message_in_the_docs_is_accepted_on_every_channel(channel: str) -> None:
    shown = list(bodies())
    assert len(shown) > 10
    for where, body in shown:
        message = wire.decode(body, channel)
        assert isinstance(message, messages.Message), f"{where}: {message}"
        assert BUILT_IN[channel].problems(message) == [], where


# --- links and places ---------------------------------------------------------------------------------------------------

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    plain = (re.sub(r"[`*]", "", title).lower() for title in titles)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_stay_in_the_repository_and_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(path.read_text("utf-8")):
        assert "://" not in link, f"{link} leads to another host"
        target, _, anchor = link.partition("#")
        page = path.parent / target if target else path
        assert page.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(page.read_text("utf-8")), f"{link}: there is no such heading"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_test_that_a_page_names_is_there(path: Path) -> None:
    for file, _, name in re.findall(r"`(tests/[a-z_/]+\.py)(::([a-z0-9_]+))?`", path.read_text("utf-8")):
        assert (ROOT / file).exists(), f"{file} is not there"
        assert not name or re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), name


def test_every_threat_has_its_tests_or_says_that_it_has_none() -> None:
    page = read("explanation", "security-model.md")
    threats = re.findall(r"^\| (\d+) \|(.*)\|$", section_of(page, "Threats"), re.MULTILINE)
    shown = dict(re.findall(r"^\| (\d+) \|(.*)\|$", section_of(page, "The tests that show it"), re.MULTILINE))
    assert [int(number) for number, _ in threats] == list(range(1, len(threats) + 1))
    assert list(shown) == [number for number, _ in threats]
    for number, row in threats:
        *_, holds, not_covered = (cell.strip() for cell in row.split("|"))
        assert holds, number
        assert "`tests/" in shown[number] or (shown[number].strip() == "none" and not_covered != "–"), number


def test_the_site_loads_nothing_from_another_host() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "://" not in settings
    assert re.search(r"^  font: false$", settings, re.MULTILINE)


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in DOCS.rglob("*.md"):
        assert str(path.relative_to(DOCS)) in settings


def test_the_number_of_locked_packages_is_the_one_in_the_decision() -> None:
    locked = re.findall(r"^[a-z0-9_.-]+==", (ROOT / "requirements" / "run.txt").read_text("utf-8"), re.MULTILINE)
    assert f"{len(locked)} packages" in read("decisions", "0004-libraries.md")


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    places = re.compile("|".join(f"/{name}/" for name in ("work", "root", "home", "Users")))
    folders = ("src", "tests", "docs", "tools", "bench", "deploy", "examples", "requirements", ".ci")
    kinds = {".py", ".md", ".toml", ".json", ".sh", ".txt", ".in", ".yml", ".html", ".js", ".css", ".sql", ""}
    files = [path for name in folders for path in (ROOT / name).rglob("*")] + list(ROOT.iterdir())
    for path in files:
        if not path.is_file() or path.suffix not in kinds or "__pycache__" in path.parts or path.name == ".git":
            continue
        if path.name == "swagger-ui-bundle.js":
            continue
        found = places.search(path.read_text("utf-8", errors="ignore"))
        assert found is None, f"{name_of(path)} names {found and found.group()}"
