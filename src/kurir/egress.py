"""The only outgoing HTTP, but for traces, which the library's own exporter sends to the operator's collector.

Three kinds of request leave the gateway. Calls to a platform go to the operator's ``api_base`` and are not guarded. Media
that a client names by URL are fetched through the guard: the address that is connected to is checked at connect time,
after the name was resolved, so there is no gap between check and use; each redirect hop is checked again. Callbacks are
posted to a client's URL through the same guard, and follow no redirect at all.

What matters about a failed call is whether the first byte was handed to the socket: before, nothing was sent; after,
nobody knows. Nothing is repeated here (aiohttp's own retries are off for POST), and idle connections close after 10 s, so that
a call on a stale keep-alive connection is rare. Calls that carry JSON, nearly all, go by :mod:`kurir.posting`; aiohttp
makes the others.
"""

import asyncio
import io
import json
import math
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kurir import file_types, networks, unreached
from kurir.channels.base import Answer, Call, MediaFacts, NoAnswer, Stage, dumps
from kurir.posting import AnswerTooLong, Poster, UnreadableAnswer, target
from kurir.posting import request as post_to
from kurir.quick import quick
from kurir.resolving import ThreadsOfItsOwn

CONNECT_SECONDS: Final = 10.0
#: Telegram holds a flooding request for up to 8 s and sends it later: a short read time-out would make outcomes unknown.
READ_SECONDS: Final = 60.0
#: A whole call from its first byte: a server that drips its answer, or takes ours byte by byte, holds nobody for ever.
CALL_SECONDS: Final = 120.0
UPLOAD_SECONDS: Final = 300.0
IDLE_SECONDS: Final = 10.0
#: Telegram's answer repeats the message with its reply and its keyboard, six bytes for every letter beyond ASCII.
MAXIMUM_ANSWER: Final = 1024 * 1024
MAXIMUM_UPLOAD: Final = 50 * 1024 * 1024
#: Files that are in memory at once, at most, on their way from their host to a platform.
UPLOADS: Final = 8
UPLOADS_OF_ONE: Final = 2
#: Files that are looked at at once, at most, for messages that are on their way; and for previews.
PROBES: Final = 16
PROBES_OF_ONE: Final = 4
PREVIEW_PROBES: Final = 4
MAXIMUM_PROBE: Final = 2 * 1024 * 1024
MEDIA_SECONDS: Final = 60.0
#: A probe only improves a message, so it does not hold it up for long.
PROBE_SECONDS: Final = 10.0
MAXIMUM_REDIRECTS: Final = 3
#: A file that came in is passed on as fast as the client takes it, within this.
DOWNLOAD_SECONDS: Final = 600.0
#: Files that came in and are passed on at once, at most, and how long one waits for its turn.
DOWNLOADS: Final = 20
DOWNLOADS_OF_ONE: Final = 5
DOWNLOAD_WAIT_SECONDS: Final = 5.0
#: A callback: to connect, and in all; and how much of the answer is read.
CALLBACK_CONNECT_SECONDS: Final = 5.0
CALLBACK_SECONDS: Final = 15.0
MAXIMUM_CALLBACK_ANSWER: Final = 64 * 1024
#: Servers close idle connections after as little as 2 s (gunicorn; Node 5 s), and a callback that meets that is a failure.
CALLBACK_IDLE_SECONDS: Final = 1.5

MASK: Final = "•••"
_TOO_LONG: Final = NoAnswer(Stage.AFTER_SEND, f"the answer has more than {MAXIMUM_ANSWER // 1024 // 1024} MiB")

#: Statuses of a file's host by which it says that a later try may go better.
_LATER: Final = frozenset({408, 425, 429})


class EgressRefused(Exception):
    """The URL may not be fetched: its scheme, its address, or a redirect is refused."""


class MediaUnavailable(Exception):
    """The file could not be fetched. The text names the reason for the client; *final*: trying again will not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, slots=True)
class NoFile:
    """The call was not made, since the file that it carries could not be fetched. *final*: nor will it ever be."""

    reason: str
    final: bool


@quick
@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and what came of it. *request* is the call as JSON text, secrets masked."""

    answer: Answer | NoAnswer | NoFile
    duration_ms: int
    request: str


class Miss(StrEnum):
    """Why a callback got no answer: no connection, no answer in time, or whatever else."""

    CONNECT = "could_not_connect"
    TIMEOUT = "request_timeout"
    OTHER = "unclassified"


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of a callback. ``status`` is 0 when no answer came; then ``miss`` and ``detail`` say why.

    The status is known once the head of the answer is: ``cut`` tells that its body, of which at most 64 KiB are here, was
    longer or did not end in time.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration_ms: int
    miss: Miss | None = None
    detail: str = ""
    cut: bool = False


@dataclass(slots=True)
class _Progress:
    """Whether aiohttp has begun to write the request, and the call's deadline, which is counted from then."""

    seconds: float
    deadline: asyncio.Timeout
    writing: bool = False

    def begin(self) -> None:
        """The first byte is written: what reaching the platform took is not the platform's."""
        if not self.writing:
            self.writing = True
            self.deadline.reschedule(asyncio.get_running_loop().time() + self.seconds)


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """How the outside is reached.

    ``allow_networks`` opens private networks for media. ``reserved`` maps a reserved host to the base URL that stands for
    it: the sandbox's media host, in ``kurir up`` only.
    """

    allow_networks: Sequence[networks.Network] = ()
    reserved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way in. ``length`` in bytes, None where the far side does not say."""

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunks: AsyncIterator[bytes]


class Parcel:
    """The file of a call, in memory, and the slot that it takes until it is closed; ``missing`` says why there is none."""

    def __init__(
        self, slot: AsyncExitStack, form: aiohttp.FormData | None = None, missing: NoFile | None = None
    ) -> None:
        self._slot = slot
        self.form = form
        self.missing = missing

    async def close(self) -> None:
        """Let go of the file and of its slot."""
        self.form = None
        await self._slot.aclose()


class _Slots:
    """So many at once in all and fewer of one owner, so that the slow hosts of one do not hold up the others."""

    def __init__(self, total: int, of_one: int) -> None:
        self._total = asyncio.Semaphore(total)
        self._owners: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(of_one))

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Hold a slot of *owner*. Who waits for one of their own takes none of the others'."""
        async with self._owners[owner], self._total:
            yield


class Egress:
    """The HTTP clients of the process. Made and closed inside the running loop.

    *resolver* stands in for the system's when names of media are resolved; what it answers is guarded as well.
    """

    def __init__(self, settings: EgressSettings | None = None, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings or EgressSettings()
        self._uploads = _Slots(UPLOADS, UPLOADS_OF_ONE)
        self._probes = _Slots(PROBES, PROBES_OF_ONE)
        self._downloads = _Slots(DOWNLOADS, DOWNLOADS_OF_ONE)
        self._previews = asyncio.Semaphore(PREVIEW_PROBES)
        # Of names that clients chose, those of files and those of endpoints: neither holds up the other, nor a platform.
        self._names = ThreadsOfItsOwn("media"), ThreadsOfItsOwn("callbacks")
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_writing)
        self._poster = Poster(connect_seconds=CONNECT_SECONDS, idle_seconds=IDLE_SECONDS, read_seconds=READ_SECONDS)
        self._platforms = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=30),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            trace_configs=[trace],
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "kurir"},
        )
        self._media = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=UPLOADS + PROBES + PREVIEW_PROBES + DOWNLOADS,  # nobody waits here for a place
                resolver=GuardedResolver(self._settings.allow_networks, resolver or self._names[0]),
                socket_factory=self._guarded_socket,
            ),
            # No total: what is fetched, probed or passed on has a limit of its own.
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=MEDIA_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "kurir"},
        )
        # No limit of connections that all endpoints share: a slow one would hold back the others. Each has its own above.
        self._callbacks = Poster(
            connect_seconds=CALLBACK_CONNECT_SECONDS,
            idle_seconds=CALLBACK_IDLE_SECONDS,
            read_seconds=math.inf,  # a callback has one time, for all of it
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=GuardedResolver(self._settings.allow_networks, resolver or self._names[1]),
                socket_factory=self._guarded_socket,
            ),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._poster.close()
        await self._platforms.close()
        await self._media.close()
        await self._callbacks.close()
        for resolver in self._names:  # a connector closes none that it was given
            await resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post *body* to a client's *url* through the guard, at most 15 s in all. Never raises; follows no redirect."""
        started = time.monotonic()
        connection = None
        answer: Answer | None = None
        miss, detail, cut = None, "", False
        try:
            self._judge(_parsed(url))
            to = target(url, frozenset(map(str.lower, headers)))
            request = post_to(to, headers.items(), body)
            connection = self._callbacks.idle(to.origin)
            if connection is None:
                async with asyncio.timeout(CALLBACK_SECONDS):
                    connection = await self._callbacks.connected(to.origin)
            left = CALLBACK_SECONDS - (time.monotonic() - started)
            answer = await connection.post(request, seconds=left, most=MAXIMUM_CALLBACK_ANSWER, decoded=False)
        except Exception as error:  # noqa: BLE001 - whatever the far side made of it, it is an outcome
            answer = connection.begun() if connection is not None else None
            cut = answer is not None
            if answer is None:
                miss, detail = _missed(error, connected=connection is not None)
        taken = round((time.monotonic() - started) * 1000)
        if answer is None:
            return Posted(0, {}, b"", taken, miss, detail)
        return Posted(answer.status, answer.headers, answer.body, taken, cut=cut)

    async def pack(self, call: Call, secrets: Iterable[str] = (), owner: str = "") -> "Parcel":
        """Fetch the file that *call* uploads, once *owner* has a slot for it. Never raises; to be closed by the caller.

        So a call can be made the moment that it may be made, however long its file takes to come.
        """
        slot = AsyncExitStack()
        try:
            await slot.enter_async_context(self._uploads.of(owner))
            form = await self._form(call)
        except EgressRefused as refused:
            return Parcel(slot, missing=NoFile(mask(str(refused), secrets), final=True))
        except MediaUnavailable as missing:
            return Parcel(slot, missing=NoFile(mask(str(missing), secrets), final=missing.final))
        except Exception as error:  # noqa: BLE001 - whatever the file's host made of it, nothing was sent
            return Parcel(slot, missing=NoFile(f"it could not be read: {type(error).__name__}", final=False))
        except BaseException:
            await slot.aclose()
            raise
        return Parcel(slot, form)

    async def send(
        self, call: Call, secrets: Iterable[str] = (), owner: str = "", parcel: "Parcel | None" = None
    ) -> Exchange:
        """Make *call*. Never raises: every way of failing is a NoAnswer or a NoFile.

        *secrets* are masked in the record of the request and in the texts of errors. An upload's file is in the *parcel*,
        or is fetched first; *owner* is the client whose share of the uploads it counts to.
        """
        secrets = tuple(secrets)
        if call.upload is not None and parcel is None:
            parcel = await self.pack(call, secrets, owner)
            try:
                return await self.send(call, secrets, owner, parcel)
            finally:
                await parcel.close()
        started = time.monotonic()
        answer: Answer | NoAnswer | NoFile
        body = call.text()
        if parcel is not None and parcel.missing is not None:
            answer = parcel.missing
        elif parcel is None and call.method == "POST":
            answer = await self._post(call, body, secrets)
        else:
            form, seconds = (None, CALL_SECONDS) if parcel is None else (parcel.form, UPLOAD_SECONDS)
            answer = await self._exchange(call, form, secrets, seconds)
        return Exchange(answer, round((time.monotonic() - started) * 1000), _masked_record(call, body, secrets))

    async def _post(self, call: Call, body: str, secrets: Sequence[str]) -> Answer | NoAnswer:
        """Make a call that carries JSON, which is what nearly every call is."""
        stage = Stage.BEFORE_SEND
        try:
            to = target(call.url)
            request = post_to(to, call.headers, body.encode())
            connection = await self._poster.connected(to.origin)
            stage = Stage.AFTER_SEND
            return await connection.post(request, seconds=CALL_SECONDS, most=MAXIMUM_ANSWER)
        except AnswerTooLong:
            return _TOO_LONG
        except Exception as error:  # noqa: BLE001 - whatever the far side made of it, it is an outcome
            return _no_answer(stage, error, secrets)

    async def _exchange(
        self, call: Call, form: aiohttp.FormData | None, secrets: Sequence[str], seconds: float
    ) -> Answer | NoAnswer:
        deadline = asyncio.timeout(CONNECT_SECONDS + seconds)
        progress = _Progress(seconds, deadline)
        headers = dict(call.headers)
        if form is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        try:
            body = form if form is not None else None if call.method == "GET" else call.body()
            async with (
                deadline,
                self._platforms.request(
                    call.method, call.url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=progress
                ) as response,
            ):
                content = await _read(response.content, MAXIMUM_ANSWER + 1)
                if len(content) > MAXIMUM_ANSWER:
                    return _TOO_LONG
                return Answer(response.status, _headers(response), content)
        except Exception as error:  # noqa: BLE001 - whatever the far side made of it, it is an outcome
            return _no_answer(Stage.AFTER_SEND if progress.writing else Stage.BEFORE_SEND, error, secrets)

    async def _form(self, call: Call) -> aiohttp.FormData:
        form = aiohttp.FormData(quote_fields=False)  # a phone shows the file's name as it is sent
        if call.upload is None:
            return form
        for name, value in call.json.items():
            form.add_field(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        content, content_type = await self.fetch(call.upload.source_url, MAXIMUM_UPLOAD)
        filename, kind = _filename(call.upload.filename), _storable(content_type) or None
        if file_types.is_a_page_instead(content_type, filename):
            raise MediaUnavailable(f"{_shown(call.upload.source_url)} gave a web page and not «{filename}»", final=True)
        form.add_field(call.upload.field, content, filename=filename, content_type=kind)
        return form

    async def fetch(self, url: str, maximum: int) -> tuple[bytes, str]:
        """Return (content, content type) of the file at *url*, at most *maximum* bytes. The type is told by the content.

        Raises MediaUnavailable (not found, too large, too slow) or EgressRefused.
        """
        async with self._get(url, MEDIA_SECONDS) as response:
            status = response.status
            if status != 200:
                final = status < 500 and status not in _LATER
                raise MediaUnavailable(f"{_shown(url)} answered {status}", final=final)
            large = MediaUnavailable(f"{_shown(url)} has more than {maximum // 1024 // 1024} MiB", final=True)
            if response.content_length is not None and response.content_length > maximum:
                raise large
            content = await _read(response.content, maximum + 1)
            if len(content) > maximum:
                raise large
            return content, file_types.content_type(content, response.content_type)

    @asynccontextmanager
    async def download(self, call: Call, *, guarded: bool, owner: str = "") -> AsyncIterator[Download]:
        """Open the file that *call* asks for, without reading it: its bytes come as they are taken, for ten minutes at most.

        *guarded*: the URL came from outside. Otherwise it is the platform's, and follows no redirect, so that the account's
        secrets in its headers go nowhere else. *owner* is the client whose share of the downloads it counts to. Raises
        MediaUnavailable or EgressRefused, also while the bytes are taken.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(DOWNLOAD_WAIT_SECONDS):
                    await stack.enter_async_context(self._downloads.of(owner))
            except TimeoutError:
                raise MediaUnavailable("too many files are being fetched at once; try again in a moment") from None
            try:
                async with asyncio.timeout(MEDIA_SECONDS):  # for its head: its body may wait for a slow reader
                    if guarded:
                        response = await stack.enter_async_context(self._get(call.url, None))
                    else:
                        asked = self._platforms.get(call.url, headers=dict(call.headers), allow_redirects=False)
                        response = await stack.enter_async_context(asked)
                end = asyncio.get_running_loop().call_later(DOWNLOAD_SECONDS, response.close)
                stack.callback(end.cancel)
                yield _download(response)
            except MediaUnavailable as missing:  # its words name the URL, which is the platform's business
                raise MediaUnavailable("the platform's file could not be fetched", final=missing.final) from None
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                raise MediaUnavailable(f"the platform's file could not be fetched: {type(error).__name__}") from None

    async def probe(self, url: str, owner: str = "") -> MediaFacts:
        """Return what the first two MiB of the file at *url* tell. Never raises: what is not known stays unknown.

        *owner* is the client whose message is on its way. Without one it is for a preview, which shares a few slots with
        all others and waits for one no longer than for the file.
        """
        if owner:
            async with self._probes.of(owner):
                return await self._probe(url)
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._previews:
                return await self._probe(url)
        except TimeoutError:
            return MediaFacts()

    async def _probe(self, url: str) -> MediaFacts:
        try:
            async with self._get(url, PROBE_SECONDS) as response:
                if response.status != 200:
                    return MediaFacts()
                head = await _read(response.content, MAXIMUM_PROBE + 1)
                content_type, size = response.content_type, response.content_length
        except (MediaUnavailable, EgressRefused):
            return MediaFacts()
        whole = len(head) <= MAXIMUM_PROBE
        if size is None and whole:
            size = len(head)
        duration = await asyncio.to_thread(duration_ms, head) if whole or _tells_at_its_head(head) else None
        content_type = file_types.content_type(head, content_type)
        return MediaFacts(content_type=content_type, size=size, duration_ms=duration)

    @asynccontextmanager
    async def _get(self, url: str, seconds: float | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open *url* through the guard. Raises MediaUnavailable or EgressRefused, also while the body is read."""
        try:
            async with asyncio.timeout(seconds):
                target = _parsed(url)
                for _ in range(MAXIMUM_REDIRECTS + 1):
                    session, checked = self._checked(target)
                    async with session.get(checked, allow_redirects=False) as response:
                        location = response.headers.get("Location")
                        if response.status not in (301, 302, 303, 307, 308) or not location:
                            yield response
                            return
                        target = target.join(_parsed(_storable(location)))
        except TimeoutError:
            limit = "in time" if seconds is None else f"within {seconds:.0f} s"
            raise MediaUnavailable(f"{_shown(url)} did not answer {limit}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = _refusal_in(error)
            if refused is not None:
                raise EgressRefused(str(refused)) from None
            raise MediaUnavailable(f"{_shown(url)} could not be fetched: {type(error).__name__}") from None
        raise EgressRefused(f"{_shown(url)} redirects more than {MAXIMUM_REDIRECTS} times")

    def _checked(self, url: URL) -> tuple[aiohttp.ClientSession, URL]:
        """Return by which session *url* is fetched, and where: itself, checked, or the stand-in of a reserved host.

        The URL is judged as it was parsed by the client that will connect, so that no two readings of it can differ.
        """
        stand_in = self._settings.reserved.get(url.raw_host or "")
        if stand_in is None:
            self._judge(url)
            return self._media, url
        _check_form(url)
        steps = url.path.split("/")[1:]
        if "%2f" in url.raw_path.lower() or not all(steps) or {".", ".."} & set(steps):
            raise EgressRefused(f"{_shown(str(url))} names no file")
        return self._platforms, URL(stand_in).joinpath(*steps)

    def _judge(self, url: URL) -> None:
        """Refuse a URL for what can be seen of it before its name is resolved. Raises EgressRefused."""
        _check_form(url)
        host = url.raw_host or ""
        if url.port in networks.OTHER_PORTS:
            raise EgressRefused(
                f"{_shown(str(url))} names port {url.port}, which is not for HTTP; serve it at another one"
            )
        if ":" in host or host.replace(".", "").isdigit():  # what the client does not resolve
            why = networks.refusal(host, self._settings.allow_networks)
            if why is not None:
                raise EgressRefused(why)

    def _guarded_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Return a socket for the very address that is about to be connected to, once more checked."""
        family, kind, protocol, _, place = address
        why = networks.refusal(str(place[0]), self._settings.allow_networks)
        if why is not None:
            raise RefusedAddressError(why)
        return socket.socket(family=family, type=kind, proto=protocol)


class RefusedAddressError(OSError):
    """The address, or every address of the name, is refused. An OSError, since aiohttp lets nothing else through."""


class GuardedResolver(AbstractResolver):
    """Resolves a name and keeps only the addresses that may be reached; the connector connects to just those."""

    def __init__(self, allowed: Sequence[networks.Network], inner: AbstractResolver) -> None:
        self._allowed = allowed
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host* that may be reached. Raises OSError when none is left."""
        found = await self._inner.resolve(host, port, family)
        good = [one for one in found if networks.refusal(one["host"], self._allowed) is None]
        if found and not good:
            raise RefusedAddressError(f"{host}: {networks.refusal(found[0]['host'], self._allowed)}")
        return good

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._inner.close()


def duration_ms(head: bytes) -> int | None:
    """Return the duration of the sound in *head*, in milliseconds, or None where it cannot be told."""
    from tinytag import TinyTag  # noqa: PLC0415 - 10 ms that most processes never need

    try:
        seconds = TinyTag.get(filename=None, file_obj=io.BytesIO(head), tags=False).duration
    except Exception:  # noqa: BLE001 - a stranger's bytes, and a parser that was written for friends'
        return None
    return round(seconds * 1000) if seconds and 0 < seconds < 86_400 else None


def masked_request(call: Call, secrets: Iterable[str] = ()) -> str:
    """Return *call* as JSON text for the record and the preview, every secret replaced."""
    return _masked_record(call, call.text(), secrets)


def _masked_record(call: Call, body: str, secrets: Iterable[str]) -> str:
    """Return the record of *call*, whose JSON is *body*: it was written once, to be sent."""
    upload = ""
    if call.upload is not None:
        known = {"field": call.upload.field, "source_url": call.upload.source_url, "filename": call.upload.filename}
        upload = f',"upload":{dumps(known)}'
    return mask(f'{_record_head(call.method, call.url, call.headers)},"json":{body}{upload}}}', secrets)


@lru_cache(maxsize=256)
def _record_head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> str:
    return dumps({"method": method, "url": url, "headers": dict(headers)})[:-1]


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with every secret of at least four characters replaced, also as URLs and JSON write it."""
    for form in _all_forms(tuple(secrets)):
        text = text.replace(form, MASK)
    return text


@lru_cache(maxsize=256)
def _all_forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is replaced, in order: one secret may begin as another does."""
    longest_first = sorted(secrets, key=len, reverse=True)
    return tuple(dict.fromkeys(form for secret in longest_first if len(secret) >= 4 for form in _forms(secret)))


def _forms(secret: str) -> tuple[str, ...]:
    """Return how JSON, a query and a path write *secret*, and how it stands by itself."""
    on_path = URL.build(path="/" + secret).raw_path[1:]
    return json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, ""), on_path, secret


def _no_answer(stage: Stage, error: Exception, secrets: Iterable[str]) -> NoAnswer:
    said = _storable(str(error))
    return NoAnswer(stage, mask(f"{type(error).__name__}: {said}" if said else type(error).__name__, secrets)[:500])


async def _note_writing(session: aiohttp.ClientSession, context: object, parameters: object) -> None:  # noqa: ARG001 - aiohttp's signature
    progress = getattr(context, "trace_request_ctx", None)
    if isinstance(progress, _Progress):
        progress.begin()


def _missed(error: BaseException, *, connected: bool) -> tuple[Miss, str]:
    """Return why a callback got no answer, and the words for it."""
    refused = error if isinstance(error, EgressRefused) else _refusal_in(error)
    if refused is not None:
        return Miss.CONNECT, str(refused)[:500]
    if isinstance(error, TimeoutError):
        if connected:
            return Miss.TIMEOUT, f"connected, and no answer within {CALLBACK_SECONDS:g} s"
        return Miss.CONNECT, "the connection took too long"
    if isinstance(error, UnreadableAnswer):
        return Miss.OTHER, "what answers there does not speak HTTP as a server should"
    return Miss.OTHER if connected else Miss.CONNECT, unreached.why(error)


async def _read(stream: aiohttp.StreamReader, maximum: int) -> bytes:
    """Return at most *maximum* bytes of *stream*; the rest is left unread and the connection is closed with it."""
    pieces: list[bytes] = []
    await _read_into(pieces, stream, maximum)
    return b"".join(pieces)


async def _read_into(pieces: list[bytes], stream: aiohttp.StreamReader, maximum: int) -> bool:
    """Add at most *maximum* bytes of *stream* to *pieces* as they come; return whether it goes on after them, perhaps."""
    size = 0
    while size < maximum:
        piece = await stream.read(min(65_536, maximum - size))
        if not piece:
            return False
        pieces.append(piece)
        size += len(piece)
    return not stream.at_eof()


def _download(response: aiohttp.ClientResponse) -> Download:
    return Download(response.status, _headers(response), response.content_length, response.content.iter_chunked(65_536))


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the headers of an answer, names in lower case, fit to be stored whatever bytes they came in."""
    return {name.lower(): _storable(value) for name, value in response.headers.items()}


def _storable(text: str) -> str:
    """Return *text* without lone surrogates, in which aiohttp keeps bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _filename(name: str) -> str:
    """Return *name* without what could end its quotes or its header: platforms do not agree on how to escape that."""
    name = name.replace('"', "'").replace("\\", "_")
    return "".join(sign if sign.isprintable() else "_" for sign in name)


def _tells_at_its_head(head: bytes) -> bool:
    """Return whether the beginning of a longer file is enough to tell its duration: MP4 with its index in front."""
    return head[4:8] == b"ftyp" and b"moov" in head


def _check_form(url: URL) -> None:
    """Refuse what is no plain http or https URL. Raises EgressRefused."""
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise EgressRefused(f"{_shown(str(url))} is neither http nor https")
    if url.raw_user is not None or url.raw_password is not None:
        raise EgressRefused(f"{_shown(str(url.with_user(None)))} holds a user name")


def _parsed(url: str) -> URL:
    try:
        return URL(url)
    except (ValueError, TypeError):
        raise EgressRefused(f"{_shown(url)} is no URL") from None


def _refusal_in(error: BaseException | None) -> RefusedAddressError | None:
    """Return the guard's refusal that *error* was made of, if it was."""
    for _ in range(8):
        if error is None or isinstance(error, RefusedAddressError):
            break
        error = error.__cause__ or error.__context__
    return error if isinstance(error, RefusedAddressError) else None


def _shown(url: str) -> str:
    """Return *url* for a message: without its query, which may hold a signature."""
    return url.partition("?")[0][:200]
