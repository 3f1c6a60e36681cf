"""Server-sent events, read as the HTML standard says (html.spec.whatwg.org, "Server-sent events"). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kurir.client.errors import UNREADABLE_ANSWER, KurirError

#: The largest event that is taken, in bytes: what never ends must not fill the memory.
LARGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the stream. One without ``data`` is no event, and moves the cursor when it has an ``id``."""

    id: str = ""
    event: str = ""
    data: str = ""


class Parser:
    """Takes the bytes of a stream, in pieces of any size, and gives its frames."""

    def __init__(self) -> None:
        self._rest = b""
        self._held = 0
        self._fields: dict[str, list[str]] = {}

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that *piece* completes. Raises KurirError for an event beyond LARGEST."""
        lines = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        self._held += len(piece)
        if self._held > LARGEST:
            raise KurirError(UNREADABLE_ANSWER, f"an event of the stream has more than {LARGEST // 2**20} MiB")
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))
                continue
            self._held = len(self._rest)
            fields, self._fields = self._fields, {}
            if fields:
                yield Frame(_last(fields, "id"), _last(fields, "event"), "\n".join(fields.get("data", [])))

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name:  # a line that begins with a colon is a comment: the gateway's way to say that it is still there
            self._fields.setdefault(name, []).append(value.removeprefix(" "))


def _last(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1]
