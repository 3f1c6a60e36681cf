"""How verbs show what a gateway answered: as JSON for machines, else in words and tables.

Nothing is folded where no terminal reads it, so that ``grep`` and ``cut`` find an address in one piece. In a table nothing is
folded on a terminal either: a row that is wider is broken by the terminal itself, and what is copied from it stays whole.
"""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kurir.cli import running
from kurir.cli.running import Reply, plain

#: The width of what is no terminal, in characters: beyond any line.
_ENDLESS: Final = 1_000_000


def console(*, err: bool = False) -> Console:
    """Return the console of standard output, or of standard error. Without a terminal only COLUMNS sets a width."""
    stream = sys.stderr if err else sys.stdout
    folded = stream.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, stderr=err, width=None if folded else _ENDLESS)


def table(*names: str, right: Collection[str] = ()) -> Table:
    """Return a table without lines; the columns named in *right* are numbers."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        found.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return found


def print_table(found: Table, empty: str) -> None:
    """Print a table in its own width, or the sentence for one without rows."""
    here = console()
    if not found.row_count:
        here.print(empty)
        return
    natural = here.measure(found, options=here.options.update(width=_ENDLESS)).maximum
    here.width = max(here.width, natural)
    here.print(found)


def print_more(most: int) -> None:
    """Say that a list has more than was asked for."""
    print(f"There are more; --limit shows up to {most:,}.")


def styled(word: str, styles: Mapping[str, str]) -> Text:
    """Return a word of a closed set in its colour."""
    return Text(plain(word), styles.get(word, "dim"))


def answer(reply: Reply, show: Callable[[Any], None], *, as_json: bool) -> Any:
    """Show the ``data`` of *reply* by *show*, or the answer itself as JSON; return it. Ends where it is an error."""
    found = running.data_of(reply)
    if as_json:
        running.print_json(reply.body)
    else:
        show(found)
    return found
