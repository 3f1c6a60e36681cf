"""Faults as a client sees them: late answers, refusals, silence, cut connections, half answers, rubbish.

This is the one place between the server and the emulators. It reads a sending request whole, asks ``faults.py`` what
happens to it, lets the emulator work on it unless the fault says that the platform never did, writes the ledger's row,
and then gives the answer, or what is left of it. A message is taken when its request was read, and a latency delays the
answer only: receipts may overtake it, as they do in life.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kurir.sandbox import refusals
from kurir.sandbox.faults import NOTHING, Decision
from kurir.sandbox.graph import GraphErrors
from kurir.sandbox.ledger import Row
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.profiles import Fault
from kurir.sandbox.sketches import Endpoint, Sketch, endpoint, ids_of, sketch
from kurir.sandbox.sketching import blocks_of_call
from kurir.sandbox.state import Sandbox
from kurir.sandbox.transcript import Received, form_of
from kurir.sandbox.view import RefusedCall
from kurir.sandbox.wire import MAX_UPLOAD_BODY, UNSEEN

#: The ASGI extension by which ``server.py`` hands over the connection's transport.
CONNECTION: Final = "kurir.connection"
#: SO_LINGER on, for 0 s: closing throws away what was not sent and answers with a reset (RFC 9293, section 3.6).
_RESET: Final = struct.pack("ii", 1, 0)
_ROOTS: Final = ("/graph/", "/telegram/", "/line/")
_SILENT: Final = frozenset({Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.CUT_BEFORE, Fault.CUT_AFTER})


class Effects:
    """The ASGI application around the emulators."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox) -> None:
        self._app = app
        self._sandbox = sandbox
        self._faults = sandbox.faults
        self._errors = GraphErrors(sandbox.ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_ROOTS):
            await self._app(scope, receive, send)
            return
        place = endpoint(self._sandbox.config, scope["method"], scope["path"], self._sandbox.phones.get)
        if place is None or not (place.sends or self._faults):
            await self._app(scope, receive, send)
        elif place.sends:
            await self._message(place, scope, receive, send)
        else:
            await self._other(place, scope, receive, send)

    async def _other(self, place: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that sends nothing."""
        decision = self._faults.decide_other(place.channel, self._sandbox.clock.monotonic())
        if not decision.taken:
            if decision.code != "refused":
                await self._pause(decision.delay)
            await self._refuse(place, decision, scope, receive, send)
            return
        await self._pause(decision.delay)
        await self._app(scope, receive, self._with_usage(place, decision, send))

    async def _message(self, place: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that sends a message, or make believe that there is nobody who could."""
        if self._is_down(place):
            decision, said, raw, replay = self._decide(place, Sketch()), Sketch(), b"", receive
        else:
            read, replay = await _read(receive)
            if read is None:
                return
            raw = read
            headers = Headers(scope=scope)
            said = sketch(place, headers, scope["query_string"], raw, self._sandbox.reply_tokens.look)
            if not said.sends:
                await self._other(place, scope, replay, send)
                return
            decision = self._decide(place, said)
        unseen = decision.fault is Fault.BLOCKED and place.channel == "line"
        if not decision.taken and not unseen:
            await self._not_taken(place, decision, said, (scope, replay, send), raw)
            return
        # LINE answers 200 for a user who blocked the account, and shows nothing:
        # https://developers.line.biz/en/reference/messaging-api/#send-push-message
        answer = _Answer()
        scope[UNSEEN] = unseen
        await self._app(scope, replay, answer.keep)
        row = self._row(place, decision, said, answer)
        self._keep(scope, row, raw, answer.status)
        if not row.accepted:
            self._faults.refund(place.channel, said.address)
            self._show_refused(scope, row, answer.body, raw)
        await self._give(place, decision, answer, row, (scope, replay, send))

    def _is_down(self, place: Endpoint) -> bool:
        if not self._faults:
            return False
        profile = self._faults.profile(place.channel, self._sandbox.clock.monotonic())
        return profile is not None and profile.outage == "refused"

    def _decide(self, place: Endpoint, said: Sketch) -> Decision:
        if not self._faults:
            return NOTHING
        return self._faults.decide(place.channel, said.address, self._sandbox.clock.monotonic())

    def _row(self, place: Endpoint, decision: Decision, said: Sketch, answer: "_Answer | None" = None) -> Row:
        """Write the ledger's row of a request; without an *answer* it was not taken, and no status is known yet."""
        status = answer.status if answer else 0
        return self._sandbox.ledger.add(
            at=self._sandbox.clock.now().timestamp(),
            channel=place.channel,
            address=said.address,
            accepted=200 <= status < 300,
            ids=ids_of(place.channel, answer.json()) if answer else (),
            status=0 if decision.fault in _SILENT else status,
            fault=str(decision.fault),
            early=decision.early,
            wait=decision.wait,
            key=said.key,
            repeat=place.channel == "line" and status == HTTPStatus.CONFLICT,
            text=said.text,
            reference=said.reference,
        )

    # --- What the client gets -----------------------------------------------------------------------------------------

    async def _not_taken(
        self, place: Endpoint, decision: Decision, said: Sketch, client: tuple[Scope, Receive, Send], raw: bytes
    ) -> None:
        """Give the answer, or none, to a message that the platform does not take."""
        scope, receive, send = client
        row = self._row(place, decision, said)
        if decision.fault in _SILENT:
            self._sandbox.ledger.write(row)
            await self._say_nothing(decision, client)
            return
        if decision.code != "refused":
            await self._pause(decision.delay)

        body = b""

        async def noted(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start" and not _gone(scope):
                row.status = message["status"]
            body += message.get("body", b"")
            await send(message)

        await self._refuse(place, decision, scope, receive, noted)
        self._sandbox.ledger.write(row)
        self._keep(scope, row, raw, row.status)
        self._show_refused(scope, row, body, raw)

    def _keep(self, scope: Scope, row: Row, raw: bytes, status: int) -> None:
        """Keep a request in the transcript, with what it became on its phone; *status* is the platform's, before a fault."""
        if not raw:
            return
        headers, query = Headers(scope=scope), dict(parse_qsl(scope["query_string"].decode(errors="replace")))
        phone = self._sandbox.phones.get(row.channel, row.address)
        found = [self._sandbox.phones.find(phone, number) for number in row.ids] if phone else []
        shown = tuple(bubble.blocks for bubble in found if bubble is not None)
        call, kind = scope["path"].rpartition("/")[2], headers.get("content-type", "")
        received = Received(call, raw, kind, query, status, row.ids, shown)
        self._sandbox.transcript.received(row.channel, phone.person if phone else "", received)

    def _show_refused(self, scope: Scope, row: Row, body: bytes, raw: bytes) -> None:
        """Show a refusal that the client gets beside the phone; a call without an answer was not refused."""
        if row.status:
            at = rfc3339(datetime.fromtimestamp(row.at, UTC))
            method = f"{scope['method']} {scope['path'].rpartition('/')[2]}"
            words = refusals.words_of(row.status, body)
            fields = form_of(raw, Headers(scope=scope).get("content-type", ""), {}).fields
            blocks = blocks_of_call(row.channel, scope["method"], scope["path"], fields)
            call = RefusedCall(at, method, row.status, words, row.address, row.fault, blocks)
            self._sandbox.phones.refuse(row.channel, call)

    async def _refuse(self, place: Endpoint, decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the platform's own words, with a proxy's page, or not at all."""
        if decision.code == "refused":
            await self._cut(scope, receive, send)
            return
        if decision.fault in (Fault.OUTAGE, Fault.GARBAGE_BEFORE):
            status = HTTPStatus.SERVICE_UNAVAILABLE if decision.fault is Fault.OUTAGE else HTTPStatus.BAD_GATEWAY
            response: Response = HTMLResponse(refusals.PAGE.format(status=status, phrase=status.phrase), status)
        else:
            error = refusals.refusal(place.channel, decision, self._errors, self._sandbox.clock.now())
            if place.channel == "line":
                error.headers["x-line-request-id"] = self._sandbox.ids.uuid("request")
            response = error.response()
        await response(scope, receive, self._with_usage(place, decision, send))

    async def _give(
        self,
        place: Endpoint,
        decision: Decision,
        answer: "_Answer",
        row: Row,
        client: tuple[Scope, Receive, Send],
    ) -> None:
        """Give the answer to a message that the platform worked on, as far as the fault lets it through."""
        scope, receive, send = client
        if decision.fault in _SILENT:
            self._sandbox.ledger.write(row)
            await self._say_nothing(decision, client)
            return
        await self._pause(decision.delay)
        if _gone(scope):
            row.status = 0
        self._sandbox.ledger.write(row)
        send = self._with_usage(place, decision, send)
        if decision.fault is Fault.HALF_BODY:
            if _connection(scope) is None:
                await self._end(scope, receive, send, reset=False)
                return
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
            await self._end(scope, receive, send, reset=False)
            return
        if decision.fault is Fault.GARBAGE:
            response = Response(refusals.GARBAGE, 200, media_type="application/json")
            await response(scope, receive, send)
            return
        await send(answer.start)
        await send({"type": "http.response.body", "body": answer.body})

    async def _say_nothing(self, decision: Decision, client: tuple[Scope, Receive, Send]) -> None:
        """Hold the connection and then close it, or cut it, without a byte of an answer."""
        scope, receive, send = client
        if decision.fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER):
            await self._pause(decision.delay)
            await self._cut(scope, receive, send)
            return
        await self._pause(decision.hold, until=lambda: _disconnected(receive))
        await self._end(scope, receive, send, reset=False)

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._end(scope, receive, send, reset=True)

    async def _end(self, scope: Scope, receive: Receive, send: Send, *, reset: bool) -> None:
        """Close the connection in the middle of the exchange; *reset* throws away what was not sent (TCP RST)."""
        connection = _connection(scope)
        if connection is None:
            # Under a server that is not ours nothing can be cut. Saying so beats an answer that no platform gives.
            text = "This fault cuts connections, which the sandbox can do under its own server only: kurir sandbox."
            await PlainTextResponse(text, 501)(scope, receive, send)
            return
        if reset:
            with suppress(OSError, AttributeError):  # a connection that is gone needs no reset
                connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.abort()
        else:
            connection.close()
        # The server takes a call that returns without an answer for a crash, until it has seen the connection go.
        await _disconnected(receive)

    async def _pause(self, seconds: float, until: Callable[[], Any] | None = None) -> None:
        """Let *seconds* pass; less when the sandbox stops, or *until* is done before."""
        if seconds <= 0:
            return
        waiting = [asyncio.ensure_future(self._sandbox.stopping.wait())]
        if until is not None:
            waiting.append(asyncio.ensure_future(until()))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _with_usage(self, place: Endpoint, decision: Decision, send: Send) -> Send:
        """Return *send*, with Meta's usage headers on the answer when the profile asks for them."""
        config = self._sandbox.config
        owner = config.whatsapp.waba_id if place.channel == "whatsapp" else config.messenger.page_id
        more = refusals.usage_headers(place.channel, owner, decision)
        if not more:
            return send

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(more)
            await send(message)

        return with_headers


class _Answer:
    """An emulator's answer, kept until it is known what the client gets of it."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    async def keep(self, message: Message) -> None:
        """Take what the emulator sends."""
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.start["status"])

    def json(self) -> Any:
        """Return the body's JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """Return the body, None when the client hung up before its end, and a way to receive it once more.

    Of a body beyond every cap only the beginning is read; the emulator refuses it.
    """
    messages: list[Message] = []
    size, more = 0, True
    while more and size <= MAX_UPLOAD_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, receive
        messages.append(message)
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    raw = b"".join(message.get("body", b"") for message in messages)
    messages.reverse()

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return raw, replay


async def _disconnected(receive: Receive) -> None:
    """Return when the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _gone(scope: Scope) -> bool:
    """Return whether the client has hung up, as far as the server knows."""
    connection = _connection(scope)
    return connection is not None and connection.is_closing()


def _connection(scope: Scope) -> Any:
    """Return the connection's transport, None under a server that does not hand it over."""
    return (scope.get("extensions") or {}).get(CONNECTION)
