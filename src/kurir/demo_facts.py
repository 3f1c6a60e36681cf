"""The file by which other commands find a running demo: its addresses and credentials.

It stands apart from the demo itself, because a command that only looks something up must not load a whole gateway for it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

#: Its name, in the demo's data folder.
FACTS_FILE: Final = "demo.json"


def read(folder: Path) -> dict[str, str]:
    """Return the texts in the file of *folder*. Raises OSError where it cannot be read, ValueError where it is no JSON."""
    found = json.loads((folder / FACTS_FILE).read_text("utf-8"))
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep *facts* in *folder*, readable by the owner only. Raises OSError."""
    path = folder / FACTS_FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
