"""Messenger's Send API, emulated: one page's edges, its echoes and its watermarks.

Read from https://developers.facebook.com/docs/messenger-platform (reference/send-api, reference/webhook-events; June
2026). A 200 is the last synchronous word; delivery and reading come as watermarks, and every message comes back as an
echo when the page is subscribed to echoes, which this one is.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kurir.sandbox.graph import GraphErrors, authenticate, member, only_keys, selected, token_of
from kurir.sandbox.media import MAX_UPLOAD
from kurir.sandbox.messenger_messages import MEDIA, Reader
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.receipts import Step
from kurir.sandbox.refusals import blocked
from kurir.sandbox.state import MESSENGER_FIELDS, Sandbox
from kurir.sandbox.view import Block, Bubble, LedgerEvent, Phone
from kurir.sandbox.wire import File, Form, JsonObject, TooLargeError, UnreadableError, parse_json, read_form

MAX_FIELDS = 1024 * 1024
#: Attachments that are kept to be sent by their id.
MAX_ASSETS = 1000
#: How long after the person's last message a human agent may answer.
HUMAN_AGENT_SECONDS = 7 * 24 * 3600.0

TOP_KEYS = (
    "recipient",
    "messaging_type",
    "tag",
    "message",
    "sender_action",
    "payload",
    "reply_to",
    "notification_type",
    "persona_id",
    "access_token",
)
RECIPIENT_KEYS = ("id", "user_ref", "comment_id", "post_id", "notification_messages_token")
MESSAGING_TYPES = ("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY")
#: All that is left of the tags since April 2026: https://developers.facebook.com/docs/messenger-platform/changelog
TAGS = ("HUMAN_AGENT", "CUSTOMER_FEEDBACK")
ACTIONS = ("typing_on", "typing_off", "mark_seen", "react", "unreact")


class Messenger:
    """The emulated edges of one page."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._page = sandbox.config.messenger
        self._errors = GraphErrors(sandbox.ids)
        self._assets: OrderedDict[str, Block] = OrderedDict()

    def owns(self, node: str) -> bool:
        """Return whether *node* is this page."""
        return node in ("me", self._page.page_id)

    def knows(self, node: str) -> bool:
        """Return whether *node* is this page or somebody who wrote to it."""
        return self.owns(node) or self._sandbox.phones.get("messenger", node) is not None

    def edges(self) -> dict[tuple[str, str], Callable[[Request], Awaitable[Response]]]:
        """Return the page's edges by method and name."""
        return {
            ("POST", "messages"): self._messages,
            ("POST", "message_attachments"): self._attachments,
            ("POST", "subscribed_apps"): self._subscribe,
            ("GET", "subscribed_apps"): self._subscribed,
            ("DELETE", "subscribed_apps"): self._unsubscribe,
        }

    async def node(self, request: Request) -> Response:
        """Answer GET /{page_id} and GET /{psid}."""
        self._authenticate(request)
        node = request.path_params["node"]
        if self.owns(node):
            page = {"id": self._page.page_id, "name": self._sandbox.config.business}
            return JSONResponse(selected(request, self._errors, page))
        phone = self._sandbox.phones.get("messenger", node)
        person = {"first_name": phone.person if phone else "", "last_name": "Sandbox", "profile_pic": ""}
        return JSONResponse({"id": node} | {name: value for name, value in person.items() if value})

    async def _subscribe(self, request: Request) -> Response:
        form = await self._form(request)
        given = form.fields.get("subscribed_fields", "")
        names = given if isinstance(given, list) else str(given).split(",")
        fields = {str(name).strip() for name in names if str(name).strip()}
        unknown = sorted(fields - set(MESSENGER_FIELDS))
        if not fields or unknown:
            got = f' - got "{unknown[0]}"' if unknown else ""
            raise self._errors.parameter(
                f"Param subscribed_fields must be one of {{{', '.join(MESSENGER_FIELDS)}}}{got}"
            )
        self._sandbox.subscriptions.messenger = fields
        return JSONResponse({"success": True})

    async def _unsubscribe(self, request: Request) -> Response:
        self._authenticate(request)
        self._sandbox.subscriptions.messenger = set()
        return JSONResponse({"success": True})

    async def _subscribed(self, request: Request) -> Response:
        self._authenticate(request)
        fields = [name for name in MESSENGER_FIELDS if name in self._sandbox.subscriptions.messenger]
        app = {"id": str(self._page.app_id), "name": self._sandbox.config.business, "subscribed_fields": fields}
        return JSONResponse({"data": [app] if fields else []})

    async def _attachments(self, request: Request) -> Response:
        form = await self._form(request)
        attachment = member(member(form.fields, "message"), "attachment")
        if str(attachment.get("type")) not in MEDIA:
            raise self._errors.parameter("Param message[attachment][type] must be one of {AUDIO, FILE, IMAGE, VIDEO}")
        block = self._reader(form.files.get("filedata")).blocks({"attachment": attachment})[0]
        return JSONResponse({"attachment_id": self._keep(block)})

    def _keep(self, block: Block) -> str:
        """Keep an attachment to be sent again by its id."""
        attachment_id = self._sandbox.ids.digits("asset", 16)
        self._assets[attachment_id] = block
        while len(self._assets) > MAX_ASSETS:
            self._assets.popitem(last=False)
        return attachment_id

    async def _messages(self, request: Request) -> Response:
        form = await self._form(request)
        body = form.fields
        only_keys(self._errors, body, TOP_KEYS, "")
        psid, phone = self._recipient(body)
        if body.get("sender_action"):
            self._check_action(body)
            if body["sender_action"] == "mark_seen":
                self._sandbox.phones.read(phone)
            return JSONResponse({"recipient_id": psid})
        self._check_type(body)
        self._check_window(body, phone)
        message = body.get("message")
        if not isinstance(message, dict):
            raise self._errors.parameter("The parameter message is required")
        blocks = self._reader(form.files.get("filedata")).blocks(message)
        reply = body.get("reply_to")
        if reply is not None and not isinstance(member(body, "reply_to").get("mid"), str):
            raise self._errors.parameter("The parameter reply_to[mid] is required")
        mid = self._accept(body, message, phone, blocks)
        answer = {"recipient_id": psid, "message_id": mid}
        if member(member(message, "attachment"), "payload").get("is_reusable") is True:
            answer["attachment_id"] = self._keep(blocks[0])
        return JSONResponse(answer)

    async def _form(self, request: Request) -> Form:
        """Read a body in any encoding; in a form the objects travel as JSON text."""
        try:
            form = await read_form(request, limit=MAX_FIELDS)
        except TooLargeError:
            raise self._errors.parameter("Attachment size exceeds allowable limit", 2018109) from None
        except UnreadableError:
            raise self._errors.parameter("The request body is not valid JSON") from None
        self._authenticate(request, form.fields)
        fields = {name: value for name, value in form.fields.items() if name != "appsecret_proof"}
        for name in ("recipient", "message", "reply_to", "payload"):
            if isinstance(fields.get(name), str):
                try:
                    fields[name] = parse_json(fields[name])
                except UnreadableError:
                    raise self._errors.parameter(f"Param {name} must be a JSON object") from None
        if any(len(file.content) > MAX_UPLOAD for file in form.files.values()):
            raise self._errors.parameter("Attachment size exceeds allowable limit", 2018109)
        return Form(fields, form.files)

    def _authenticate(self, request: Request, fields: JsonObject | None = None) -> None:
        page, given = self._page, token_of(request, fields)
        authenticate(request, self._errors, token=page.page_access_token, app_secret=page.app_secret, given=given)

    def _reader(self, file: File | None) -> Reader:
        return Reader(self._errors, self._sandbox.uploads, self._assets, file)

    def _recipient(self, body: JsonObject) -> tuple[str, Phone]:
        recipient = member(body, "recipient")
        given = [key for key in RECIPIENT_KEYS if recipient.get(key)]
        if len(given) != 1:
            raise self._errors.parameter("param recipient must be non-empty.")
        only_keys(self._errors, recipient, RECIPIENT_KEYS, "recipient")
        psid = str(recipient[given[0]])
        phone = self._sandbox.phones.get("messenger", psid) if given == ["id"] else None
        if phone is None or not phone.on_channel:
            raise self._errors.parameter("No matching user found", 2018001)
        if phone.blocked:
            raise blocked("messenger", self._errors, self._sandbox.clock.now())
        return psid, phone

    def _check_window(self, body: JsonObject, phone: Phone) -> None:
        """Refuse what comes later than 24 hours after the person's last message, but for the two ways that Meta leaves."""
        kind, tag = body.get("messaging_type"), body.get("tag")
        if not self._sandbox.window_closed(phone) or kind == "UTILITY":
            return
        if kind == "MESSAGE_TAG" and tag == "HUMAN_AGENT" and self._sandbox.silence(phone) <= HUMAN_AGENT_SECONDS:
            return
        text = "(#10) This message is sent outside of allowed window. Learn more about the new policy here: "
        link = "https://developers.facebook.com/docs/messenger-platform/policy-overview"
        raise self._errors.refusal(10, text + link, subcode=2018278)

    def _check_action(self, body: JsonObject) -> None:
        if body["sender_action"] not in ACTIONS:
            names = ", ".join(ACTIONS).upper()
            raise self._errors.parameter(f"Param sender_action must be one of {{{names}}}")
        if body.get("message"):
            raise self._errors.parameter("Cannot send message and sender_action in the same request", 2018014)

    def _check_type(self, body: JsonObject) -> None:
        kind, tag = body.get("messaging_type"), body.get("tag")
        if kind is not None and kind not in MESSAGING_TYPES:
            raise self._errors.parameter(f"Param messaging_type must be one of {{{', '.join(MESSAGING_TYPES)}}}")
        if (kind == "MESSAGE_TAG" or tag) and tag not in TAGS:
            raise self._errors.parameter("Invalid message tag. This tag is not supported any more")

    def _accept(self, body: JsonObject, message: JsonObject, phone: Phone, blocks: tuple[Block, ...]) -> str:
        sandbox, now = self._sandbox, self._sandbox.clock.now()
        mid, quoted = sandbox.ids.mid(), str(member(body, "reply_to").get("mid", ""))
        bubble = Bubble(
            id=mid,
            at=sandbox.phone_time(phone),
            blocks=blocks,
            quoted=quoted if sandbox.phones.shows(phone, quoted) else "",
            events=[LedgerEvent(rfc3339(now), 1, "answered 200: sent")],
            payload={key: value for key, value in body.items() if key != "access_token"},
        )
        sandbox.phones.add(phone, bubble)
        told = _Told(self._page.page_id, self._page.app_id, phone.address, mid, int(now.timestamp() * 1000))
        delays = sandbox.config.delays
        steps = {
            "message_echoes": told.echo(message, delays.sent),
            "message_deliveries": told.watermark("delivery", "delivered", 2, delays.delivered, "online"),
            "message_reads": told.watermark("read", "read", 3, delays.read, "open"),
        }
        subscribed = [step for name, step in steps.items() if name in sandbox.subscriptions.messenger]
        sandbox.receipts.begin(phone, bubble, subscribed)
        return mid


@dataclass(frozen=True, slots=True)
class _Told:
    """The webhooks that follow one message.

    https://developers.facebook.com/docs/messenger-platform/reference/webhook-events
    {"object": "page", "entry": [{"id": "<PAGE>", "time": 1749416384000, "messaging": [{"sender": {"id": "<PSID>"},
    "recipient": {"id": "<PAGE>"}, "timestamp": 1749416383123,
    "delivery": {"mids": ["m_…"], "watermark": 1749416383123}}]}]}

    The watermark is this message's own time: it says that everything up to it is delivered, and nothing after it.
    """

    page_id: str
    app_id: int
    psid: str
    mid: str
    sent_ms: int

    def echo(self, message: JsonObject, delay: float) -> Step:
        """Return the step that echoes the message."""
        echo: JsonObject = {"is_echo": True, "app_id": self.app_id, "mid": self.mid}
        echo |= {name: message[name] for name in ("metadata", "text") if message.get(name)}
        if message.get("attachment"):
            attachment = message["attachment"]
            echo["attachments"] = [{"type": attachment.get("type"), "payload": attachment.get("payload", {})}]

        def body(_: datetime) -> JsonObject:
            return self._body(self.page_id, self.psid, self.sent_ms, {"message": echo})

        return Step("sent", 1, "webhook: echo", delay, body)

    def watermark(self, event: str, tick: str, status: int, delay: float, needs: str) -> Step:
        """Return the step of a delivery or read event."""
        facts: JsonObject = {"watermark": self.sent_ms}
        if event == "delivery":
            facts = {"mids": [self.mid]} | facts

        def body(moment: datetime) -> JsonObject:
            return self._body(self.psid, self.page_id, int(moment.timestamp() * 1000), {event: facts})

        return Step(tick, status, f"webhook: {event}", delay, body, needs, final=tick == "read")

    def _body(self, sender: str, recipient: str, timestamp: int, event: JsonObject) -> JsonObject:
        head = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": timestamp}
        return {"object": "page", "entry": [{"id": self.page_id, "time": timestamp, "messaging": [head | event]}]}
