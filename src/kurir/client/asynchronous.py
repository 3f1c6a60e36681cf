"""The client for programs with asyncio, over aiohttp. The names are those of :class:`kurir.client.Client`."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
from yarl import URL

from kurir.client import calls, sse
from kurir.client.answers import Accepted, Contact, ContactLink, MessageDetails, MessageSummary, Preview, Status
from kurir.client.calls import Answer, Call, Login
from kurir.client.errors import NO_ANSWER, NOT_REACHED, STREAM_ENDED, UNREADABLE_ANSWER, KurirError
from kurir.client.events import Event
from kurir.client.feeds import Pages, Polled, Streamed
from kurir.client.message import Message
from kurir.client.retrying import OnOutage, Outage, Retries

_T = TypeVar("_T")

#: Connections to the gateway at once.
_CONNECTIONS: Final = 100


class AsyncClient:
    """A gateway, as one of its clients. Several tasks of one loop may use it at once.

    Args:
        url: The gateway's address, with its path prefix if it has one.
        username: The client's user name.
        password: The client's password.
        client_id: The ``clientID`` of paths, where that is not the user name.
        timeout: Seconds for connecting, and for each wait for bytes of an answer.
        retries: When calls are repeated; see :class:`Retries`.
        tls: How to check the gateway's certificate, instead of by the system's authorities.

    Every method raises :class:`KurirError`. Sending is repeated only with the same id, which the gateway takes once.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        client_id: str = "",
        timeout: float = 30.0,
        retries: Retries | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._login = Login(url, username, password, client_id)
        self._retries = retries or Retries()
        self._timeout = timeout
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are kept open. The client may be used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, channel: str, message: Message | Mapping[str, Any]) -> Accepted:
        """Send *message*, or a raw body of the API. It is durable at the gateway on return."""
        return await self._do(calls.send(self._login, channel, message))

    async def preview(self, channel: str, message: Message | Mapping[str, Any]) -> Preview:
        """Return what would be sent, and what would be lost. Sends nothing."""
        return await self._do(calls.preview(self._login, channel, message))

    async def message(self, tid: str) -> MessageDetails:
        """Return one message with all that is known of it."""
        return await self._do(calls.message(tid))

    async def messages(
        self,
        *,
        channel: str = "",
        message_id: str = "",
        recipient: str = "",
        status: Status | int | None = None,
        page: int = 50,
    ) -> AsyncIterator[MessageSummary]:
        """Yield messages, newest first, reading *page* of them (1 to 200) at a time."""
        each = Pages(lambda after: calls.messages(channel, message_id, recipient, status, after, page))
        async for one in self._all(each):
            yield one

    async def cancel(self, tid: str) -> MessageDetails:
        """End a message of which nothing was sent yet. ``already_ended`` and ``already_partly_sent`` say it is too late."""
        return await self._do(calls.cancel(tid))

    async def retry(self, tid: str) -> MessageDetails:
        """Send a failed message again, from its first part that was not sent. ``not_failed`` when it did not fail."""
        return await self._do(calls.retry(tid))

    async def contacts(self, *, phone: str = "", channel: str = "") -> AsyncIterator[Contact]:
        """Yield contacts: those of a phone, of a channel, or all."""
        async for one in self._all(Pages(lambda after: calls.contacts(phone, channel, after))):
            yield one

    async def contact(self, channel: str, address: str, *, account: str = "") -> Contact:
        """Return one person, as the account knows them. ``not_found`` where it does not."""
        return await self._do(calls.contact(channel, address, account))

    async def link_contact(
        self, channel: str, address: str, phone: str, *, name: str = "", account: str = ""
    ) -> Contact:
        """Link a phone to an address of the account, else of the channel's default account."""
        return await self._do(calls.link_contact(channel, address, phone, name, account))

    async def unlink_contact(self, channel: str, address: str, *, account: str = "") -> Contact:
        """Take a person's phone away. They stay known by their address."""
        return await self._do(calls.unlink_contact(channel, address, account))

    async def make_link(
        self, channel: str, *, phone: str = "", payload: str = "", expires_in: int | None = None, account: str = ""
    ) -> ContactLink:
        """Make a link: who opens it is known from then on, and linked to *phone* where one is given. It is good once.

        It needs a phone or a *payload*, which comes back in the event. *expires_in* is in seconds; else the gateway's seven
        days. Asked again, another link is made.
        """
        return await self._do(calls.make_link(channel, phone, payload, expires_in, account))

    async def erase_contact(self, channel: str, address: str, *, account: str = "") -> Mapping[str, Any]:
        """Erase a person; return what the gateway says was erased."""
        return await self._do(calls.erase_contact(channel, address, account))

    def events(
        self,
        after: str = "",
        *,
        follow: bool = True,
        wait: float = 30.0,
        limit: int = 100,
        patience: float | None = 300.0,
        on_outage: OnOutage | None = None,
    ) -> "AsyncEvents":
        """Return an iterator over events by long polling, from the cursor *after* on, else from the beginning.

        With *follow* it waits for more, up to *wait* seconds (60 at most) in one call; else it ends with the newest. While
        the gateway cannot be reached it tells *on_outage* and asks again, for *patience* seconds, None: for ever.
        """
        outage = Outage(self._retries, patience, on_outage)
        return AsyncEvents(self, after, outage, follow=follow, wait=wait, limit=limit)

    def stream(
        self, after: str = "", *, patience: float | None = 300.0, on_outage: OnOutage | None = None
    ) -> "AsyncStream":
        """Return an iterator over events as they come, from the cursor *after* on, else from now on.

        A broken stream is taken up where it broke off. While the gateway cannot be reached it tells *on_outage* and asks
        again, for *patience* seconds, None: for ever.
        """
        return AsyncStream(self, after, Outage(self._retries, patience, on_outage))

    async def _all(self, pages: Pages[_T]) -> AsyncIterator[_T]:
        """Yield what is on every page."""
        while (call := pages.next_call()) is not None:
            for one in pages.took(await self._do(call)):
                yield one

    async def _do(self, call: Call[_T]) -> _T:
        done = 0
        while True:
            try:
                return calls.understand(call, await self._ask(call))
            except KurirError as error:
                wait = self._retries.wait(done, error, repeatable=call.repeatable)
                if wait is None:
                    raise
            done += 1
            await asyncio.sleep(wait)

    async def _ask(self, call: Call[Any]) -> Answer:
        """Make *call* once. Raises KurirError where no answer came."""
        # No total: a call takes as long as bytes keep coming, and an answer has a largest size.
        waits = aiohttp.ClientTimeout(
            total=None, connect=self._timeout, sock_connect=self._timeout, sock_read=self._timeout + call.wait
        )
        # aiohttp repeats by itself what a connection was closed under, where HTTP calls the method idempotent.
        with _no_answer():
            async with self._open(call.method, call.path, waits, call.body) as response:
                return await _answer(response)

    async def _pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a stream as they come. Raises KurirError."""
        waits = aiohttp.ClientTimeout(
            total=None, connect=self._timeout, sock_connect=self._timeout, sock_read=calls.STREAM_SILENCE
        )
        with _no_answer():
            async with self._open("GET", path, waits) as response:
                if response.status != HTTPStatus.OK:
                    raise calls.failure(await _answer(response))
                if response.content_type != "text/event-stream":
                    raise KurirError(UNREADABLE_ANSWER, "the answer is no stream of events; is this a kurir?")
                async for piece in response.content.iter_any():
                    yield piece

    def _open(
        self, method: str, path: str, waits: aiohttp.ClientTimeout, body: calls.Json | None = None
    ) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._tls if self._tls is not None else True)
            self._session = aiohttp.ClientSession(headers=self._login.headers(), connector=connector)
        url = URL(f"{self._login.url}{path}", encoded=True)
        return self._session.request(method, url, json=body, timeout=waits, allow_redirects=False)


class AsyncEvents(Polled):
    """Events by long polling. ``cursor`` is past those whose loop body has ended: keep it, and give it as *after* again."""

    def __init__(
        self, client: AsyncClient, after: str, outage: Outage, *, follow: bool, wait: float, limit: int
    ) -> None:
        super().__init__(after, outage, follow=follow, wait=wait, limit=limit)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events, oldest first."""
        while True:
            call = self._next_call()
            try:
                page = calls.understand(call, await self._client._ask(call))  # noqa: SLF001 - of this module
            except KurirError as error:
                await asyncio.sleep(self._pause(error, asyncio.get_running_loop().time()))
                continue
            for event in self._each(page):
                yield event
            if self._ends_with(page):
                return


class AsyncStream(Streamed):
    """Events as they come. ``cursor`` is past those whose loop body has ended: keep it, and give it as *after* again."""

    def __init__(self, client: AsyncClient, after: str, outage: Outage) -> None:
        super().__init__(after, outage)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events. Ends only by an error."""
        while True:
            error, parser = KurirError(STREAM_ENDED, "the gateway ended the stream"), sse.Parser()
            try:
                async with contextlib.aclosing(self._client._pieces(self._path())) as pieces:  # noqa: SLF001
                    async for piece in pieces:
                        for event in self._each(parser, piece):
                            yield event
            except KurirError as found:
                error = found
            await asyncio.sleep(self._pause(error, asyncio.get_running_loop().time()))


@contextlib.contextmanager
def _no_answer() -> Iterator[None]:
    """Turn what cuts an exchange short into our error."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise KurirError(NOT_REACHED, f"the gateway was not reached: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        raise KurirError(NO_ANSWER, f"the gateway gave no answer: {said}") from error


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > calls.LARGEST_ANSWER:
            raise KurirError(UNREADABLE_ANSWER, "the answer is larger than any of a kurir", status=response.status)
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, b"".join(pieces))
