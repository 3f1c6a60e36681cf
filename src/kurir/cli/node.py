"""``kurir node``: which processes work on the database, and what each of them owns. It needs the administrator's token."""

from typing import Any

import typer
from rich.text import Text

from kurir.cli import options, running, showing
from kurir.cli.running import plain

app = typer.Typer(name="node", help="See which nodes there are, and what each of them owns.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Keep ``list`` a verb of its own: a group with one command would become that command."""


@app.command("list")
@options.bundled
def list_nodes(*, as_json: options.AsJson = False, admin: options.AsAdmin) -> None:
    """List every node, the oldest first."""
    showing.answer(running.call(admin.place(), "GET", "/v1/admin/nodes"), _show, as_json=as_json)


def _show(found: list[Any]) -> None:
    names = ("node", "host", "process", "role", "since", "seen", "endpoints", "accounts")
    table = showing.table(*names, right=("process", "endpoints"))
    for one in found:
        table.add_row(
            Text(plain(one["id"])),
            Text(plain(one["host"])),
            str(one["pid"]),
            f"{one['role']}{', leaving' if one['leaving'] else ''}",
            running.when(one["since"]),
            running.when(one["seen_at"]),
            f"{len(one['endpoints']):,}",
            Text(plain(", ".join([*one["accounts"], *(["(upkeep)"] if one["upkeep"] else [])]))),
        )
    showing.print_table(table, "There is no node.")
