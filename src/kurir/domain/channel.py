"""The channels by name.

A channel is a word in a URL and in the database, so it is a plain string; the four built-in ones have constants.
Another package may bring more (see :mod:`kurir.channels`).
"""

from typing import Final

WHATSAPP: Final = "whatsapp"
TELEGRAM: Final = "telegram"
LINE: Final = "line"
MESSENGER: Final = "messenger"

BUILT_IN: Final = (WHATSAPP, TELEGRAM, LINE, MESSENGER)

#: Other spellings that the send path accepts in place of a channel's name.
ALIASES: Final[dict[str, str]] = {"facebook": MESSENGER}


def canonical(name: str) -> str:
    """Return the channel's own name for *name*; an unknown name comes back as it is."""
    return ALIASES.get(name, name)
