"""Files that came in, given to whoever opens our link to them: from the folder of kept files, else from the platform.

From the platform a file is passed on as it comes, as long as the platform keeps it. The platform's URL and the account's
secrets never reach the reader: a header of the platform's is not passed on, nor is what it says when it refuses.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kurir.channels.base import Answer, InboundMedia
from kurir.directory import Directory, Entry
from kurir.egress import Download, Egress, EgressRefused, MediaUnavailable
from kurir.intake import inbound_data
from kurir.intake.file_names import saved_as
from kurir.intake.kept_files import About, Shelf, Shelved, key_of
from kurir.intake.links import MediaLinks
from kurir.store import GatewayStore
from kurir.store.feed import EventRecord

#: Calls that lead to a file, at most: its description, then the file itself.
CALLS: Final = 3
#: The answer that a file is not ready yet, as LINE gives it while it prepares a long video ("Get content" of the Messaging
#: API reference). While somebody waits for it the same is asked again after so many seconds, at most so often.
NOT_READY: Final = 202
READY_SECONDS: Final = 1.0
READY_WAITS: Final = 5
#: A description of a file is small.
MAXIMUM_DESCRIPTION: Final = 64 * 1024
#: A media type without parameters (RFC 6838, "Naming Requirements").
_KIND: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")


class NoSuchFile(Exception):
    """There is no such link, or it has ended, or its event or account is gone. They all look the same."""


class PlatformRefused(MediaUnavailable):
    """The platform answered with another *status* than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the platform answered {status}", final=status in (400, 403, 404, 410))
        self.status = status


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being fetched: what is known of it, and its bytes as they come. ``length`` is None where unknown."""

    mime_type: str
    name: str
    length: int | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is kept: what is known of it, where it lies, and what the file system says of it there."""

    mime_type: str
    name: str
    path: Path
    stat: os.stat_result


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link names: the event, the number of its file from 0, when it ends (unix seconds), and its signature."""

    account_id: str
    position: int
    number: int
    until: int
    signature: str


class InboundFiles:
    """Opens the files of events. Without a *shelf* none is kept."""

    def __init__(
        self, store: GatewayStore, directory: Directory, egress: Egress, links: MediaLinks, shelf: Shelf | None = None
    ) -> None:
        self._store = store
        self._directory = directory
        self._egress = egress
        self._links = links
        self._shelf = shelf

    @asynccontextmanager
    async def open(self, ticket: Ticket) -> AsyncIterator[OpenFile | KeptFile]:
        """Open the file that *ticket* names.

        One that is not ready yet is waited for, for some seconds. Raises NoSuchFile, MediaUnavailable (the platform does
        not give it, now or any more), EgressRefused, StoreError.
        """
        entry, event, media = await self._find(ticket)
        if self._shelf is not None:
            kept = await asyncio.to_thread(_kept, self._shelf, key_of(event, ticket.number))
            if kept is not None:
                yield kept
                return
        client_id = entry.account.client_id
        async with fetched(self._egress, entry, media, client_id, waits=READY_WAITS) as file:
            yield file

    async def _find(self, ticket: Ticket) -> tuple[Entry, EventRecord, InboundMedia]:
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
        return entry, event, files[ticket.number]


@asynccontextmanager
async def fetched(
    egress: Egress, entry: Entry, media: InboundMedia, owner: str, *, waits: int = 0
) -> AsyncIterator[OpenFile]:
    """Fetch *media* from the platform of the account *entry*; *owner* is whose share of the downloads it counts to.

    A file that the platform says is not ready yet is asked for again, at most *waits* times, a second apart. Raises
    MediaUnavailable, where the platform answered a PlatformRefused, or EgressRefused; also while it is read.
    """
    call = entry.channel.fetch(entry.account, media)
    calls = 0
    while call is not None and calls < CALLS:
        async with egress.download(call, guarded=media.public, owner=owner) as download:
            status = download.status
            if status == 200 and call.file:
                yield _file(media, download)
                return
            answer = Answer(status, download.headers, await _description(download) if status == 200 else b"")
        before, call = call, entry.channel.fetch(entry.account, media, answer)
        if status == NOT_READY and call == before and waits > 0:
            waits -= 1
            await asyncio.sleep(READY_SECONDS)  # out here, where it takes nobody's place among the downloads
        elif status != 200:  # raised out here, since the download takes every fault within it for its own
            raise PlatformRefused(status)
        else:
            calls += 1
    raise MediaUnavailable("the platform does not say where the file is", final=True)


def _kept(shelf: Shelf, key: str) -> KeptFile | None:
    """Return the file from the shelf, None where it has to be asked for. Raises MediaUnavailable where it is known as gone."""
    about = shelf.find(key)
    if about is None or about.state is Shelved.LEFT:
        return None
    if about.state is Shelved.GONE:
        raise MediaUnavailable(f"{about.why}, on {about.at}", final=True)
    path = shelf.path(key)
    try:
        return KeptFile(about.mime_type, _name(about), path, path.stat())
    except OSError:
        return None  # deleted in this moment


def _name(about: About) -> str:
    return saved_as(about.name, about.mime_type)


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
    return OpenFile(kind, saved_as(media.name, kind), None if encoded else download.length, download.chunks)


__all__ = [
    "EgressRefused",
    "InboundFiles",
    "KeptFile",
    "MediaUnavailable",
    "NoSuchFile",
    "OpenFile",
    "PlatformRefused",
    "Ticket",
    "fetched",
]
