"""What happened on the phones, in order: what the platforms received, and what people did. It can be saved and played again.

The format is :data:`FORMAT`; ``docs/how-to/drive-the-phones.md`` shows it. No token is in it: of a path only the end is kept,
of a body everything but ``access_token``, and LINE's tokens become the ids of the messages that they stand for.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from kurir.sandbox.acts import FILES, Act
from kurir.sandbox.media import DEMO_FILES
from kurir.sandbox.view import Block
from kurir.sandbox.wire import MAX_UPLOAD_BODY, File, Form, JsonObject, TooLargeError, UnreadableError, parse_form

#: The version of the format, the value of its first member.
FORMAT: Final = 1
#: Steps that are kept; then the oldest go.
MAX_STEPS: Final = 2000
#: Bytes of a request that are kept as they came; of a larger one its fields, if these are not what makes it large.
MAX_RAW: Final = 64 * 1024
#: Where the sandbox keeps what a client uploaded: the id in it is another one every time.
_UPLOADS: Final = "/uploads/"
#: What is no difference between two bubbles.
_UNTOLD: Final = ("length", "limit")

#: The blocks of one bubble.
Blocks = tuple[Block, ...]

_PLAIN: Final = Block("")


@dataclass(frozen=True, slots=True)
class Received:
    """One request on a sending endpoint: *call* is the end of its path. *ids* are those of the messages that it became."""

    call: str
    raw: bytes
    content_type: str
    query: Mapping[str, str]
    status: int
    ids: tuple[str, ...]
    shown: tuple[Blocks, ...] = ()
    quotes: Mapping[str, str] = field(default_factory=dict)

    def form(self) -> Form:
        """Return the fields and files of the request."""
        return form_of(self.raw, self.content_type, self.query)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, *at* so many seconds of the sandbox's clock. *facts* are its members in the transcript."""

    at: float
    channel: str
    person: str
    facts: JsonObject
    received: Received | None = None


def form_of(raw: bytes, content_type: str, query: Mapping[str, str]) -> Form:
    """Return the fields and files of a body; none where it cannot be read."""
    try:
        return parse_form(raw, content_type or "application/json", dict(query), limit=MAX_UPLOAD_BODY)
    except (UnreadableError, TooLargeError):
        return Form()


class Transcript:
    """The steps of one sandbox since its last reset."""

    def __init__(self, now: Callable[[], float], quoted: Callable[[str], str]) -> None:
        """Take the clock in seconds, and what tells the message of a LINE quote token."""
        self._now = now
        self._quoted = quoted
        self._steps: deque[Step] = deque(maxlen=MAX_STEPS)

    def clear(self) -> None:
        """Forget all steps."""
        self._steps.clear()

    def did(self, channel: str, person: str, act: Act, bubble_id: str) -> None:
        """Keep what a person did, and the id of the message that it became."""
        changed = {one.name: getattr(act, one.name) for one in fields(act) if getattr(act, one.name) != one.default}
        if act.file and act.file not in DEMO_FILES:
            changed["file"] = FILES.get(act.do, "demo.pdf")  # an upload is not part of a transcript
        self._add(channel, person, {"did": changed, "id": bubble_id})

    def switched(self, channel: str, person: str, switches: Mapping[str, bool]) -> None:
        """Keep what was switched on a phone."""
        self._add(channel, person, {"switched": dict(switches)})

    def moved(self, seconds: float) -> None:
        """Keep how far the clock was moved ahead."""
        self._add("", "", {"moved": seconds})

    def broken(self, channel: str, profile: JsonObject | None) -> None:
        """Keep what goes wrong on a platform from now on, None for nothing."""
        self._add(channel, "", {"fault": profile})

    def received(self, channel: str, person: str, request: Received) -> None:
        """Keep a request on a sending endpoint."""
        if len(request.raw) > MAX_RAW:
            form = request.form()
            small = sum(len(str(value)) for value in form.fields.values()) <= MAX_RAW
            body = _body(form, self._quoted) if small else {"left_out": f"{len(request.raw)} bytes"}
            self._add(channel, person, {"received": _told(request, body)})
            return
        if channel == "line" and b"quoteToken" in request.raw:
            request = replace(request, quotes=self._quotes(request.raw))
        self._steps.append(Step(self._now(), channel, person, {}, request))

    def _quotes(self, raw: bytes) -> dict[str, str]:
        """Return the messages of the quote tokens in a request, since a reset forgets the tokens."""
        tokens = [token for token in _strings(form_of(raw, "application/json", {}).fields, "quoteToken") if token]
        return {token: self._quoted(token) for token in tokens}

    def _add(self, channel: str, person: str, facts: JsonObject) -> None:
        self._steps.append(Step(self._now(), channel, person, facts))

    def as_json(self, person: str = "") -> JsonObject:
        """Return the transcript, of one *person* where one is named."""
        steps = [step for step in self._steps if not person or step.person.lower() in ("", person.lower())]
        first = steps[0].at if steps else 0.0
        return {"kurir_transcript": FORMAT, "steps": [_step(step, first) for step in steps]}


def _step(step: Step, first: float) -> JsonObject:
    head: JsonObject = {"at": round(step.at - first, 3)}
    head |= {name: value for name, value in (("channel", step.channel), ("person", step.person)) if value}
    request = step.received
    if request is None:
        return head | step.facts
    body = _body(request.form(), lambda token: request.quotes.get(token, ""))
    return head | {"received": _told(request, body)}


def _told(request: Received, body: JsonObject) -> JsonObject:
    shown = [compact(blocks) for blocks in request.shown]
    facts = {"call": request.call, "body": body, "status": request.status, "ids": list(request.ids)}
    return facts | ({"shown": shown} if shown else {})


def _body(form: Form, quoted: Callable[[str], str]) -> JsonObject:
    """Return the fields of a request without tokens; files are described."""
    plain = {name: value for name, value in form.fields.items() if name not in ("access_token", "appsecret_proof")}
    if "replyToken" in plain:
        plain["replyToken"] = "•••"
    described = {name: _described(file) for name, file in form.files.items()}
    body: JsonObject = _replaced(plain, "quoteToken", quoted) | ({"files": described} if described else {})
    return body


def _described(file: File) -> JsonObject:
    return {"name": file.name, "type": file.content_type, "bytes": len(file.content)}


def _replaced(value: Any, name: str, change: Callable[[str], str]) -> Any:
    """Return *value* with every member *name* changed, however deep it is."""
    if isinstance(value, list):
        return [_replaced(item, name, change) for item in value]
    if isinstance(value, dict):
        return {
            key: change(item) if key == name and isinstance(item, str) else _replaced(item, name, change)
            for key, item in value.items()
        }
    return value


def _strings(value: Any, name: str) -> list[str]:
    """Return every text under the member *name*, however deep it is."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _replaced(value, name, note)
    return found


def compact(blocks: Blocks) -> list[JsonObject]:
    """Return *blocks* with the members alone that say something, and without ids that differ from run to run."""
    return [compacted(asdict(block)) for block in blocks]


def compacted(block: JsonObject) -> JsonObject:
    """Return a block's JSON with the members alone that say something; the same for two that look the same."""
    plain = asdict(_PLAIN)
    kept = {
        name: value
        for name, value in block.items()
        if name == "kind" or (value != plain.get(name) and value not in ([], (), "", None) and name not in _UNTOLD)
    }
    if _UPLOADS in str(kept.get("url", "")):
        del kept["url"]
    for name in ("choices", "spans"):
        if name in kept:
            kept[name] = [_said(one) for one in kept[name]]
    if "sections" in kept:
        kept["sections"] = [
            {"title": section["title"], "rows": [_said(row) for row in section["rows"]]} for section in kept["sections"]
        ]
    if "cards" in kept:
        kept["cards"] = [[compacted(part) for part in card] for card in kept["cards"]]
    return kept


def _said(value: JsonObject) -> JsonObject:
    return {name: one for name, one in value.items() if one != "" and name not in _UNTOLD}
