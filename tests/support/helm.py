"""As much of Helm's template language as the chart in ``deploy/helm`` uses, so that a test can render it without Helm.

Known are text, ``define`` and ``include``, ``if``, ``not`` and ``else``, values by their path, and the functions of
:data:`_FUNCTIONS`. Whatever else a template has is an error: then the chart wants a real Helm in its tests.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_ACTION = re.compile(r"(\{\{-?)\s*(.*?)\s*(-?\}\})", re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\||[^\s|]+')

Node = tuple[str, Any, Any, Any]


class Refused(Exception):
    """The chart refuses these values (``required``)."""


def render(folder: Path, values: Mapping[str, Any], release: str = "chat") -> list[dict[str, Any]]:
    """Return the manifests of the chart in *folder* with its own values and *values* over them."""
    merged = _merged(yaml.safe_load(folder.joinpath("values.yaml").read_text("utf-8")), values)
    chart = yaml.safe_load(folder.joinpath("Chart.yaml").read_text("utf-8"))
    about = {"Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"]}
    chart_of = _Chart({"Values": merged, "Release": {"Name": release}, "Chart": about})
    files = sorted(folder.joinpath("templates").iterdir())
    trees = {file.name: chart_of.parse(file.read_text("utf-8")) for file in files}
    found = []
    for name, tree in trees.items():
        text = chart_of.text(tree)
        if not name.startswith("_"):
            found += [one for one in yaml.safe_load_all(text) if one]
    return found


def _merged(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, Mapping):
        return {
            name: _merged(under.get(name), over[name]) if name in over else under[name] for name in {**under, **over}
        }
    return over


class _Chart:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._defined: dict[str, list[Node]] = {}

    # --- reading -----------------------------------------------------------------------------------------------------

    def parse(self, text: str) -> list[Node]:
        pieces = self._pieces(text)
        tree, ended = self._block(pieces)
        assert ended == "", f"{ended} without a beginning"
        return tree

    @staticmethod
    def _pieces(text: str) -> Iterator[tuple[str, str]]:
        at, trim = 0, False
        for action in _ACTION.finditer(text):
            before = text[at : action.start()]
            before = before.lstrip() if trim else before
            yield "text", before.rstrip() if action[1].endswith("-") else before
            yield "action", action[2]
            at, trim = action.end(), action[3].startswith("-")
        rest = text[at:]
        yield "text", rest.lstrip() if trim else rest

    def _block(self, pieces: Iterator[tuple[str, str]]) -> tuple[list[Node], str]:
        """Return the nodes up to ``end`` or ``else``, and which of them ended it."""
        tree: list[Node] = []
        for kind, piece in pieces:
            word, _, rest = piece.partition(" ")
            if kind == "text":
                tree.append(("text", piece, None, None))
            elif word in ("end", "else"):
                assert not rest, f"not known: {piece}"
                return tree, word
            elif word == "define":
                self._defined[rest.strip('"')], _ = self._block(pieces)
            elif word == "if":
                then, ended = self._block(pieces)
                otherwise = self._block(pieces)[0] if ended == "else" else []
                tree.append(("if", rest, then, otherwise))
            else:
                tree.append(("value", piece, None, None))
        return tree, ""

    # --- writing -----------------------------------------------------------------------------------------------------

    def text(self, tree: list[Node]) -> str:
        found = []
        for kind, what, then, otherwise in tree:
            if kind == "text":
                found.append(what)
            elif kind == "if":
                found.append(self.text(then if self._value(what) else otherwise))
            else:
                value = self._value(what)
                found.append(str(value).lower() if isinstance(value, bool) else str(value))
        return "".join(found)

    def _value(self, expression: str) -> Any:
        calls: list[list[str]] = [[]]
        for word in _WORD.findall(expression):
            if word == "|":
                calls.append([])
            else:
                calls[-1].append(word)
        piped: list[Any] = []
        for name, *words in calls:
            arguments = [self._word(word) for word in words] + piped
            piped = [self._call(name, arguments) if name in _FUNCTIONS or name == "include" else self._word(name)]
        return piped[0]

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name == "include":
            return self.text(self._defined[arguments[0]])
        return _FUNCTIONS[name](*arguments)

    def _word(self, word: str) -> Any:
        if word.startswith('"'):
            return yaml.safe_load(word)
        if word.lstrip("-").isdigit():
            return int(word)
        assert word.startswith("."), f"not known: {word}"
        value: Any = self._root
        for step in word.strip(".").split(".") if word != "." else ():
            value = value[step]  # a typing error in a template is an error here, where Helm would write nothing
        return value


def _quote(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _indented(spaces: int, value: str) -> str:
    return "".join(f"\n{' ' * spaces}{line}" if line else "\n" for line in value.split("\n"))


def _required(sentence: str, value: Any) -> Any:
    if value in (None, ""):
        raise Refused(sentence)
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "default": lambda other, value: value or other,
    "nindent": _indented,
    "not": lambda value: not value,
    "quote": _quote,
    "required": _required,
    "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False).rstrip("\n"),
}
