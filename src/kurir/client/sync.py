"""The client for programs without asyncio, over the standard library's ``http.client``."""

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from kurir.client import calls, sse
from kurir.client.answers import Accepted, Contact, ContactLink, MessageDetails, MessageSummary, Preview, Status
from kurir.client.calls import Answer, Call, Login
from kurir.client.errors import NO_ANSWER, NOT_REACHED, STREAM_ENDED, UNREADABLE_ANSWER, KurirError
from kurir.client.events import Event
from kurir.client.feeds import Pages, Polled, Streamed
from kurir.client.message import Message
from kurir.client.retrying import OnOutage, Outage, Retries

_T = TypeVar("_T")

#: Connections that are kept open between calls.
_KEPT: Final = 4
_PIECE: Final = 64 * 1024


class Client:
    """A gateway, as one of its clients. Several threads may use it at once.

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
        self._wire = _Wire(self._login, timeout, tls)
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open. The client may be used again."""
        self._wire.close()

    def send(self, channel: str, message: Message | Mapping[str, Any]) -> Accepted:
        """Send *message*, or a raw body of the API. It is durable at the gateway on return."""
        return self._do(calls.send(self._login, channel, message))

    def preview(self, channel: str, message: Message | Mapping[str, Any]) -> Preview:
        """Return what would be sent, and what would be lost. Sends nothing."""
        return self._do(calls.preview(self._login, channel, message))

    def message(self, tid: str) -> MessageDetails:
        """Return one message with all that is known of it."""
        return self._do(calls.message(tid))

    def messages(
        self,
        *,
        channel: str = "",
        message_id: str = "",
        recipient: str = "",
        status: Status | int | None = None,
        page: int = 50,
    ) -> Iterator[MessageSummary]:
        """Yield messages, newest first, reading *page* of them (1 to 200) at a time."""
        yield from self._all(Pages(lambda after: calls.messages(channel, message_id, recipient, status, after, page)))

    def cancel(self, tid: str) -> MessageDetails:
        """End a message of which nothing was sent yet. ``already_ended`` and ``already_partly_sent`` say it is too late."""
        return self._do(calls.cancel(tid))

    def retry(self, tid: str) -> MessageDetails:
        """Send a failed message again, from its first part that was not sent. ``not_failed`` when it did not fail."""
        return self._do(calls.retry(tid))

    def contacts(self, *, phone: str = "", channel: str = "") -> Iterator[Contact]:
        """Yield contacts: those of a phone, of a channel, or all."""
        yield from self._all(Pages(lambda after: calls.contacts(phone, channel, after)))

    def contact(self, channel: str, address: str, *, account: str = "") -> Contact:
        """Return one person, as the account knows them. ``not_found`` where it does not."""
        return self._do(calls.contact(channel, address, account))

    def link_contact(self, channel: str, address: str, phone: str, *, name: str = "", account: str = "") -> Contact:
        """Link a phone to an address of the account, else of the channel's default account."""
        return self._do(calls.link_contact(channel, address, phone, name, account))

    def unlink_contact(self, channel: str, address: str, *, account: str = "") -> Contact:
        """Take a person's phone away. They stay known by their address."""
        return self._do(calls.unlink_contact(channel, address, account))

    def make_link(
        self, channel: str, *, phone: str = "", payload: str = "", expires_in: int | None = None, account: str = ""
    ) -> ContactLink:
        """Make a link: who opens it is known from then on, and linked to *phone* where one is given. It is good once.

        It needs a phone or a *payload*, which comes back in the event. *expires_in* is in seconds; else the gateway's seven
        days. Asked again, another link is made.
        """
        return self._do(calls.make_link(channel, phone, payload, expires_in, account))

    def erase_contact(self, channel: str, address: str, *, account: str = "") -> Mapping[str, Any]:
        """Erase a person; return what the gateway says was erased."""
        return self._do(calls.erase_contact(channel, address, account))

    def events(
        self,
        after: str = "",
        *,
        follow: bool = True,
        wait: float = 30.0,
        limit: int = 100,
        patience: float | None = 300.0,
        on_outage: OnOutage | None = None,
    ) -> "Events":
        """Return an iterator over events by long polling, from the cursor *after* on, else from the beginning.

        With *follow* it waits for more, up to *wait* seconds (60 at most) in one call; else it ends with the newest. While
        the gateway cannot be reached it tells *on_outage* and asks again, for *patience* seconds, None: for ever.
        """
        outage = Outage(self._retries, patience, on_outage)
        return Events(self, after, outage, follow=follow, wait=wait, limit=limit)

    def stream(self, after: str = "", *, patience: float | None = 300.0, on_outage: OnOutage | None = None) -> "Stream":
        """Return an iterator over events as they come, from the cursor *after* on, else from now on.

        A broken stream is taken up where it broke off. While the gateway cannot be reached it tells *on_outage* and asks
        again, for *patience* seconds, None: for ever.
        """
        return Stream(self, after, Outage(self._retries, patience, on_outage))

    def _all(self, pages: Pages[_T]) -> Iterator[_T]:
        """Yield what is on every page."""
        while (call := pages.next_call()) is not None:
            yield from pages.took(self._do(call))

    def _do(self, call: Call[_T]) -> _T:
        done = 0
        while True:
            try:
                return calls.understand(call, self._wire.ask(call))
            except KurirError as error:
                wait = self._retries.wait(done, error, repeatable=call.repeatable)
                if wait is None:
                    raise
            done += 1
            time.sleep(wait)


class Events(Polled):
    """Events by long polling. ``cursor`` is past those whose loop body has ended: keep it, and give it as *after* again."""

    def __init__(self, client: Client, after: str, outage: Outage, *, follow: bool, wait: float, limit: int) -> None:
        super().__init__(after, outage, follow=follow, wait=wait, limit=limit)
        self._client = client

    def __iter__(self) -> Iterator[Event]:
        """Yield events, oldest first."""
        while True:
            call = self._next_call()
            try:
                page = calls.understand(call, self._client._wire.ask(call))  # noqa: SLF001 - of this module
            except KurirError as error:
                time.sleep(self._pause(error, time.monotonic()))
                continue
            yield from self._each(page)
            if self._ends_with(page):
                return


class Stream(Streamed):
    """Events as they come. ``cursor`` is past those whose loop body has ended: keep it, and give it as *after* again."""

    def __init__(self, client: Client, after: str, outage: Outage) -> None:
        super().__init__(after, outage)
        self._client = client

    def __iter__(self) -> Iterator[Event]:
        """Yield events. Ends only by an error."""
        while True:
            error, parser = KurirError(STREAM_ENDED, "the gateway ended the stream"), sse.Parser()
            try:
                for piece in self._client._wire.pieces(self._path()):  # noqa: SLF001 - of this module
                    yield from self._each(parser, piece)
            except KurirError as found:
                error = found
            time.sleep(self._pause(error, time.monotonic()))


class _Wire:
    """Connections to the gateway: some are kept open between calls, each is used by one call at a time."""

    def __init__(self, login: Login, timeout: float, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(login.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path
        # As bytes: http.client would send text as Latin-1, and the gateway reads UTF-8.
        self._headers = {name: value.encode() for name, value in login.headers().items()}
        self._timeout = timeout
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._kept: deque[http.client.HTTPConnection] = deque()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close what is kept open."""
        with self._lock:
            kept, self._kept = self._kept, deque()
        for one in kept:
            one.close()

    def ask(self, call: Call[Any]) -> Answer:
        """Make *call* once. Raises KurirError where no answer came."""
        # A kept connection may be closed already at the other end, which is only known after the request left.
        kept = self._take() if call.repeatable else None
        if kept is not None:
            try:
                return self._exchange(kept, call)
            except KurirError as error:
                if not isinstance(error.__cause__, ConnectionError):
                    raise
        return self._exchange(self._connect(), call)

    def pieces(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of a stream as they come. Raises KurirError."""
        connection = self._connect()
        try:
            with _no_answer():
                response = self._request(connection, "GET", path, None)
                if response.status != http.HTTPStatus.OK:
                    raise calls.failure(_answer(response))
                if response.headers.get_content_type() != "text/event-stream":
                    raise KurirError(UNREADABLE_ANSWER, "the answer is no stream of events; is this a kurir?")
                _await(connection, calls.STREAM_SILENCE)
            while True:
                with _no_answer():
                    piece = response.read1(_PIECE)
                if not piece:
                    return
                yield piece
        finally:
            connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, call: Call[Any]) -> Answer:
        try:
            with _no_answer():
                _await(connection, self._timeout + call.wait)
                response = self._request(connection, call.method, call.path, call.body)
                answer = _answer(response)
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return answer

    def _request(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: calls.Json | None
    ) -> http.client.HTTPResponse:
        headers: dict[str, Any] = dict(self._headers)
        content = None
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, f"{self._prefix}{path}", content, headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise KurirError(NOT_REACHED, f"the gateway was not reached: {error}") from error
        return connection

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._kept.pop() if self._kept else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._kept) < _KEPT:
                self._kept.append(connection)
                return
        connection.close()


@contextlib.contextmanager
def _no_answer() -> Iterator[None]:
    """Turn what cuts an exchange short into our error."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        raise KurirError(NO_ANSWER, f"the gateway gave no answer: {said}") from error


def _await(connection: http.client.HTTPConnection, seconds: float) -> None:
    """Set how long each wait for bytes may take."""
    if connection.sock is not None:
        connection.sock.settimeout(seconds)


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read(calls.LARGEST_ANSWER + 1)
    if len(body) > calls.LARGEST_ANSWER:
        raise KurirError(UNREADABLE_ANSWER, "the answer is larger than any of a kurir", status=response.status)
    if response.length:  # http.client says nothing of a body that ends too early when it is read with a limit
        raise http.client.IncompleteRead(body, response.length)
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)
