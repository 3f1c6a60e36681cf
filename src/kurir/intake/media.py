"""Files that came in, fetched from the platform when somebody opens our link to them, and passed on as they come.

Nothing is kept here: a file is as long there as the platform keeps it. The platform's URL and the account's secrets never
reach the reader: a header of the platform's is not passed on, nor is what it says when it refuses.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kurir.channels.base import Answer, InboundMedia
from kurir.directory import Directory, Entry
from kurir.egress import Download, Egress, EgressRefused, MediaUnavailable
from kurir.intake import inbound_data
from kurir.intake.links import MediaLinks
from kurir.store import GatewayStore

#: Calls that lead to a file, at most: its description, then the file itself.
CALLS: Final = 3
#: A description of a file is small.
MAXIMUM_DESCRIPTION: Final = 64 * 1024
#: A media type without parameters (RFC 6838, "Naming Requirements").
_KIND: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")


class NoSuchFile(Exception):
    """There is no such link, or it has ended, or its event or account is gone. They all look the same."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being fetched: what is known of it, and its bytes as they come. ``length`` is None where unknown."""

    mime_type: str
    name: str
    length: int | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link names: the event, the number of its file from 0, when it ends (unix seconds), and its signature."""

    account_id: str
    position: int
    number: int
    until: int
    signature: str


class InboundFiles:
    """Opens the files of events."""

    def __init__(self, store: GatewayStore, directory: Directory, egress: Egress, links: MediaLinks) -> None:
        self._store = store
        self._directory = directory
        self._egress = egress
        self._links = links

    @asynccontextmanager
    async def open(self, ticket: Ticket) -> AsyncIterator[OpenFile]:
        """Open the file that *ticket* names.

        Raises NoSuchFile, MediaUnavailable (the platform does not give it, now or any more), EgressRefused, StoreError.
        """
        entry, media = await self._find(ticket)
        answer: Answer | None = None
        for _ in range(CALLS):
            call = entry.channel.fetch(entry.account, media, answer)
            if call is None:
                break
            async with self._egress.download(call, guarded=media.public, owner=entry.account.client_id) as download:
                if download.status != 200:
                    final = download.status in (400, 403, 404, 410)
                    raise MediaUnavailable(f"the platform answered {download.status}", final=final)
                if call.file:
                    yield _file(media, download)
                    return
                answer = Answer(download.status, download.headers, await _description(download))
        raise MediaUnavailable("the platform does not say where the file is", final=True)

    async def _find(self, ticket: Ticket) -> tuple[Entry, InboundMedia]:
        good = self._links.good(ticket.account_id, ticket.position, ticket.number, ticket.until, ticket.signature)
        entry = self._directory.accounts().get(ticket.account_id)
        if not good or entry is None:
            raise NoSuchFile
        event = await self._store.event(entry.account.client_id, ticket.position)
        if event is None or event.account_id != ticket.account_id:
            raise NoSuchFile
        files = inbound_data.read_handles(event.media)
        if ticket.number >= len(files):
            raise NoSuchFile
        return entry, files[ticket.number]


async def _description(download: Download) -> bytes:
    """Return the description of a file whole. Raises MediaUnavailable where it is longer than any is."""
    pieces: list[bytes] = []
    async for piece in download.chunks:
        pieces.append(piece)
        if sum(map(len, pieces)) > MAXIMUM_DESCRIPTION:
            raise MediaUnavailable("the platform's description of the file is too long", final=True)
    return b"".join(pieces)


def _file(media: InboundMedia, download: Download) -> OpenFile:
    said = download.headers.get("content-type", "").partition(";")[0].strip()
    named = (media.mime_type.partition(";")[0].strip(), said)  # a stranger's words, on their way into a header
    kind = next((one for one in named if _KIND.fullmatch(one)), "application/octet-stream")
    encoded = "content-encoding" in download.headers  # its length is that of what travelled, not of what is passed on
    return OpenFile(kind, media.name, None if encoded else download.length, download.chunks)


__all__ = ["EgressRefused", "InboundFiles", "MediaUnavailable", "NoSuchFile", "OpenFile", "Ticket"]
