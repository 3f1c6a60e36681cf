"""The channels: one folder each, pure functions and tables over the words of ``base``.

``BUILT_IN`` lists ours, by hand and in one place. Another package brings one by an entry point of the group
``kurir.channels`` whose object has the members of :class:`kurir.channels.base.Channel`, and perhaps ``ADDRESSES``, a
:class:`kurir.domain.recipient.Addresses`.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from kurir.channels.base import Channel
from kurir.channels.line import channel as line
from kurir.channels.messenger import channel as messenger
from kurir.channels.telegram import channel as telegram
from kurir.channels.whatsapp import channel as whatsapp
from kurir.domain import channel as names
from kurir.domain import recipient

BUILT_IN: Final[Mapping[str, Channel]] = {
    whatsapp.NAME: whatsapp,
    telegram.NAME: telegram,
    line.NAME: line,
    messenger.NAME: messenger,
}


#: The name of a channel stands in URLs and in the database.
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
#: The first words of the gateway's other paths, which no channel may be called.
PATHS: Final = frozenset(
    {"console", "docs", "errors", "livez", "media", "metrics", "readyz", "sandbox", "static", "v1", "webhooks"}
)
#: The address of a channel whose package does not say more of it: anything that can be seen, in ASCII.
_ANY_ADDRESS: Final = re.compile(r"[!-~]{1,128}")


@cache
def installed() -> Mapping[str, Channel]:
    """Return every channel by name: ours, and those of installed packages. Ours cannot be replaced.

    They are looked for once in a process, since that reads the metadata of every package that is installed. From then on
    the forms of their addresses are known (:func:`kurir.domain.recipient.learn`). Raises ValueError for a name or a prefix
    that cannot be one, and what importing a package raises.
    """
    found: dict[str, Channel] = {}
    for point in entry_points(group="kurir.channels"):
        channel: Channel = point.load()
        if channel.NAME in BUILT_IN:
            continue
        if not _NAME.fullmatch(channel.NAME) or channel.NAME in PATHS or channel.NAME in names.ALIASES:
            raise ValueError(f"«{channel.NAME[:40]}», of the entry point {point.value}, cannot be a channel's name")
        recipient.learn(channel.NAME, _addresses(channel))
        names.learn(channel.NAME)
        found[channel.NAME] = channel
    return MappingProxyType({**found, **BUILT_IN})


def _addresses(channel: Channel) -> recipient.Addresses:
    """Return the forms of the channel's addresses: its member ``ADDRESSES``, else its name and anything after the colon."""
    given: recipient.Addresses | None = getattr(channel, "ADDRESSES", None)
    return given or recipient.Addresses(channel.NAME, _ANY_ADDRESS, "the platform's own id of the person")
