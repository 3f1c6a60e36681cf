"""Groups of verbs that load a verb's module when the verb is called, and for nothing else.

A gateway, its sandbox and its bench take a second or more to load. ``kurir --help`` needs none of them, and a verb that asks
a gateway over HTTP needs little.
"""

import copy
import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

# A command as typer itself keeps it; its base class is not public.
_Command: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that is loaded later: where it is (a function, or the typer of a group), and its help in a list of verbs."""

    module: str
    member: str
    help: str


def group(verbs: Mapping[str, Verb]) -> type[TyperGroup]:
    """Return a class of groups, for typer's ``cls``, that have *verbs* beside those which are registered with them."""

    class Group(TyperGroup):
        def __init__(self, *, commands: Mapping[str, _Command] | None = None, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = _Loading(verbs, commands or {})

        def list_commands(self, ctx: _Command) -> list[str]:  # noqa: ARG002 - typer's signature
            return list(self.commands)

        def format_help(self, ctx: _Command, formatter: _Command) -> None:
            """Write the help from the sentences that are known, without loading any verb."""
            listed = copy.copy(self)
            told = {name: TyperCommand(name, help=verb.help) for name, verb in verbs.items()}
            listed.commands = {name: told[name] if name in told else self.commands[name] for name in self.commands}
            TyperGroup.format_help(listed, ctx, formatter)

    return Group


class _Loading(MutableMapping[str, _Command]):
    """Commands by name, in the order of help; a verb is loaded when it is looked up."""

    def __init__(self, verbs: Mapping[str, Verb], commands: Mapping[str, _Command]) -> None:
        self._verbs = verbs
        self._loaded = dict(commands)
        self._names = dict.fromkeys((*commands, *verbs))

    def __getitem__(self, name: str) -> _Command:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._verbs[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: _Command) -> None:
        self._loaded[name] = command
        self._names[name] = None

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def _load(name: str, verb: Verb) -> _Command:
    found = getattr(importlib.import_module(verb.module), verb.member)
    if isinstance(found, typer.Typer):
        command: _Command = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    return command
