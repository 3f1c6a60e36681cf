"""Traces of OpenTelemetry, where an installation wants them: what a send led to, in other systems too, as one picture.

A send may bring the W3C header ``traceparent`` (https://www.w3.org/TR/trace-context/, read 2026-11-23). What is stored with
the message is that of our own span of the accept, which continues it: so calls and callbacks hang under it days later,
after a restart and on another node. It stands at the end of the message's body, behind what its fingerprint covers: a
request whose trace differs is the same request.

The library is the extra ``kurir[otel]``, and is imported where traces are wanted only. Spans go out by its own exporter, in a
thread and batches of its own (OTLP over HTTP); where the collector is away they are dropped, and nothing waits for that.
No span has a text, a phone number or a person.
"""

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger(__name__)

#: How often it is said that spans do not reach the collector, in seconds: the library says it at every try.
TOLD_SECONDS: Final = 60.0
#: How long the last spans may take to leave at a stop, in seconds.
CLOSE_SECONDS: Final = 2.0
#: The header of sends and of callbacks.
HEADER: Final = "traceparent"
#: Version, trace, parent and flags. What a later version has behind that is passed over, as the standard wants it (3.2.2.1).
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
#: The one flag that we pass on: whoever began the trace keeps it.
_SAMPLED: Final = 0x01
_BEGIN: Final = b',"trace":"'
_END: Final = b'"}'
#: How long the piece at the end of a body is that has the trace, in bytes.
TAIL: Final = len(_BEGIN) + 55 + len(_END)

Attribute: TypeAlias = str | int
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class Kind(Enum):
    """Whether we were called, or call."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Parent:
    """What a request belongs to: its ``traceparent``, "" for nothing; and when it came, in nanoseconds of Unix time."""

    header: str
    at_ns: int


def installed() -> bool:
    """Return whether the extra is there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def parent_of(headers: Headers) -> Parent:
    """Return what a request with these *headers* belongs to. One that is wrong, or told twice, counts as absent."""
    told = [value for name, value in headers if name == b"traceparent"]
    header = told[0].decode("latin-1").strip() if len(told) == 1 else ""
    return Parent(header if _read(header) is not None else "", time.time_ns())


def _read(header: str) -> tuple[int, int, int] | None:
    """Return (trace, span, flags) of a ``traceparent``, None where it is none."""
    found = _PARENT.fullmatch(header)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return (trace, span, int(found[4], 16)) if trace and span else None


def marked(body: bytes, header: str) -> bytes:
    """Return the canonical *body* of a message with the trace that it belongs to."""
    return body[:-1] + _BEGIN + header.encode("ascii") + _END


def found(body: bytes) -> str:
    """Return the ``traceparent`` in the *body* of a message, or in its last :data:`TAIL` bytes; "" where there is none.

    What a person wrote cannot pass for one: in it every quotation mark has a backslash before it.
    """
    tail = body[-TAIL:]
    if len(tail) < TAIL or not tail.startswith(_BEGIN) or not tail.endswith(_END):
        return ""
    header = tail[len(_BEGIN) : -len(_END)].decode("latin-1")
    return header if _read(header) is not None else ""


class Span:
    """Something that takes time. It counts when it ends, and ends once."""

    def __init__(self, span: Any, failed: Any) -> None:
        self._span = span
        self._failed = failed
        self._open = True
        at = span.get_span_context()
        self.traceparent = f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"

    def end(self, error: str = "", at_ns: int | None = None, **attributes: Attribute) -> None:
        """End it, now or at *at_ns*, with more *attributes*; with *error*, a word of a closed set, it failed."""
        if not self._open:
            return
        self._open = False
        if self._span.is_recording():
            self._span.set_attributes({f"kurir.{name}": value for name, value in attributes.items()})
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(self._failed)
        self._span.end(at_ns)


class Complaints(logging.Handler):
    """Tells as one event of our log, once in :data:`TOLD_SECONDS`, what the library has to complain of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told_at: float | None = None
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, or count it."""
        now = time.monotonic()
        if self._told_at is not None and now - self._told_at < TOLD_SECONDS:
            self._left_out += 1
            return
        before, self._told_at, self._left_out = self._left_out, now, 0
        log.warning("traces_not_sent", why=record.getMessage()[:300], **({"left_out": before} if before else {}))


def listen(name: str = "opentelemetry") -> None:
    """Hear what the library logs, instead of the handler of all others; once, however often it is called."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, Complaints) for one in logger.handlers):
        logger.addHandler(Complaints())
        logger.propagate = False


class Traces:
    """Spans, and where they go: *place* is the URL of a collector that takes OTLP over HTTP."""

    def __init__(self, place: str, version: str, exporter: "SpanExporter | None" = None) -> None:
        self._place = place
        self._version = version
        self._exporter = exporter
        self._provider: Any = None
        self._tracer: Any = None
        self._api: Any = None
        self._nothing: Any = None

    def open(self) -> None:
        """Begin to take spans. Raises ImportError where the extra is not installed."""
        from opentelemetry import trace  # noqa: PLC0415 - the extra
        from opentelemetry.context import Context  # noqa: PLC0415 - the extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the extra

        listen()
        self._api, self._nothing = trace, Context()  # never what happens to be current: one task serves many messages
        about = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or "kurir", "service.version": self._version}
        # It is ours to end, with a bound; and nothing is set for the whole process: it may hold several gateways.
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        exporter = self._exporter or OTLPSpanExporter(self._place, timeout=CLOSE_SECONDS * 2)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("kurir", self._version)

    def begin(self, name: str, kind: Kind, parent: Parent, attributes: Mapping[str, Attribute]) -> Span:
        """Begin a span under *parent*; the *attributes* are told as ``kurir.…``."""
        otel = self._api
        context, above = self._nothing, _read(parent.header)
        if above is not None:
            trace, span, flags = above
            told = otel.SpanContext(trace, span, is_remote=True, trace_flags=otel.TraceFlags(flags & _SAMPLED))
            context = otel.set_span_in_context(otel.NonRecordingSpan(told), context)
        begun = self._tracer.start_span(
            name,
            context,
            otel.SpanKind.SERVER if kind is Kind.SERVER else otel.SpanKind.CLIENT,
            {f"kurir.{key}": value for key, value in attributes.items()},
            start_time=parent.at_ns,
        )
        return Span(begun, otel.StatusCode.ERROR)

    async def close(self) -> None:
        """Send what is left, for :data:`CLOSE_SECONDS` at most; a collector that does not answer holds nothing up."""
        if self._provider is None:
            return
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        provider, self._provider = self._provider, None

        def end() -> None:
            with suppress(RuntimeError):  # the loop has ended before
                provider.shutdown()
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=end, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
