"""The arguments and options that several verbs share, each written once, so that a verb only names them.

A verb's parameters are ``url: options.Url = ""`` and so on; what they mean together is told by ``running.client_place``,
``running.admin_place`` and ``running.sandbox_place``.
"""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

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

MessageName: TypeAlias = Annotated[
    str, typer.Argument(metavar="TID|ID", help="The gateway's id of the message (its tid), or your own.")
]
AccountId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The account's id.")]
