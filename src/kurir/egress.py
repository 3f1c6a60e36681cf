"""The only outgoing HTTP.

Two kinds of request leave the gateway. Calls to a platform go to the operator's ``api_base`` and are not guarded. Media
that a client names by URL are fetched through the guard: the address that is connected to is checked at connect time,
after the name was resolved, so there is no gap between check and use; each redirect hop is checked again.

What matters about a failed call is whether the first byte was handed to the socket: before, nothing was sent; after,
nobody knows. aiohttp's own retries are off for POST, and idle connections close after 10 s, so that a call on a stale
keep-alive connection is rare.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from kurir import networks
from kurir.channels.base import Answer, Call, MediaFacts, NoAnswer, Stage

CONNECT_SECONDS: Final = 10.0
#: Telegram holds a flooding request for up to 8 s and sends it later: a short read time-out would make outcomes unknown.
READ_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 10.0
MAXIMUM_ANSWER: Final = 64 * 1024
MAXIMUM_UPLOAD: Final = 50 * 1024 * 1024
MAXIMUM_PROBE: Final = 2 * 1024 * 1024
MEDIA_SECONDS: Final = 60.0
MAXIMUM_REDIRECTS: Final = 3

MASK: Final = "•••"


class EgressRefused(Exception):
    """The URL may not be fetched: its scheme, its address, or a redirect is refused."""


class MediaUnavailable(Exception):
    """The file could not be fetched. The text names the reason for the client."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and what came of it. *request* is the call as JSON text, secrets masked."""

    answer: Answer | NoAnswer
    duration_ms: int
    request: str


@dataclass(slots=True)
class _Progress:
    """Whether aiohttp has begun to write the request."""

    writing: bool = False


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """How the outside is reached.

    ``allow_networks`` opens private networks for media. ``reserved`` maps a reserved host to the base URL that stands for
    it: the sandbox's media host, in ``kurir up`` only.
    """

    allow_networks: Sequence[networks.Network] = ()
    reserved: Mapping[str, str] = field(default_factory=dict)


class Egress:
    """The HTTP clients of the process. Made and closed inside the running loop."""

    def __init__(self, settings: EgressSettings | None = None) -> None:
        self._settings = settings or EgressSettings()
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_writing)
        self._platforms = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=30),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            trace_configs=[trace],
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "kurir"},
        )
        self._media = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=50, resolver=GuardedResolver(self._settings.allow_networks)),
            timeout=aiohttp.ClientTimeout(total=MEDIA_SECONDS, connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "kurir"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._platforms.close()
        await self._media.close()

    async def send(self, call: Call, secrets: Iterable[str] = ()) -> Exchange:
        """Make *call*. Never raises: every way of failing is a NoAnswer. *secrets* are masked in the record.

        An upload's file is fetched first; when that fails, nothing was sent and the answer is a NoAnswer that says so.
        """
        started = time.monotonic()
        request = masked_request(call, secrets)
        try:
            body = await self._body(call)
        except (MediaUnavailable, EgressRefused) as error:
            answer: Answer | NoAnswer = NoAnswer(Stage.BEFORE_SEND, f"media: {error}")
        else:
            answer = await self._exchange(call, body, secrets)
        return Exchange(answer, round((time.monotonic() - started) * 1000), request)

    async def _exchange(self, call: Call, body: bytes | aiohttp.FormData, secrets: Iterable[str]) -> Answer | NoAnswer:
        progress = _Progress()
        headers = dict(call.headers)
        if isinstance(body, aiohttp.FormData):
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        try:
            async with self._platforms.request(
                call.method, call.url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=progress
            ) as response:
                content = await _read(response.content, MAXIMUM_ANSWER)
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            stage = Stage.AFTER_SEND if progress.writing else Stage.BEFORE_SEND
            return NoAnswer(stage, mask(f"{type(error).__name__}: {error}", secrets)[:500])

    async def _body(self, call: Call) -> bytes | aiohttp.FormData:
        if call.upload is None:
            return call.body()
        form = aiohttp.FormData()
        for name, value in call.json.items():
            form.add_field(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        content, content_type = await self.fetch(call.upload.source_url, MAXIMUM_UPLOAD)
        form.add_field(call.upload.field, content, filename=call.upload.filename, content_type=content_type or None)
        return form

    async def fetch(self, url: str, maximum: int) -> tuple[bytes, str]:
        """Return (content, content type) of the file at *url*, at most *maximum* bytes.

        Raises MediaUnavailable (not found, too large, too slow) or EgressRefused.
        """
        async with self._get(url) as response:
            if response.status != 200:
                raise MediaUnavailable(f"{_shown(url)} answered {response.status}")
            if response.content_length is not None and response.content_length > maximum:
                raise MediaUnavailable(f"{_shown(url)} has more than {maximum // 1024 // 1024} MiB")
            content = await _read(response.content, maximum + 1)
            if len(content) > maximum:
                raise MediaUnavailable(f"{_shown(url)} has more than {maximum // 1024 // 1024} MiB")
            return content, response.content_type

    async def probe(self, url: str) -> MediaFacts:
        """Return what the first two MiB of the file at *url* tell. Never raises: what is not known stays unknown."""
        try:
            async with self._get(url) as response:
                if response.status != 200:
                    return MediaFacts()
                head = await _read(response.content, MAXIMUM_PROBE)
                content_type, size = response.content_type, response.content_length
        except (MediaUnavailable, EgressRefused):
            return MediaFacts()
        duration = await asyncio.to_thread(duration_ms, head)
        return MediaFacts(content_type=content_type, size=size, duration_ms=duration)

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with asyncio.timeout(MEDIA_SECONDS):
                for _ in range(MAXIMUM_REDIRECTS + 1):
                    target = self._target(url)
                    async with self._media.get(target, allow_redirects=False) as response:
                        if response.status not in (301, 302, 303, 307, 308):
                            yield response
                            return
                        url = urljoin(url, response.headers.get("Location", ""))
                raise EgressRefused(f"{_shown(url)} redirects more than {MAXIMUM_REDIRECTS} times")
        except aiohttp.ClientError as error:
            cause = error.__cause__ or error.__context__ or getattr(error, "os_error", None)
            if isinstance(cause, EgressRefused) or isinstance(error, _RefusedByGuard):
                raise EgressRefused(str(cause or error)) from None
            raise MediaUnavailable(f"{_shown(url)} could not be fetched: {type(error).__name__}") from None
        except TimeoutError:
            raise MediaUnavailable(f"{_shown(url)} did not answer within {MEDIA_SECONDS:.0f} s") from None

    def _target(self, url: str) -> str:
        """Return where *url* is fetched: itself, checked, or the stand-in of a reserved host."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise EgressRefused(f"{_shown(url)} is no URL") from None
        if parts.scheme not in ("http", "https") or not host:
            raise EgressRefused(f"{_shown(url)} is neither http nor https")
        if parts.username is not None or parts.password is not None:
            raise EgressRefused(f"{_shown(url)} holds a user name")
        stand_in = self._settings.reserved.get(host)
        if stand_in is not None:
            return stand_in.rstrip("/") + parts.path
        if port == 0:
            raise EgressRefused(f"{_shown(url)} names port 0")
        if _is_literal(host):
            why = networks.refusal(host, self._settings.allow_networks)
            if why is not None:
                raise EgressRefused(why)
        return url


class _RefusedByGuard(aiohttp.ClientConnectorDNSError):
    """A name whose every address is refused."""


class GuardedResolver(AbstractResolver):
    """Resolves a name and keeps only the addresses that may be reached; the connector connects to just those."""

    def __init__(self, allowed: Sequence[networks.Network], inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host* that may be reached. Raises OSError when none is left."""
        if self._inner is None:
            self._inner = aiohttp.ThreadedResolver()
        found = await self._inner.resolve(host, port, family)
        good = [one for one in found if networks.refusal(one["host"], self._allowed) is None]
        if found and not good:
            why = networks.refusal(found[0]["host"], self._allowed)
            raise OSError(None, f"{host}: {why}") from EgressRefused(f"{host}: {why}")
        return good

    async def close(self) -> None:
        """Close the resolver underneath."""
        if self._inner is not None:
            await self._inner.close()


def duration_ms(head: bytes) -> int | None:
    """Return the duration of the sound in *head*, in milliseconds, or None where it cannot be told."""
    import io  # noqa: PLC0415 - with tinytag only needed where a duration is

    from tinytag import ParseError, TinyTag  # noqa: PLC0415 - 10 ms that most processes never need

    try:
        seconds = TinyTag.get(filename=None, file_obj=io.BytesIO(head), tags=False).duration
    except (ParseError, ValueError, OSError, KeyError, IndexError, TypeError, AttributeError, EOFError):
        return None
    return round(seconds * 1000) if seconds and 0 < seconds < 86_400 else None


def masked_request(call: Call, secrets: Iterable[str] = ()) -> str:
    """Return *call* as JSON text for the record and the preview, every secret replaced."""
    record = {"method": call.method, "url": call.url, "headers": dict(call.headers), "json": call.json}
    if call.upload is not None:
        upload = call.upload
        record["upload"] = {"field": upload.field, "source_url": upload.source_url, "filename": upload.filename}
    return mask(json.dumps(record, ensure_ascii=False, separators=(",", ":")), secrets)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with every secret of at least four characters replaced."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    return text


async def _note_writing(session: aiohttp.ClientSession, context: object, parameters: object) -> None:  # noqa: ARG001 - aiohttp's signature
    progress = getattr(context, "trace_request_ctx", None)
    if isinstance(progress, _Progress):
        progress.writing = True


async def _read(stream: aiohttp.StreamReader, maximum: int) -> bytes:
    """Return at most *maximum* bytes of *stream*; the rest is left unread and the connection is closed with it."""
    pieces: list[bytes] = []
    size = 0
    while size < maximum:
        piece = await stream.read(min(65_536, maximum - size))
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _is_literal(host: str) -> bool:
    return ":" in host or (host.replace(".", "").isdigit() and host.count(".") == 3)


def _shown(url: str) -> str:
    """Return *url* for a message: without its query, which may hold a signature."""
    return url.partition("?")[0][:200]
