"""What others know of a running demo: its names, and the file with its addresses and credentials.

It stands apart from the demo itself, because a command that only looks something up must not load a whole gateway for it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

#: Its name, in the demo's data folder.
FACTS_FILE: Final = "demo.json"
#: The demo's client, the sample's own number as the published specification prints it, and the accounts at the sandbox.
CLIENT: Final = "demo"
RECIPIENT: Final = "628xxxxxxxx"
ACCOUNTS: Final = {"whatsapp": "demo-wa", "telegram": "demo-tg", "line": "demo-line", "messenger": "demo-fb"}


def webhooks(gateway: str) -> dict[str, str]:
    """Return where the sandbox posts receipts, by channel."""
    return {channel: f"{gateway}/webhooks/{account}" for channel, account in ACCOUNTS.items()}


def read(folder: Path) -> dict[str, str]:
    """Return the texts in the file of *folder*. Raises OSError where it cannot be read, ValueError where it is no JSON."""
    found = json.loads((folder / FACTS_FILE).read_text("utf-8"))
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep *facts* in *folder*, readable by the owner only. Raises OSError."""
    path = folder / FACTS_FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
