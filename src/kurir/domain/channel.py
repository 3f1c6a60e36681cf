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


#: Names of channels that other packages brought (:func:`learn`).
_learned: Final[list[str]] = []


def known() -> tuple[str, ...]:
    """Return the names of the built-in channels, and after them of those that other packages brought."""
    return (*BUILT_IN, *_learned)


def learn(name: str) -> None:
    """Take *name* as one of a channel. A name that is known already changes nothing."""
    if name not in known():
        _learned.append(name)


def forget(name: str) -> None:
    """Know a channel that was learned no more: for tests, whose process lives on."""
    if name in _learned:
        _learned.remove(name)
