"""Bodies of webhooks that were spoilt: at a member of their JSON, or at a byte."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

#: What takes the place of a member: every type, and what breaks readers that trust one.
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, -(10**400), 1e308, float("inf"), float("nan"), 0.1, "", " ", "0", "null",
    "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202e\ufeff", "9" * 5000, "-1", "1e999", "x" * 70_000,
    [], {}, [[]], [None], {"": None}, {"id": []},
    [{"id": {}}] * 50, "2026-13-45T99:99:99Z", "../../etc/passwd", "<script>", "%00", "~t:" + "A" * 22, "tg:1", "𝕏" * 300,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every member of a JSON value."""
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in members:
        yield from places(one, (*path, name))


def spoilt(raw: bytes, random: Random) -> bytes:
    """Return *raw* with one to three members replaced, left out, doubled or renamed, or with some bytes changed."""
    if random.random() < 0.25:
        return _bytes_changed(bytearray(raw), random)
    value = json.loads(raw)
    for _ in range(random.randint(1, 3)):
        known = list(places(value))
        if not known:
            break
        path = random.choice(known)
        holder = value
        for step in path[:-1]:
            holder = holder[step]
        match random.randrange(6):
            case 0:
                del holder[path[-1]]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[path[-1]]))
            case 1:
                holder[f"{path[-1]}\x00"] = holder.pop(path[-1])
            case _:
                holder[path[-1]] = copy.deepcopy(random.choice(JUNK))
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _bytes_changed(raw: bytearray, random: Random) -> bytes:
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(raw)) if raw else 0
        match random.randrange(5):
            case 0:
                raw[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = random.randbytes(random.randint(1, 20))
            case 3:
                del raw[at : at + random.randint(1, 30)]
            case _:
                raw[at:at] = random.choice([b"\x00", b"\xff\xfe", b"[" * 500, b'"\\ud800"', b"9" * 400, b"{}", b",,"])
    return bytes(raw)


def extremes(good: bytes) -> list[tuple[str, bytes]]:
    """Return the named bodies that no chance is left to make."""
    deep = 100_000
    return [
        ("nothing", b""),
        ("NUL", b"\x00" * 100),
        ("5 MB", b" " * 5_000_000),
        ("nested lists", b"[" * deep + b"]" * deep),
        ("nested objects", b'{"a":' * deep + b"1" + b"}" * deep),
        ("half nested", b'{"update_id":1,"message":' * deep),
        ("a huge number", b'{"update_id":' + b"9" * 1_000_000 + b"}"),
        ("a number without end", b'{"update_id":1e' + b"9" * 5000 + b"}"),
        ("UTF-16", good.decode().encode("utf-16")),
        ("a lone surrogate", good[:-1] + b',"x":"\\ud800"}'),
        ("bytes that are no UTF-8", good[:-1] + b',"x":"\xff\xfe"}'),
        ("a doubled member", good[:-1] + b',"entry":1,"events":1,"message":1}'),
        ("no object", b"[1,2,3]"),
        ("words", b"hello"),
        ("NaN", b'{"update_id":NaN}'),
        ("a million members", b'{"entry":[' + b"0," * 1_000_000 + b"0]}"),
    ]
