"""The arguments and options that several verbs share, each written once, so that a verb only names them.

Options that belong together are a dataclass: a verb under :func:`bundled` has a parameter ``admin: options.AsAdmin``, and on
the command line there are its fields. What they mean together is told by ``running.client_place``, ``running.admin_place``
and ``running.sandbox_place``.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_type_hints

import typer

from kurir.cli import running
from kurir.cli.running import Place

#: The data folder of a ``kurir up`` that was started in the folder of the shell.
DATA: Final = Path("kurir-data")

Url: TypeAlias = Annotated[str, typer.Option(envvar="KURIR_URL", help="The gateway; else the running demo.")]
SandboxUrl: TypeAlias = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="KURIR_SANDBOX_URL",
        help="The sandbox; else that of the running demo, else http://127.0.0.1:8081.",
    ),
]
Username: TypeAlias = Annotated[str, typer.Option(envvar="KURIR_USERNAME", help="The client's user name.")]
Password: TypeAlias = Annotated[str, typer.Option(envvar="KURIR_PASSWORD", help="The client's password.")]
AdminToken: TypeAlias = Annotated[
    str, typer.Option(envvar="KURIR_ADMIN_TOKEN", help="The gateway's admin_token; else the running demo's.")
]
Data: TypeAlias = Annotated[Path, typer.Option(help="The data folder of a running «kurir up».")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the answer itself, for machines.")]

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")]

MessageName: TypeAlias = Annotated[
    str, typer.Argument(metavar="TID|ID", help="The gateway's id of the message (its tid), or your own.")
]
AccountId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The account's id.")]


@dataclass(frozen=True, slots=True)
class AsClient:
    """Which gateway a verb calls, as which client."""

    url: Url = ""
    username: Username = ""
    password: Password = field(default="", repr=False)
    data: Data = DATA

    def place(self, client_id: str = "") -> Place:
        """Return the gateway and the client's credentials. Ends with a sentence where one of them is missing."""
        return running.client_place(self.url, self.username, self.password, self.data, client_id)


@dataclass(frozen=True, slots=True)
class AsAdmin:
    """Which gateway a verb calls, as its administrator."""

    url: Url = ""
    admin_token: AdminToken = field(default="", repr=False)
    data: Data = DATA

    def place(self) -> Place:
        """Return the gateway and the administrator's token. Ends with a sentence where one of them is missing."""
        return running.admin_place(self.url, self.admin_token, self.data)


_Verb = TypeVar("_Verb", bound=Callable[..., None])


def bundled(verb: _Verb) -> _Verb:
    """Return *verb* with the fields of its dataclass parameters in their place, as typer reads a function's parameters.

    A field is an option as a parameter is: its annotation, its name, its default. Every parameter is given by its name.
    """
    hints = get_type_hints(verb, include_extras=True)
    bundles: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        bundles[name] = kind
        inner = get_type_hints(kind, include_extras=True)
        for each in fields(kind):
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            parameters.append(
                inspect.Parameter(
                    each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=inner[each.name]
                )
            )

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        for name, kind in bundles.items():
            given[name] = kind(**{each.name: given.pop(each.name) for each in fields(kind)})
        verb(**given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for first
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return called  # type: ignore[return-value]  # the same verb for whoever calls it by the command line
