"""The channels: one folder each, pure functions and tables over the words of ``base``.

``BUILT_IN`` lists ours, by hand and in one place. Another package brings one by an entry point of the group
``kurir.channels`` whose object has the members of :class:`kurir.channels.base.Channel`.
"""

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

BUILT_IN: Final[Mapping[str, Channel]] = {
    whatsapp.NAME: whatsapp,
    telegram.NAME: telegram,
    line.NAME: line,
    messenger.NAME: messenger,
}


@cache
def installed() -> Mapping[str, Channel]:
    """Return every channel by name: ours, and those of installed packages. Ours cannot be replaced.

    They are looked for once in a process, since that reads the metadata of every package that is installed.
    """
    found: dict[str, Channel] = {}
    for point in entry_points(group="kurir.channels"):
        channel: Channel = point.load()
        found[channel.NAME] = channel
    return MappingProxyType({**found, **BUILT_IN})
