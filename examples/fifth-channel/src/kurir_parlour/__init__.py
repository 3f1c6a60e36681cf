"""An example of a channel that another package brings: ``CHANNEL``, which the entry point names.

Parlour does not exist. Its API is made up, and as small as one can be that still sends text, files, buttons and places,
tells of delivery, and posts what people answer. The API is described in the README of this example.
"""

from typing import Final

from kurir.channels.base import Channel
from kurir_parlour import channel

#: The module, held against the protocol by mypy.
CHANNEL: Final[Channel] = channel
