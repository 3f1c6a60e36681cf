"""The words of messages: what of a message is searched, how text and words are compared, and the index that finds them.

Both are compared in Unicode's compatibility form with their case folded, so that ABC in wide letters, abc and ABC are the
same, and what the index finds is compared once more with what the message says. So both databases find the same, and an index
may be coarse: of every three characters in a row. Words of Thai, Japanese or Chinese, which no blank separates, are found like
that too.

The index follows behind a mark for each client (``followed``): nothing of it is done where a message is accepted.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kurir.store.database import Database

#: An index knows parts of so many characters; shorter ones are found by reading.
GRAM: Final = 3
#: Characters of a message that are indexed, and searched.
LONGEST: Final = 10_000
#: Words of a search that count, and characters of each.
MOST_NEEDLES: Final = 8
LONGEST_NEEDLE: Final = 200
#: Where a field ends. No word has it, so that none is found across two fields.
_END: Final = "\n"
#: What is not as compared text has it: NUL, and any blank but one space between two words.
_ODD: Final = re.compile(r"\0|[^\S ]|  |\A | \Z")
_QUOTED_OR_WORD: Final = re.compile(r'"([^"]*)"|(\S+)')

#: A client with messages beyond its mark. A mark is below every seq at first.
_BEHIND: Final = """
SELECT client.id, coalesce(followed.reached, 0)
FROM client LEFT JOIN followed ON followed.what = 'words' AND followed.client_id = client.id
WHERE EXISTS (SELECT 1 FROM message WHERE message.client_id = client.id AND message.seq > coalesce(followed.reached, 0))
ORDER BY client.id
"""
_NEXT: Final = """
SELECT message.seq, content.body FROM message JOIN content ON content.seq = message.seq
WHERE message.client_id = ? AND message.seq > ? ORDER BY message.seq LIMIT ?
"""
#: Not what was erased, renumbered or deleted since it was read.
STILL_THERE: Final = "EXISTS (SELECT 1 FROM message WHERE seq = ? AND erased_at IS NULL)"
_FIRST_MARK: Final = (
    "INSERT INTO followed (what, client_id, reached) VALUES (?, ?, 0) ON CONFLICT (what, client_id) DO NOTHING"
)
_MOVE_MARK: Final = "UPDATE followed SET reached = ? WHERE what = ? AND client_id = ? AND reached = ?"
_FORGET: Final = "DELETE FROM words WHERE rowid = ?"
_DROP_MARKS: Final = "DELETE FROM followed WHERE what = 'words'"

_OFF: Final = "SELECT 1 FROM meta WHERE key = 'text_search' AND value = 'off'"
_TURN_OFF: Final = "INSERT INTO meta (key, value) VALUES ('text_search', 'off') ON CONFLICT (key) DO NOTHING"
_TURN_ON: Final = "DELETE FROM meta WHERE key = 'text_search'"

_ANY_WORDS: Final = "SELECT rowid FROM words LIMIT 1"
_ANY_MARK: Final = "SELECT 1 FROM followed WHERE what = 'words' LIMIT 1"


class WordIndex(Protocol):
    """An engine's own index. Its rows are by seq; it may find too much, and never too little."""

    def put(self, db: Database, client_id: str, found: Sequence[tuple[int, str]]) -> None:
        """Index messages of a client (seq, folded words) as far as they are there, and not indexed yet."""
        ...

    def find(
        self,
        db: Database,
        needles: Sequence[str],
        client_ids: Sequence[str] | None,
        between: tuple[int, int],
        limit: int,
    ) -> tuple[list[int], int]:
        """Return up to *limit* seqs that may have all *needles*, newest first, of those *between* (neither included).

        With it the seq down to which it looked, which is the lower bound where it looked at all.
        """
        ...

    def empty(self, db: Database, limit: int) -> int:
        """Delete *limit* rows, or all at once; return how many these were, 0 where there is no more to do."""
        ...


# --- text and needles -----------------------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """Return *text* as it is compared: compatibility form, case folded, blanks as one space, what no database keeps as ?."""
    text = text.lower() if text.isascii() else _compatible(_compatible(text).casefold())
    text = text.encode("utf-8", "replace").decode()  # half of a pair
    if _ODD.search(text):
        text = " ".join(text.replace("\0", "?").split())
    return text


def _compatible(text: str) -> str:
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def words_of(body: bytes) -> str:
    """Return the folded words of a request as it was accepted, "" where it says nothing (also one that is no JSON)."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    fields = (folded(field) for field in _fields(said))
    return _END.join(field for field in fields if field)[:LONGEST]


def _fields(said: dict[str, Any]) -> Iterable[str]:
    """Yield what a person reads, as ``kurir.intake.wire.encode`` places it. Whatever has another shape is passed over."""
    texts = [said.get("text")]
    media, header, listed = said.get("media"), said.get("header"), said.get("list")
    if isinstance(media, dict):
        texts.append(media.get("name"))
    if isinstance(header, list):
        texts.extend(header[1:2])
    texts.extend(_strings(said.get("footer")))
    for button in said.get("buttons") or ():
        texts.extend(button[1:2] if isinstance(button, list) else ())
    if isinstance(listed, list):
        texts.extend(listed[:1])
        for section in listed[1] if len(listed) > 1 and isinstance(listed[1], list) else ():
            if isinstance(section, list):
                texts.extend(section[:2])
                for row in section[2] if len(section) > 2 and isinstance(section[2], list) else ():
                    texts.extend(row[1:3] if isinstance(row, list) else ())
    template = said.get("template")
    if isinstance(template, list) and len(template) == 3:
        texts.extend((template[0], *_parameters(template[2])))
    return (text for text in texts if isinstance(text, str))


def _parameters(encoded: Any) -> Iterable[str]:
    """Yield the strings of a template's parameters."""
    try:
        found = json.loads(encoded) if isinstance(encoded, str) else None
    except ValueError:
        return ()
    return _strings(found)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def needles_of(words: str) -> tuple[str, ...]:
    """Return what has to occur: each word, and each row of words in quotes, folded; () where nothing is asked for."""
    found = (folded(quoted or word) for quoted, word in _QUOTED_OR_WORD.findall(words))
    return tuple(dict.fromkeys(needle[:LONGEST_NEEDLE] for needle in found if needle))[:MOST_NEEDLES]


def grams_of(needles: Sequence[str], most: int) -> tuple[str, ...]:
    """Return parts of three characters that whatever has all *needles* has: spread over them, up to *most* in all."""
    long = [needle for needle in needles if len(needle) >= GRAM]
    found: dict[str, None] = {}
    for needle in long:
        share = max(1, most // len(long))
        last = len(needle) - GRAM
        places = {round(last * step / max(1, share - 1)) for step in range(share)} if last else {0}
        found.update((needle[place : place + GRAM], None) for place in sorted(places))
    return tuple(found)[:most]


@dataclass(frozen=True, slots=True)
class Behind:
    """A client whose messages above *reached* are not indexed yet."""

    client_id: str
    reached: int


def behind(db: Database) -> list[Behind]:
    """Return the clients with messages that are not indexed yet."""
    return [Behind(*row) for row in db.execute(_BEHIND)]


def is_off(db: Database) -> bool:
    """Return whether nothing may be searched for words."""
    return db.execute(_OFF).fetchone() is not None


# --- following ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bite:
    """Messages of a client that come next, read: (seq, folded words), and the mark before them and after.

    ``number`` of messages, also of those that say nothing.
    """

    client_id: str
    reached: int
    up_to: int
    number: int
    found: tuple[tuple[int, str], ...]


def read(db: Database, one: Behind, limit: int) -> Bite:
    """Return the client's next messages; inside a transaction of a reader."""
    rows = list(db.execute(_NEXT, (one.client_id, one.reached, limit)))
    found = tuple((seq, words) for seq, body in rows if (words := words_of(body)))
    return Bite(one.client_id, one.reached, rows[-1][0] if rows else one.reached, len(rows), found)


def keep(db: Database, index: WordIndex, bite: Bite) -> bool:
    """Index a bite, unless somebody did meanwhile, or it was called off."""
    if bite.up_to == bite.reached or is_off(db) or not move_mark(db, "words", bite.client_id, bite.reached, bite.up_to):
        return False
    index.put(db, bite.client_id, bite.found)
    return True


def move_mark(db: Database, what: str, client_id: str, reached: int, up_to: int) -> bool:
    """Move a client's mark, where it still stands at *reached*."""
    if not reached:
        db.execute(_FIRST_MARK, (what, client_id))
    db.execute(_MOVE_MARK, (up_to, what, client_id, reached))
    return db.changes() > 0


def forget(db: Database, seq: int) -> None:
    """Let a message be found by its words no more."""
    db.execute(_FORGET, (seq,))


def is_empty(db: Database) -> bool:
    """Return whether nothing is indexed, and nothing was called indexed."""
    return all(db.execute(statement).fetchone() is None for statement in (_ANY_WORDS, _ANY_MARK))


def turn_on(db: Database) -> None:
    """Let messages be searched for words, from the first one on where that was called off."""
    db.execute(_TURN_ON)


def turn_off(db: Database, index: WordIndex, limit: int) -> int:
    """Call searches for words off, and delete rows of the index; return 0 once there are no more."""
    db.execute(_TURN_OFF)
    db.execute(_DROP_MARKS)
    return index.empty(db, limit)
