"""Looking for messages, newest first, by anything that is known of them, and never walking further than so many rows at once.

What is asked for decides where to look: by names and recipients an index leads to a few messages, by words the index of words
does, failed and queued ones have indexes of their own, and everything else is a walk back through the client's messages or
everybody's. The rest of the conditions are looked at row by row. Where one search looks in several places, each of them says
down to which message it looked, and a page ends where the first of them does.

The functions run inside a transaction of a reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from kurir.store.database import Database
from kurir.store.looking import Counted, Named, Names, Page, Search
from kurir.store.operations import rows, words
from kurir.store.operations.walking import (
    EVERYTHING,
    Looked,
    Quest,
    Road,
    Where,
    among,
    beginning,
    bodies,
    filled,
    is_all_older,
    one_of,
    walk,
)
from kurir.store.operations.words import WordIndex

#: And along an index, which leads to rows that lie far apart.
ALONG: Final = 15_000
#: Rows that are looked at in each of several places, at least.
LEAST: Final = 200
#: And of what the index of words gives.
FEW: Final = 200
#: Pages' worth of rows that a count looks at, at most, and those of them that read what messages say.
PAGES: Final = 20
WORDS_PAGES: Final = 3
#: Accounts whose queues are looked through by themselves.
_QUEUES: Final = 60

_NAMED: Final = "SELECT seq, client_id, tid FROM message\n"

_BY_TID: Final = "SELECT seq FROM message WHERE tid = ?"
_BY_OWN_ID: Final = """
SELECT message.seq FROM client CROSS JOIN idempotency ON idempotency.client_id = client.id AND idempotency.message_id = ?
CROSS JOIN message ON message.tid = idempotency.tid
"""
_BY_PLATFORM_ID: Final = """
SELECT message.seq FROM account CROSS JOIN platform_id
    ON platform_id.account_id = account.id AND platform_id.platform_id = ? AND platform_id.tid <> ''
CROSS JOIN message ON message.tid = platform_id.tid
"""
_BY_RECIPIENT: Final = """
SELECT seq FROM message INDEXED BY message_by_recipient
WHERE client_id IN ({clients}) AND recipient IN ({spellings}) AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""
_BY_ADDRESS: Final = """
SELECT seq FROM message INDEXED BY message_by_address
WHERE address IN ({spellings}) AND address <> '' AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""
_BY_LANE: Final = """
SELECT seq FROM message INDEXED BY message_by_lane
WHERE lane IN ({spellings}) AND queued = 0 AND lane <> address AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""
_IN_LANE: Final = """
SELECT seq FROM message INDEXED BY message_in_lane
WHERE account_id IN (SELECT id FROM account) AND lane IN ({spellings}) AND queued = 1 AND seq > ? AND seq < ?
ORDER BY seq DESC LIMIT ?
"""
_ALL_CLIENTS: Final = "SELECT id FROM client"
_ACCOUNTS: Final = "SELECT id, client_id FROM account ORDER BY id LIMIT ?"
_CLIENT_OF: Final = "SELECT client_id FROM account WHERE id = ?"
#: What has a higher number than when it was accepted.
_AGAIN: Final = """
SELECT seq FROM message INDEXED BY message_run_again WHERE run > 1 AND accepted_at >= ? AND accepted_at < ? LIMIT ?
"""
_ACCEPTED_AT: Final = "SELECT accepted_at FROM message WHERE seq >= ? ORDER BY seq LIMIT 1"


#: Looks at one place: below a seq, for so many rows.
_Look = Callable[[int, int], Looked]


# --- what is asked for --------------------------------------------------------------------------------------------------


def search(db: Database, index: WordIndex, wanted: Search, limit: int) -> Page:
    """Return up to *limit* messages that *wanted* lets through."""
    if wanted.words and words.is_off(db):
        return Page((), complete=True, text_searched=False)
    found, next_seq = _page(_quest(db, index, wanted, rows.MESSAGE), limit)
    back_to = None if next_seq is None else rows.moment_or_none(_accepted_at(db, next_seq))
    return Page(tuple(map(rows.message, found)), next_seq is None, next_seq, back_to)


def tids(db: Database, index: WordIndex, wanted: Search, at_most: int) -> Names:
    """Return which messages *wanted* lets through, as far as a count looks."""
    if wanted.words and words.is_off(db):
        return Names((), complete=True)
    found: list[Named] = []
    for _ in range(WORDS_PAGES if wanted.words else PAGES):
        page, next_seq = _page(_quest(db, index, wanted, _NAMED), at_most - len(found))
        found.extend(Named(*row) for row in page)
        if next_seq is None:
            return Names(tuple(found), complete=True)
        wanted = replace(wanted, before_seq=next_seq)
        if len(found) >= at_most:
            break
    return Names(tuple(found), False, wanted.before_seq, rows.moment_or_none(_accepted_at(db, wanted.before_seq or 0)))


def count(db: Database, index: WordIndex, wanted: Search, at_most: int) -> Counted:
    """Return how many messages *wanted* lets through, as far as :func:`tids` looks."""
    names = tids(db, index, wanted, at_most)
    return Counted(len(names.found), names.complete, names.looked_back_to)


def snippets(db: Database, seqs: Sequence[int]) -> dict[int, bytes]:
    """Return what messages say, by seq."""
    return dict(bodies(db, seqs))


def _quest(db: Database, index: WordIndex, wanted: Search, select: str) -> Quest:
    return Quest(db, wanted, select, _kept(wanted), words.needles_of(wanted.words), index)


def _page(quest: Quest, limit: int) -> tuple[list[rows.Row], int | None]:
    """Return up to *limit* rows, newest first, and the seq to go on below, None where there are no more."""
    before = rows.FOREVER if quest.wanted.before_seq is None else quest.wanted.before_seq
    looked = [look(before, limit + 1) for look in _places(quest)]
    down_to = max((each.down_to for each in looked), default=quest.floor)
    by_seq = {row[0]: row for each in looked for row in each.found if row[0] >= down_to}
    found = [by_seq[seq] for seq in sorted(by_seq, reverse=True)]
    if len(found) > limit:
        return found[:limit], found[limit - 1][0]
    return found, down_to if down_to > quest.floor else None


def _accepted_at(db: Database, seq: int) -> int | None:
    row = db.execute(_ACCEPTED_AT, (seq,)).fetchone()
    return None if row is None else int(row[0])


# --- conditions ---------------------------------------------------------------------------------------------------------


_NOTHING: Final = Where("1 = 0")


def _kept(wanted: Search) -> Where:
    """Return the conditions on a message's row."""
    found = Where("1 = 1")
    if wanted.client_ids is not None:
        found += one_of("client_id", wanted.client_ids) if wanted.client_ids else _NOTHING
    for column, value in (
        ("channel", wanted.channel),
        ("account_id", wanted.account_id),
        ("tid", wanted.tid),
        ("message_id", wanted.message_id),
        ("type", wanted.type),
        ("error_code", wanted.error_code),
    ):
        if value is not None:
            found += Where(f"{column} = ?", (value,))
    if wanted.statuses:
        found += one_of("status", [int(status) for status in wanted.statuses])
    if wanted.queued is not None:
        found += Where("queued = ?", (int(wanted.queued),))
    if wanted.since is not None:
        found += Where("accepted_at >= ?", (rows.micros(wanted.since),))
    if wanted.until is not None:
        found += Where("accepted_at < ?", (rows.micros(wanted.until),))
    if wanted.recipients:
        each = [one_of(column, wanted.recipients) for column in ("recipient", "lane", "address")]
        text = " OR ".join(one.text for one in each)
        found += Where(f"({text})", tuple(value for one in each for value in one.values))
    return found


# --- places -------------------------------------------------------------------------------------------------------------


def _places(quest: Quest) -> list[_Look]:
    """Return where to look, so that all of them together have whatever is asked for."""
    wanted = quest.wanted
    if wanted.client_ids == ():
        return []
    named = _named(quest)
    if named is not None:
        return [lambda before, limit: among(quest, named, quest.floor, before, limit)]
    if wanted.recipients:
        return [lambda before, limit: _to_recipients(quest, before, limit)]
    leaping, again = _leaping(quest)
    if any(len(needle) >= words.GRAM for needle in quest.needles):
        return [*again, lambda before, limit: _by_words(leaping, before, limit), *_not_indexed(leaping)]
    return [*again, *_walks(leaping, _roads(leaping))]


def _leaping(quest: Quest) -> tuple[Quest, list[_Look]]:
    """Return *quest* so that it leaps over what was accepted too late, where it can, and the place of what it leaps over."""
    wanted = quest.wanted
    if wanted.until is None:
        return quest, []
    since = 0 if wanted.since is None else rows.micros(wanted.since)
    values = (since, rows.micros(wanted.until), quest.budget + 1)
    again = sorted((seq for (seq,) in quest.db.execute(_AGAIN, values)), reverse=True)
    if len(again) > quest.budget:
        return quest, []
    return replace(quest, leaps=True), [lambda before, limit: among(quest, again, quest.floor, before, limit)]


def _named(quest: Quest) -> list[int] | None:
    """Return the messages of a name, None where none is asked for."""
    asked = (
        (_BY_TID, quest.wanted.tid),
        (_BY_OWN_ID, quest.wanted.message_id),
        (_BY_PLATFORM_ID, quest.wanted.platform_id),
    )
    found: set[int] | None = None
    for statement, name in asked:
        if name is not None:
            these = {seq for (seq,) in quest.db.execute(statement, (name,))}
            found = these if found is None else found & these
    return None if found is None else sorted(found, reverse=True)


def _roads(quest: Quest) -> list[Road]:
    """Return the ways along which everything lies that is asked for."""
    wanted = quest.wanted
    if wanted.error_code is not None:
        return [Road("message_by_error", Where("error_code = ? AND status < 0", (wanted.error_code,)))]
    if wanted.statuses and all(status < 0 for status in wanted.statuses):
        each = dict.fromkeys(int(status) for status in wanted.statuses)
        return [Road("message_failed", Where("status = ? AND status < 0", (status,))) for status in each]
    if wanted.queued:
        accounts = _queues(quest)
        if accounts is not None:
            queue = "account_id = ? AND priority = ? AND queued = 1"
            return [
                Road("message_in_queue", Where(queue, (account_id, priority)))
                for account_id in accounts
                for priority in ("high", "normal", "bulk")
            ]
    clients = wanted.client_ids
    if wanted.account_id is not None:
        owner = quest.db.execute(_CLIENT_OF, (wanted.account_id,)).fetchone()
        if owner is not None and clients is None:
            clients = (owner[0],)
    if clients is None:
        return [EVERYTHING]
    return [Road("message_by_client", Where("client_id = ?", (client_id,))) for client_id in dict.fromkeys(clients)]


def _queues(quest: Quest) -> list[str] | None:
    """Return the accounts whose queues have everything queued that is asked for, None where they are many."""
    if quest.wanted.account_id is not None:
        return [quest.wanted.account_id]
    accounts = list(quest.db.execute(_ACCOUNTS, (_QUEUES + 1,)))
    if len(accounts) > _QUEUES:
        return None
    scope = quest.wanted.client_ids
    return [account_id for account_id, client_id in accounts if scope is None or client_id in scope]


def _walks(quest: Quest, roads: Sequence[Road]) -> list[_Look]:
    most = min(ALONG, quest.budget) if roads and roads[0].hint else quest.budget
    budget = max(most // max(1, len(roads)), min(LEAST, most))
    return [lambda before, limit, road=road: walk(quest, road, before, limit, budget) for road in roads]  # type: ignore[misc]


def _not_indexed(quest: Quest) -> list[_Look]:
    """Return where messages are that the index of words does not have yet."""
    scope = quest.wanted.client_ids
    late = [each for each in words.behind(quest.db) if scope is None or each.client_id in scope]
    beyond = [
        Road("message_by_client", Where("client_id = ? AND seq > ?", (each.client_id, each.reached))) for each in late
    ]
    return _walks(quest, beyond)


# --- looking ------------------------------------------------------------------------------------------------------------


def _to_recipients(quest: Quest, before: int, limit: int) -> Looked:
    """Look at the messages to any of the recipients: by how they were named, by their address, by their lane."""
    listed, spellings = filled(quest.wanted.recipients)
    clients, scope = _ALL_CLIENTS, tuple[str, ...]()
    if quest.wanted.client_ids is not None:
        clients, scope = filled(quest.wanted.client_ids)
    down_to, seqs = quest.floor, set[int]()
    for statement, values in (
        (_BY_RECIPIENT, (*scope, *spellings)),
        (_BY_ADDRESS, spellings),
        (_BY_LANE, spellings),
        (_IN_LANE, spellings),
    ):
        text = statement.replace("{clients}", clients).replace("{spellings}", listed)
        these = [seq for (seq,) in quest.db.execute(text, (*values, quest.floor - 1, before, quest.budget))]
        seqs.update(these)
        if len(these) == quest.budget:
            down_to = max(down_to, these[-1])
    return among(quest, sorted((seq for seq in seqs if seq >= down_to), reverse=True), down_to, before, limit)


def _by_words(quest: Quest, before: int, limit: int) -> Looked:
    """Look at the messages that the index of words gives."""
    found: list[rows.Row] = []
    before = beginning(quest, EVERYTHING, before)
    for size in (min(FEW, quest.budget), quest.budget - FEW):
        if size <= 0:
            break
        between = (quest.floor - 1, before)
        seqs, before_next = quest.index.find(quest.db, quest.needles, quest.wanted.client_ids, between, size)
        looked = among(quest, seqs, before_next, before, limit - len(found))
        found.extend(looked.found)
        before = looked.down_to
        if len(found) == limit or before <= quest.floor:
            break
        if is_all_older(quest, EVERYTHING, before):
            return Looked(found, quest.floor)
    return Looked(found, before)
