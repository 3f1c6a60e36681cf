"""The schema's numbered migrations, one folder a dialect, and their loader.

A file ``NNNN_what.sql`` takes the schema from version NNNN − 1 to NNNN. It is run once, in one transaction together
with the row that records it, so that a kill in the middle leaves the older version. A file that was released is never
edited.
"""

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the version that it leads to, its name, and its statements."""

    version: int
    name: str
    sql: str


def load(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of *dialect* (the name of a folder beside this file), in order and without a gap."""
    folder = resources.files(__name__) / dialect
    found = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    versions = [migration.version for migration in found]
    if versions != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {dialect} are numbered {versions}, not 1 to {len(found)}")
    return tuple(found)
