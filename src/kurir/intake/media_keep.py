"""Keeping files that came in (``inbound_media = "keep"``): each is fetched after the commit of its event, in the background.

What is to be fetched is derived, never queued: it is every event with a file, behind the account's mark, that the shelf has
not settled. So a process that dies finds again what it had not fetched, a webhook waits for nothing here, and where nothing
can be kept (a full disk, no room) the link streams as if nothing were kept. The mark of an account that is new here is its
client's newest event: what came in before is not fetched.

A file that cannot be had is asked for again, ever more rarely, until the platform says that it is gone. How long platforms
keep files: Telegram's link is good for at least an hour and can be had anew (getFile); Meta's ids of WhatsApp for seven
days; LINE deletes after a time that it does not tell, and Messenger's links end after one that Meta does not tell.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from kurir.channels.base import InboundMedia
from kurir.clock import Clock
from kurir.directory import Directory, Entry
from kurir.domain.account import MediaPolicy
from kurir.egress import Egress, EgressRefused, MediaUnavailable
from kurir.intake import inbound_data
from kurir.intake.kept_files import About, NoRoom, Shelf, ShelfTrouble, Shelved, key_of
from kurir.intake.media import OpenFile, PlatformRefused, fetched
from kurir.store import GatewayStore
from kurir.store.base import StoreError
from kurir.store.feed import EventRecord

log = structlog.get_logger(__name__)

#: Files that are fetched at once: of one account, and in all. Links stream beside them, and have more slots.
OF_ONE: Final = 2
AT_ONCE: Final = 8
#: Files of an account that are known and not fetched, at most; more are read when some of these are settled.
WANTED: Final = 200
#: Events that are read at once.
BATCH: Final = 200
#: The waits after a fetch that failed, in seconds: doubled up to the last.
FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 600.0
#: How often it is looked for new events without a hint, and how often the mark is written, in seconds.
LOOK_SECONDS: Final = 30.0
MARK_SECONDS: Final = 10.0
#: A file is asked for so long after its event: nobody promises to keep one longer (Meta, "Media": ids from webhooks).
GIVE_UP: Final = timedelta(days=7)
#: The largest file that is kept, in bytes. Larger ones are streamed.
LARGEST: Final = 512 * 1024 * 1024
#: Bytes that are gathered before they are written.
_GATHER: Final = 1024 * 1024
#: Statuses by which a platform says that it does not have the file, or will give it to nobody (Telegram's 400: too big).
_GONE: Final = frozenset({400, 404, 410})


class _TooLarge(Exception):
    pass


@dataclass(slots=True, eq=False)
class _Wanted:
    """A file to fetch: *number* of the event at *position*. ``due`` in the clock's monotonic seconds."""

    key: str
    position: int
    number: int
    at: datetime
    media: InboundMedia
    due: float
    wait: float = 0.0
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class _Account:
    """Where an account stands: ``read`` up to which event, ``mark`` what of that is on the disk, and what is wanted."""

    read: int
    mark: int
    marked_at: float = 0.0
    wanted: list[_Wanted] = field(default_factory=list)
    hint: asyncio.Event = field(default_factory=asyncio.Event)

    def settled(self) -> int:
        """Return up to which event every file is settled."""
        return min((one.position - 1 for one in self.wanted), default=self.read)


class MediaKeeper:
    """Fetches the files of every account that keeps them, onto the *shelf*. *rng* spreads the waits after failures."""

    def __init__(
        self,
        store: GatewayStore,
        directory: Directory,
        egress: Egress,
        shelf: Shelf,
        clock: Clock,
        rng: Random | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._egress = egress
        self._shelf = shelf
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 - jitter, not secrets
        self._accounts: dict[str, _Account] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = False
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._disk_told = False

    async def start(self) -> None:
        """Begin, for the accounts that keep files now. Before anything comes in, so that nothing is missed.

        Raises StoreError. A disk that does not work is logged: then everything is streamed, and it is tried again.
        """
        keeping = self._keeping()
        try:
            await asyncio.to_thread(self._shelf.open)
        except ShelfTrouble as trouble:
            self._tell_disk(trouble)
        known = await asyncio.to_thread(self._shelf.marks)
        for name, entry in keeping.items():
            newest = await self._store.last_position(entry.account.client_id)
            mark = min(known.get(name, newest), newest)  # a mark beyond the newest is of another database
            self._accounts[name] = _Account(mark, mark)
        if keeping or known:
            await self._mark(self._clock.monotonic(), {name: one.mark for name, one in self._accounts.items()})
        for name in keeping:
            self._begin(name)
        self._started = True

    async def follow(self) -> None:
        """Bring itself in line with the accounts as they are now: some may keep files that did not. Raises StoreError.

        Of an account that begins to keep them, what comes in from then on is kept; of one that ends, nothing more.
        """
        if not self._started:
            return
        keeping = self._keeping()
        for name in self._tasks.keys() - keeping.keys():
            await self._end([name])
        for name in keeping.keys() - self._tasks.keys():
            newest = await self._store.last_position(keeping[name].account.client_id)
            self._accounts[name] = _Account(newest, newest)
            self._begin(name)

    def _keeping(self) -> dict[str, Entry]:
        accounts = self._directory.accounts().items()
        return {name: one for name, one in accounts if one.account.inbound_media is MediaPolicy.KEEP}

    def _begin(self, name: str) -> None:
        self._tasks[name] = asyncio.create_task(self._follow(name), name=f"keep files of {name}")

    async def _end(self, names: Collection[str]) -> None:
        """End at once for some accounts, and forget where they stand; what their files came to is on the disk."""
        fetches = [one.task for name in names for one in self._accounts[name].wanted if one.task is not None]
        tasks = [self._tasks.pop(name) for name in names]
        for task in (*tasks, *fetches):
            task.cancel()
        await asyncio.gather(*tasks, *fetches, return_exceptions=True)
        await self._mark(self._clock.monotonic(), self._settled())
        for name in names:
            del self._accounts[name]

    async def stop(self) -> None:
        """End at once: what was not fetched whole is fetched at the next start."""
        self._started = False
        if self._tasks:
            await self._end(list(self._tasks))

    def wake(self, client_id: str) -> None:
        """Hint that the client's feed has grown."""
        for name, account in self._accounts.items():
            entry = self._directory.accounts().get(name)
            if entry is not None and entry.account.client_id == client_id:
                account.hint.set()

    def alive(self) -> bool:
        """Return whether every account's loop runs."""
        return not any(task.done() for task in self._tasks.values())

    async def sweep(self) -> int:
        """Delete the files whose events are gone, by retention or because their person was erased; return how many.

        Raises StoreError.
        """
        deleted = 0
        found = await asyncio.to_thread(lambda: list(self._shelf.all()))
        for key, about in found:
            event = await self._store.event(about.client_id, about.position)
            if event is not None and key_of(event, about.number) == key:
                continue
            try:
                await asyncio.to_thread(self._shelf.delete, key)
            except ShelfTrouble as trouble:
                log.warning("kept_file_not_deleted", account=about.account_id, why=str(trouble))
            else:
                deleted += 1
        return deleted

    # --- an account -------------------------------------------------------------------------------------------------------

    async def _follow(self, name: str) -> None:
        account = self._accounts[name]
        while True:
            account.hint.clear()
            try:
                wait = await self._turn(name, account)
            except StoreError as error:
                log.warning("files_not_looked_for", account=name, error=str(error), retry_in=LOOK_SECONDS)
                wait = LOOK_SECONDS
            except Exception:  # a fault of ours must not end the account's files for good
                log.exception("keep_fault", account=name, retry_in=LOOK_SECONDS)
                wait = LOOK_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await account.hint.wait()
            except TimeoutError:
                continue

    async def _turn(self, name: str, account: _Account) -> float:
        """Read what is new, start what is due, and return the seconds until there is more to do. Raises StoreError."""
        entry = self._directory.accounts().get(name)
        if entry is None:
            return LOOK_SECONDS
        await self._read(entry, account)
        now = self._clock.monotonic()
        running = sum(one.task is not None for one in account.wanted)
        for one in account.wanted:
            if one.task is None and one.due <= now and running < OF_ONE:
                one.task = asyncio.create_task(self._keep(entry, account, one))
                running += 1
        settled = account.settled()
        if settled > account.mark and (not account.wanted or now >= account.marked_at + MARK_SECONDS):
            await self._mark(now, self._settled())
        waits = [one.due - now for one in account.wanted if one.task is None] if running < OF_ONE else []
        return max(min(waits, default=LOOK_SECONDS), 0.0)

    async def _read(self, entry: Entry, account: _Account) -> None:
        """Read the feed on, as far as there is place for what is wanted."""
        while len(account.wanted) < WANTED:
            events = await self._store.events(entry.account.client_id, after=account.read, limit=BATCH)
            for event in events:
                if event.media is not None and event.account_id == entry.account.id:
                    account.wanted += await self._unsettled(event)
                account.read = event.position
            if len(events) < BATCH:
                return

    async def _unsettled(self, event: EventRecord) -> list[_Wanted]:
        found = []
        for number, media in enumerate(inbound_data.read_handles(event.media)):
            key = key_of(event, number)
            if await asyncio.to_thread(self._shelf.find, key) is None:
                due = self._clock.monotonic()
                found.append(_Wanted(key, event.position, number, event.at, media, due))
        return found

    def _settled(self) -> dict[str, int]:
        return {name: account.settled() for name, account in self._accounts.items()}

    async def _mark(self, now: float, marks: Mapping[str, int]) -> None:
        """Keep how far each account is. Where the disk does not take it, more is looked at again after a restart."""
        for account in self._accounts.values():
            account.marked_at = now
        try:
            await asyncio.to_thread(self._shelf.set_marks, marks)
        except ShelfTrouble as trouble:
            self._tell_disk(trouble)
            return
        for name, mark in marks.items():
            if name in self._accounts:  # else it was switched off meanwhile
                self._accounts[name].mark = mark

    # --- a file -----------------------------------------------------------------------------------------------------------

    async def _keep(self, entry: Entry, account: _Account, one: _Wanted) -> None:
        """Try once to fetch *one*; afterwards it is settled, or due again."""
        try:
            if await self._try(entry, one):
                account.wanted.remove(one)
        except Exception:  # as above: the others go on
            log.exception("keep_fault", account=entry.account.id, position=one.position)
            self._later(one)
        finally:
            one.task = None
            account.hint.set()

    async def _try(self, entry: Entry, one: _Wanted) -> bool:
        """Try to fetch *one*; return whether it is settled. Raises StoreError."""
        if await self._store.event(entry.account.client_id, one.position) is None:
            return True  # its person was erased meanwhile
        try:
            async with self._slots, fetched(self._egress, entry, one.media, f"kept {entry.account.client_id}") as file:
                await self._put(entry, one, file)
        except ShelfTrouble as trouble:
            self._tell_disk(trouble)
        except NoRoom:
            return await self._settle(entry, one, Shelved.LEFT, "there is no room: inbound_media_space is used up")
        except _TooLarge:
            return await self._settle(entry, one, Shelved.LEFT, f"it has more than {LARGEST // 1024 // 1024} MiB")
        except EgressRefused as refused:
            return await self._settle(entry, one, Shelved.GONE, f"it is not where files may be fetched: {refused}")
        except PlatformRefused as refused:
            if refused.status in _GONE:
                return await self._settle(entry, one, Shelved.GONE, str(refused))
            return await self._missed(entry, one, str(refused))
        except MediaUnavailable as missing:
            if missing.final:
                return await self._settle(entry, one, Shelved.GONE, str(missing))
            return await self._missed(entry, one, str(missing))
        else:
            self._disk_told = False
            return True
        self._later(one)
        return False

    async def _put(self, entry: Entry, one: _Wanted, file: OpenFile) -> None:
        """Write *file* to the shelf. Raises NoRoom, ShelfTrouble, _TooLarge, MediaUnavailable."""
        if file.length is not None and file.length > LARGEST:
            raise _TooLarge
        draft = self._shelf.draft(one.key)
        try:
            async for piece in _gathered(file.chunks):
                await asyncio.to_thread(draft.write, piece)
            about = self._about(entry, one, Shelved.KEPT, file, draft.size)
            await asyncio.to_thread(draft.put, about)
        except BaseException:
            draft.drop()
            raise

    def _about(
        self, entry: Entry, one: _Wanted, state: Shelved, file: OpenFile | None = None, size: int = 0, why: str = ""
    ) -> About:
        return About(
            client_id=entry.account.client_id,
            account_id=entry.account.id,
            position=one.position,
            number=one.number,
            state=state,
            at=self._clock.now().isoformat(timespec="seconds").replace("+00:00", "Z"),
            mime_type="" if file is None else file.mime_type,
            name="" if file is None else file.name,
            size=size,
            why=why,
        )

    async def _missed(self, entry: Entry, one: _Wanted, why: str) -> bool:
        """Let *one* be tried again, unless that has gone on for too long; return whether it is settled."""
        if self._clock.now() - one.at > GIVE_UP:
            return await self._settle(entry, one, Shelved.LEFT, f"given up after {GIVE_UP.days} days: {why}")
        self._later(one)
        log.info("file_not_kept_yet", account=entry.account.id, position=one.position, why=why, retry_in=one.wait)
        return False

    async def _settle(self, entry: Entry, one: _Wanted, state: Shelved, why: str) -> bool:
        """Note that *one* is not kept, and why; return whether the disk took that."""
        log.warning("file_not_kept", account=entry.account.id, position=one.position, state=state.value, why=why)
        try:
            await asyncio.to_thread(self._shelf.describe, one.key, self._about(entry, one, state, why=why))
        except ShelfTrouble as trouble:
            self._tell_disk(trouble)
            self._later(one)
            return False
        return True

    def _later(self, one: _Wanted) -> None:
        one.wait = min(LONGEST_WAIT, max(FIRST_WAIT, one.wait * 2))
        one.due = self._clock.monotonic() + self._rng.uniform(one.wait / 2, one.wait)

    def _tell_disk(self, trouble: ShelfTrouble) -> None:
        """Log that the disk does not take files: once, until one was kept again."""
        if not self._disk_told:
            log.error("kept_files_trouble", why=str(trouble), until_then="files are streamed")
        self._disk_told = True


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what comes in larger pieces, so that a file is not a thousand hops to a thread. Raises _TooLarge."""
    gathered, size = bytearray(), 0
    async for piece in chunks:
        gathered += piece
        size += len(piece)
        if size > LARGEST:
            raise _TooLarge
        if len(gathered) >= _GATHER:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
