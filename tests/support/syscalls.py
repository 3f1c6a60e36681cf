"""Reads what strace saw, and tells whether every answer left after its row was on disk.

Run the process under ``strace -f -y -s 8192 -e trace=...`` (:data:`STRACE`): ``-y`` names the file behind a descriptor, and
``-s`` shows enough of a page to find the row in it. An answer is a write whose text matches a pattern; the pattern's first
group is an id that the row holds too, as text.
"""

import re
from dataclasses import dataclass, field

STRACE = ("strace", "-f", "-y", "-qq", "-s", "8192", "-e", "trace=write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync")

_LINE = re.compile(r"(?:\[pid +)?(\d+)\]? +(.*)")
_CALL = re.compile(r"(?:(?P<name>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>|<\.\.\. (?P<resumed>\w+) resumed>)")
_SYNCS = ("fdatasync", "fsync")


@dataclass
class Verdict:
    """``answers`` in the order they were given; ``early`` are those that left before their row was synced."""

    answers: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)


@dataclass
class _Sync:
    began: int
    ended: int | None = None


def judge(trace: str, answer: re.Pattern[str], log: str = "-wal") -> Verdict:
    """Compare answers with syncs of the file whose name ends in *log*.

    An answer is early unless a sync of that file began after the row was first written into it and ended, with success,
    before the answer's write began.
    """
    verdict = Verdict()
    written: dict[str, int] = {}
    syncs: list[_Sync] = []
    open_syncs: dict[str, _Sync] = {}
    uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    for number, line in enumerate(trace.splitlines()):
        found = _LINE.match(line)
        call = _CALL.match(found[2]) if found else None
        if found is None or call is None:
            continue
        thread, rest = found[1], found[2]
        if call["resumed"]:
            if call["resumed"] in _SYNCS and thread in open_syncs:
                sync = open_syncs.pop(thread)
                sync.ended = number if rest.rstrip().endswith("= 0") else None
        elif call["name"] in _SYNCS:
            if call["path"].endswith(log):
                sync = _Sync(number)
                syncs.append(sync)
                if rest.endswith("<unfinished ...>"):
                    open_syncs[thread] = sync
                elif rest.rstrip().endswith("= 0"):
                    sync.ended = number
        elif call["path"].endswith(log):
            for name in uuid.findall(rest):
                written.setdefault(name, number)
        else:
            for name in answer.findall(rest):
                verdict.answers.append(name)
                if not _covered(written.get(name), syncs, number):
                    verdict.early.append(name)
    return verdict


def _covered(row: int | None, syncs: list[_Sync], answer: int) -> bool:
    return row is not None and any(
        sync.began > row and sync.ended is not None and sync.ended < answer for sync in syncs
    )
