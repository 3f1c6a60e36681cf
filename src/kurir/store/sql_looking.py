"""The store's part that people look at: searches, words, tallies."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from kurir.store.database import Database, Operation, Whose
from kurir.store.feed import Replay
from kurir.store.looking import (
    Counted,
    ErrorTally,
    HowMany,
    LastOfAccount,
    LatelyTried,
    Names,
    Page,
    People,
    PeopleSearch,
    Search,
    Story,
    Tally,
)
from kurir.store.operations import deliveries, people_search, search, story, tallies, words
from kurir.store.operations.tallies import Bite
from kurir.store.operations.words import WordIndex

T = TypeVar("T")

#: What concerns the index of words as a whole: nobody else waits for it.
_WORDS: Final = Whose(client_id=" words")
#: Transactions of tallies that are asked for at once.
_AT_ONCE: Final = 50


class SqlLooking(ABC):
    """:class:`kurir.store.looking.LookingStore` over SQL. An engine brings its index of words."""

    word_index: WordIndex

    @abstractmethod
    async def _write(self, whose: Whose, operation: Operation[T], *, seconds: float | None = None) -> T: ...

    @abstractmethod
    async def _study(self, operation: Operation[T], *, seconds: float | None = None) -> T: ...

    @abstractmethod
    def idle(self) -> bool:
        """Return whether nobody waits for a write just now."""

    # --- searches ----------------------------------------------------------------------------------------------------

    async def search(self, wanted: Search, limit: int) -> Page:
        """Return up to *limit* messages that *wanted* lets through, newest first."""
        return await self._study(lambda db: search.search(db, self.word_index, wanted, limit))

    async def count(self, wanted: Search, at_most: int) -> Counted:
        """Return how many messages *wanted* lets through."""
        return await self._study(lambda db: search.count(db, self.word_index, wanted, at_most))

    async def tids(self, wanted: Search, at_most: int) -> Names:
        """Return which messages *wanted* lets through, newest first."""
        return await self._study(lambda db: search.tids(db, self.word_index, wanted, at_most))

    async def snippets(self, seqs: Sequence[int]) -> dict[int, bytes]:
        """Return what messages say, by seq."""
        return await self._study(lambda db: search.snippets(db, seqs))

    async def story(self, client_ids: tuple[str, ...] | None, tid: str) -> Story | None:
        """Return a message with all that is known of it."""
        return await self._study(lambda db: story.story(db, client_ids, tid))

    # --- people and callbacks ----------------------------------------------------------------------------------------

    async def people(self, wanted: PeopleSearch, limit: int) -> People:
        """Return up to *limit* contacts that *wanted* lets through."""
        return await self._study(lambda db: people_search.people(db, wanted, limit))

    async def lately_tried(self, endpoint_id: str, limit: int) -> list[LatelyTried]:
        """Return up to *limit* tries of an endpoint's newest events."""
        return await self._study(lambda db: deliveries.lately(db, endpoint_id, limit))

    async def replayable(self, endpoint_id: str, wanted: Replay) -> HowMany:
        """Return how many callbacks a replay would owe again."""
        return await self._study(lambda db: deliveries.replayable(db, endpoint_id, wanted))

    # --- tallies -----------------------------------------------------------------------------------------------------

    async def tallies(
        self,
        since: datetime,
        until: datetime,
        step_seconds: int,
        client_ids: tuple[str, ...] | None = None,
        *,
        by_account: bool = True,
        account_id: str | None = None,
        kind: str | None = None,
    ) -> list[Tally]:
        """Return how much happened in each step, by account and kind."""
        between = (since, until)
        return await self._study(
            lambda db: tallies.tallies(
                db, between, step_seconds, client_ids, by_account=by_account, account_id=account_id, kind=kind
            )
        )

    async def top_errors(
        self, since: datetime, client_ids: tuple[str, ...] | None = None, limit: int = 5
    ) -> list[ErrorTally]:
        """Return the codes that most messages failed with, most frequent first."""
        return await self._study(lambda db: tallies.top_errors(db, since, client_ids, limit))

    async def last_of_accounts(self, client_ids: tuple[str, ...] | None = None) -> list[LastOfAccount]:
        """Return what was last heard of each account, by id."""
        return await self._study(lambda db: tallies.last_of_accounts(db, client_ids))

    async def pulse(self) -> tuple[int, ...]:
        """Return the newest numbers of messages, events and quarantined webhooks."""
        return await self._study(tallies.pulse)

    # --- following ---------------------------------------------------------------------------------------------------

    async def tally(self, limit: int) -> bool:
        """Count about *limit* new messages and events."""
        bites, more = await self._study(lambda db: tallies.read(db, limit))
        for first in range(0, len(bites), _AT_ONCE):
            kept = await asyncio.gather(*(self._keep_tallies(bite) for bite in bites[first : first + _AT_ONCE]))
            more = more or not all(kept)
        return more

    async def _keep_tallies(self, bite: Bite) -> bool:
        return await self._write(Whose(client_id=bite.client_id), lambda db: tallies.keep(db, bite))

    async def index_words(self, limit: int, *, on: bool = True) -> int:
        """Make up to *limit* messages findable by their words, or drop as many."""
        off = await self._study(words.is_off)
        if not on:
            if off and await self._study(words.is_empty):
                return 0
            return await self._write(_WORDS, lambda db: words.turn_off(db, self.word_index, limit))
        if off:
            await self._write(_WORDS, words.turn_on)
        bites = await self._study(lambda db: _next_words(db, limit))
        for bite in bites:
            await self._keep_words(bite)
        return sum(bite.number for bite in bites)

    async def _keep_words(self, bite: words.Bite) -> None:
        await self._write(Whose(client_id=bite.client_id), lambda db: words.keep(db, self.word_index, bite))


def _next_words(db: Database, limit: int) -> list[words.Bite]:
    bites: list[words.Bite] = []
    for one in words.behind(db):
        left = limit - sum(bite.number for bite in bites)
        if left <= 0:
            break
        bites.append(words.read(db, one, left))
    return bites
