"""LINE's Messaging API, emulated: pushes, replies, retry keys, quotas, profiles.

Read from https://developers.line.biz/en/reference/messaging-api/ (August 2026). There are no receipts. A push with a
retry key that was accepted before is answered 409 with the first answer's messages and shows nothing twice
(https://developers.line.biz/en/docs/messaging-api/retrying-api-request/).
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kurir.sandbox.line_messages import Reader, entry, with_facts
from kurir.sandbox.media import is_web_url
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.state import Sandbox
from kurir.sandbox.view import Block, Bubble, LedgerEvent, Phone
from kurir.sandbox.webhooks import encode
from kurir.sandbox.wire import (
    UNSEEN,
    JsonObject,
    RefusedError,
    TooLargeError,
    UnreadableError,
    parse_json,
    read_body,
)

MAX_BODY = 2 * 1024 * 1024
MULTICAST = 500
WEBHOOK_URL = 500
RETRY_KEY_SECONDS = 24 * 3600.0
MAX_RETRY_KEYS = 100_000
FINAL = "answered 200: final on this channel"
#: Of these kinds the answer holds a quote token.
QUOTABLE = ("text", "textV2", "sticker", "image", "video", "template", "flex")
#: Only these kinds can quote.
QUOTING = ("text", "textV2", "sticker")
VALIDATED = ("push", "reply", "multicast", "narrowcast", "broadcast")

_ADDRESS = re.compile(r"[UCR][0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Handler = Callable[[Request], Awaitable[Response]]


def refusal(status: int, message: str, extra: JsonObject | None = None) -> RefusedError:
    """Return a refusal in LINE's shape."""
    return RefusedError(status, {"message": message} | (extra or {}))


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What a retry key stands for: the request that was accepted with it, and when."""

    request_id: str
    sent: list[JsonObject]
    at: float


class Line:
    """The emulated channel."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._channel = sandbox.config.line
        self._accepted: OrderedDict[str, _Accepted] = OrderedDict()
        self._usage = 0
        self._active = True

    def routes(self) -> list[Route]:
        """Return the routes inside /line."""
        posts: dict[str, Handler] = {
            "/v2/bot/message/push": self._push,
            "/v2/bot/message/reply": self._reply,
            "/v2/bot/message/multicast": self._multicast,
            "/v2/bot/chat/loading/start": self._loading,
            "/v2/bot/chat/markAsRead": self._nothing,
            "/v2/bot/channel/webhook/test": self._test_webhook,
            "/v2/bot/user/{user_id}/linkToken": self._link_token,
        }
        posts |= {f"/v2/bot/message/validate/{kind}": self._validate for kind in VALIDATED}
        gets: dict[str, Handler] = {
            "/v2/bot/info": self._info,
            "/v2/bot/message/quota": self._quota,
            "/v2/bot/message/quota/consumption": self._consumption,
            "/v2/bot/profile/{user_id}": self._profile,
            "/v2/bot/channel/webhook/endpoint": self._get_webhook,
            "/v2/bot/message/{message_id}/content": self._content,
            "/v2/bot/message/{message_id}/content/preview": self._content,
            "/v2/bot/message/{message_id}/content/transcoding": self._transcoding,
        }
        return [
            *(Route(path, self._answered(handler), methods=["POST"]) for path, handler in posts.items()),
            *(Route(path, self._answered(handler), methods=["GET"]) for path, handler in gets.items()),
            Route("/v2/bot/channel/webhook/endpoint", self._answered(self._set_webhook), methods=["PUT"]),
            Route("/{path:path}", self._answered(_nowhere), methods=["GET", "POST", "PUT", "DELETE"]),
        ]

    def _answered(self, handler: Handler) -> Handler:
        """Authenticate, and put ``x-line-request-id`` on every answer."""

        async def answer(request: Request) -> Response:
            request.state.request_id = self._sandbox.ids.uuid("request")
            try:
                self._authenticate(request)
                response = await handler(request)
            except RefusedError as error:
                response = error.response()
            response.headers["x-line-request-id"] = request.state.request_id
            return response

        return answer

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        expected = self._channel.channel_access_token
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
            text = "Authentication failed due to the following reason: invalid token. "
            raise refusal(401, text + "Confirm that the access token in the authorization header is valid.")

    # --- Sending ------------------------------------------------------------------------------------------------------

    async def _push(self, request: Request) -> Response:
        body = await self._body(request)
        key = self._retry_key(request)
        address = body.get("to")
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise refusal(400, "The property, 'to', in the request body is invalid (line: -, column: -)")
        shown = self._read(body)
        phone = self._sandbox.phones.get("line", address)
        if phone is None or not phone.on_channel:
            raise refusal(400, "Failed to send messages")
        self._check_quotes(body, address)
        self._spend(1)
        sent = self._show(request, phone, body, shown)
        self._remember(request, key, sent)
        return JSONResponse({"sentMessages": sent})

    async def _reply(self, request: Request) -> Response:
        body = await self._body(request)
        if request.headers.get("x-line-retry-key") is not None:
            raise refusal(400, "The retry key is not supported by this endpoint")
        shown = self._read(body)
        address = self._sandbox.reply_tokens.use(str(body.get("replyToken") or ""))
        phone = self._sandbox.phones.get("line", address)
        if phone is None:
            raise refusal(400, "Invalid reply token")
        self._check_quotes(body, address)
        return JSONResponse({"sentMessages": self._show(request, phone, body, shown)})

    async def _multicast(self, request: Request) -> Response:
        body = await self._body(request)
        key = self._retry_key(request)
        addresses = body.get("to")
        if not isinstance(addresses, list) or not 1 <= len(addresses) <= MULTICAST:
            detail = {"message": f"Size must be between 1 and {MULTICAST}", "property": "to"}
            raise refusal(400, "The request body has 1 error(s)", {"details": [detail]})
        shown = self._read(body)
        self._spend(len(addresses))
        for address in dict.fromkeys(str(address) for address in addresses):
            phone = self._sandbox.phones.get("line", address)
            if phone is not None and phone.on_channel:
                self._show(request, phone, body, shown)
        self._remember(request, key, [])
        return JSONResponse({})

    def _spend(self, messages: int) -> None:
        """Count what a call costs of the month's quota; refuse it when too little is left."""
        quota = self._channel.quota
        if quota is not None and self._usage + messages > quota:
            raise refusal(429, "You have reached your monthly limit.")
        self._usage += messages

    async def _validate(self, request: Request) -> Response:
        self._read(await self._body(request))
        return JSONResponse({})

    async def _body(self, request: Request) -> JsonObject:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refusal(400, f"The content type, {kind or '-'}, is not supported")
        try:
            body = parse_json(await read_body(request, MAX_BODY))
        except TooLargeError:
            raise refusal(413, "Request entity too large") from None
        except UnreadableError:
            raise refusal(400, "The request body could not be parsed as JSON (line: -, column: -)") from None
        if not isinstance(body, dict):
            raise refusal(400, "The request body could not be parsed as JSON (line: -, column: -)")
        return body

    def _retry_key(self, request: Request) -> str:
        """Return the retry key, "" without one; a key that was accepted less than a day ago is answered 409."""
        key = request.headers.get("x-line-retry-key")
        if key is None:
            return ""
        if not _UUID.fullmatch(key):
            raise refusal(400, "The retry key is invalid")
        accepted = self._accepted.get(key.lower())
        if accepted is None or self._sandbox.clock.monotonic() - accepted.at > RETRY_KEY_SECONDS:
            return key.lower()
        extra = {"sentMessages": accepted.sent} if accepted.sent else {}
        error = refusal(409, "The retry key is already accepted", extra)
        error.headers["x-line-accepted-request-id"] = accepted.request_id
        raise error

    def _remember(self, request: Request, key: str, sent: list[JsonObject]) -> None:
        if key:
            self._accepted[key] = _Accepted(request.state.request_id, sent, self._sandbox.clock.monotonic())
            while len(self._accepted) > MAX_RETRY_KEYS:
                self._accepted.popitem(last=False)

    def _read(self, body: JsonObject) -> list[tuple[Block, ...]]:
        reader = Reader()
        shown = reader.messages(body.get("messages"))
        if reader.problems:
            details = [{"message": message, "property": where} for message, where in reader.problems]
            raise refusal(400, f"The request body has {len(details)} error(s)", {"details": details})
        return [with_facts(blocks) for blocks in shown]

    def _check_quotes(self, body: JsonObject, address: str) -> None:
        for index, message in enumerate(body["messages"]):
            token = message.get("quoteToken")
            if token is None:
                continue
            chat, _ = self._sandbox.quote_tokens.look(str(token))
            if chat != address or message["type"] not in QUOTING:
                detail = {"message": "Invalid quote token", "property": f"messages[{index}].quoteToken"}
                raise refusal(400, "The request body has 1 error(s)", {"details": [detail]})

    def _show(
        self, request: Request, phone: Phone, body: JsonObject, shown: list[tuple[Block, ...]]
    ) -> list[JsonObject]:
        """Put each message of a call on *phone*, unless its owner blocked us; return what the answer says of them."""
        sandbox, sent = self._sandbox, []
        at, known = sandbox.phone_time(phone), rfc3339(sandbox.clock.now())
        for message, blocks in zip(body["messages"], shown, strict=True):
            number = sandbox.ids.line_id()
            _, quoted = sandbox.quote_tokens.look(str(message.get("quoteToken")))
            head = {name: body[name] for name in ("to", "replyToken", "notificationDisabled") if name in body}
            bubble = Bubble(
                id=number,
                at=at,
                blocks=blocks,
                quoted=quoted,
                final=True,
                events=[LedgerEvent(known, 1, FINAL)],
                payload=head | {"messages": [message]},
            )
            if not (request.scope.get(UNSEEN) or phone.blocked):
                sandbox.phones.add(phone, bubble)
            answer = {"id": number}
            if message["type"] in QUOTABLE:
                answer["quoteToken"] = sandbox.quote_tokens.issue(phone.address, number)
            sent.append(answer)
        return sent

    # --- What else a client asks --------------------------------------------------------------------------------------

    async def _info(self, _: Request) -> Response:
        name = self._sandbox.config.business
        bot = {"userId": self._channel.bot_user_id, "basicId": self._channel.basic_id, "displayName": name}
        return JSONResponse(bot | {"chatMode": "bot", "markAsReadMode": "auto"})

    async def _quota(self, _: Request) -> Response:
        quota = self._channel.quota
        return JSONResponse({"type": "none"} if quota is None else {"type": "limited", "value": quota})

    async def _consumption(self, _: Request) -> Response:
        return JSONResponse({"totalUsage": self._usage})

    async def _profile(self, request: Request) -> Response:
        phone = self._sandbox.phones.get("line", request.path_params["user_id"])
        if phone is None or phone.blocked or not phone.on_channel:
            raise refusal(404, "Not found")
        return JSONResponse({"displayName": phone.person, "userId": phone.address, "language": "id"})

    async def _loading(self, request: Request) -> Response:
        body = await self._body(request)
        seconds = body.get("loadingSeconds", 20)
        if self._sandbox.phones.get("line", str(entry(body, "chatId"))) is None or seconds not in range(5, 61, 5):
            raise refusal(400, "The request body has 1 error(s)")
        return JSONResponse({}, 202)

    async def _nothing(self, request: Request) -> Response:
        await self._body(request)
        return JSONResponse({})

    async def _content(self, request: Request) -> Response:
        """Answer with the file that a person sent: https://developers.line.biz/en/reference/messaging-api/#get-content."""
        upload_id = self._sandbox.line_contents.get(request.path_params["message_id"])
        if upload_id is None:
            raise refusal(404, "Not found")
        media, content = self._sandbox.uploads.get(upload_id), self._sandbox.uploads.content(upload_id)
        if media is None or content is None:
            raise refusal(410, "Gone")
        return Response(content, media_type=media.mime_type)

    async def _transcoding(self, request: Request) -> Response:
        if request.path_params["message_id"] not in self._sandbox.line_contents:
            raise refusal(404, "Not found")
        return JSONResponse({"status": "succeeded"})

    async def _link_token(self, request: Request) -> Response:
        if self._sandbox.phones.get("line", request.path_params["user_id"]) is None:
            raise refusal(404, "Not found")
        return JSONResponse({"linkToken": self._sandbox.ids.text("link", 32)})

    async def _get_webhook(self, _: Request) -> Response:
        url = self._sandbox.webhooks.url("line")
        if not url:
            raise refusal(404, "Webhook endpoint not found")
        return JSONResponse({"endpoint": url, "active": self._active})

    async def _set_webhook(self, request: Request) -> Response:
        url = (await self._body(request)).get("endpoint")
        # LINE takes https alone; beside a sandbox a gateway on this machine has no certificate.
        if not is_web_url(url) or len(str(url)) > WEBHOOK_URL:
            raise refusal(400, "Invalid webhook endpoint URL")
        self._sandbox.connect("line", str(url))
        return JSONResponse({})

    async def _test_webhook(self, request: Request) -> Response:
        """Post a body without events, signed as any other, and tell what came back."""
        url = (await self._body(request)).get("endpoint") or self._sandbox.webhooks.url("line")
        if not is_web_url(url):
            raise refusal(400 if url else 404, "Invalid webhook endpoint URL" if url else "Webhook endpoint not found")
        raw = encode({"destination": self._channel.bot_user_id, "events": []}, ascii_only=False)
        status, words = await self._sandbox.webhooks.status("line", raw, str(url))
        good = 200 <= status < 300
        timed_out = words.endswith(" s")
        reason = (
            "OK" if good else "ERROR_STATUS_CODE" if status else "REQUEST_TIMEOUT" if timed_out else "COULD_NOT_CONNECT"
        )
        facts = {"statusCode": status, "reason": reason, "detail": words}
        return JSONResponse({"success": good, "timestamp": rfc3339(self._sandbox.clock.now())} | facts)


async def _nowhere(_: Request) -> Response:
    raise refusal(404, "Not found")
