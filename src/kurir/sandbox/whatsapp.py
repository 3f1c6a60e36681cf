"""WhatsApp's Cloud API, emulated: one business number's edges, and the receipts that follow a message.

Read from https://developers.facebook.com/docs/whatsapp/cloud-api (reference/messages, support/error-codes, webhooks;
September 2026). A 200 only means "accepted": a number that is not on WhatsApp and a media link that cannot be fetched
fail later, by webhook, as does everything else that Meta only learns when it delivers.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from kurir.sandbox.graph import GraphErrors, authenticate, fits, member, only_keys, read_object, token_of
from kurir.sandbox.media import mime_type_of
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.receipts import Step
from kurir.sandbox.refusals import blocked
from kurir.sandbox.state import Sandbox
from kurir.sandbox.view import Block, Bubble, LedgerEvent, Phone
from kurir.sandbox.whatsapp_messages import Reader
from kurir.sandbox.whatsapp_templates import TEMPLATES
from kurir.sandbox.wire import JsonObject, TooLargeError, UnreadableError, read_form

OPAQUE_DATA = 512
CLOSED = "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
#: Where files are fetched: the path of Meta's own host for them, under the root of the emulated Graph API.
MEDIA_PATH = "/whatsapp_business/attachments/"
MEDIA_URL_SECONDS = 300
ENVELOPE = (
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
    "recipient_identity_key_hash",
    "access_token",
)
TYPES = (
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "reaction",
    "sticker",
    "template",
    "text",
    "video",
)
#: Largest uploads by the first half of the type: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media
UPLOAD_SIZES = {"image": 5 << 20, "video": 16 << 20, "audio": 16 << 20, "application": 100 << 20, "text": 100 << 20}

_NUMBER = re.compile(r"[0-9][0-9x]{5,14}")
_BSUID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")


class WhatsApp:
    """The emulated edges of one business phone number."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._number = sandbox.config.whatsapp
        self._errors = GraphErrors(sandbox.ids)

    def owns(self, node: str) -> bool:
        """Return whether *node* is this business phone number."""
        return node == self._number.phone_number_id

    def owns_account(self, node: str) -> bool:
        """Return whether *node* is the business account that has the number."""
        return node == self._number.waba_id

    async def messages(self, request: Request) -> Response:
        """Answer POST /{phone_number_id}/messages."""
        message = await read_object(request, self._errors)
        self._authenticate(request, message)
        reader = Reader(self._errors, self._sandbox.uploads)
        if message.get("messaging_product") != "whatsapp":
            raise self._errors.parameter("The parameter messaging_product is required.")
        if message.get("status") == "read":
            return self._mark_read(message, reader)
        address = self._check_envelope(message, reader)
        blocks = reader.blocks(message)
        phone = self._sandbox.phones.get("whatsapp", address) or self._by_user_id(address)
        if phone is not None and phone.on_channel:
            self._check_person(phone, message)
            address = self._sandbox.people.of(phone).wa_id if message.get("to") else address
        wamid = self._sandbox.ids.wamid(address)
        self._accept(message, phone, address, wamid, blocks, reader.failure)
        contact = {"input": str(message.get("to") or message.get("recipient"))}
        contact |= {"wa_id": address} if message.get("to") else {"user_id": address}
        return JSONResponse({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]})

    async def upload(self, request: Request) -> Response:
        """Answer POST /{phone_number_id}/media."""
        self._authenticate(request)
        try:
            form = await read_form(request, limit=64 * 1024)
        except (TooLargeError, UnreadableError):
            raise self._errors.parameter("Invalid multipart body") from None
        file = form.files.get("file")
        if file is None or form.fields.get("messaging_product") != "whatsapp":
            raise self._errors.parameter("The parameters messaging_product and file are required.")
        mime_type, size = mime_type_of(file), len(file.content)
        if not 0 < size <= UPLOAD_SIZES.get(mime_type.partition("/")[0], 0):
            details = f"Unsupported type or size: {mime_type}, {size} bytes"
            raise self._errors.refusal(131053, "(#131053) Media upload error", details=details)
        upload_id, _ = self._sandbox.uploads.put(file)
        return JSONResponse({"id": upload_id})

    async def node(self, request: Request) -> Response:
        """Answer GET and DELETE /{media_id} and GET /{phone_number_id}, which SDKs read at their start."""
        self._authenticate(request)
        node = request.path_params["node"]
        if node == self._number.waba_id:
            return JSONResponse({"id": node, "name": self._sandbox.config.business, "currency": "IDR"})
        if self.owns(node):
            fields = request.query_params.get("fields", "")
            names = [name.strip() for name in fields.split(",") if name.strip()]
            number = self._facts()
            for name in names:
                if name not in number:
                    raise self._errors.parameter(f"Tried accessing nonexisting field ({name})")
            return JSONResponse({name: value for name, value in number.items() if not names or name in (*names, "id")})
        media = self._sandbox.uploads.get(node)
        if media is None:
            raise self._errors.unknown_object(request.method, node)
        if request.method == "DELETE":
            return JSONResponse({"success": True})
        content = self._sandbox.uploads.content(node) or b""
        expires = int(self._sandbox.clock.monotonic() + MEDIA_URL_SECONDS)
        query = urlencode({"mid": node, "ext": expires, "hash": self._proof(node, expires)})
        host = f"{request.url.scheme}://{request.url.netloc}"
        facts: JsonObject = {
            "url": f"{host}/graph{MEDIA_PATH}?{query}",
            "mime_type": media.mime_type,
            "sha256": hashlib.sha256(content).hexdigest(),
            "file_size": media.size,
            "id": node,
        }
        return JSONResponse({"messaging_product": "whatsapp"} | facts)

    async def download(self, request: Request) -> Response:
        """Answer the address of a file, which lives five minutes and wants the token as well."""
        self._authenticate(request)
        node, expires = request.query_params.get("mid", ""), request.query_params.get("ext", "")
        good = expires.isdigit() and hmac.compare_digest(
            request.query_params.get("hash", "").encode(), self._proof(node, int(expires)).encode()
        )
        content = self._sandbox.uploads.content(node)
        media = self._sandbox.uploads.get(node)
        if not good or content is None or media is None or int(expires) < self._sandbox.clock.monotonic():
            return PlainTextResponse("URL signature expired", 403 if media else 404)
        return Response(content, media_type=media.mime_type)

    def _proof(self, node: str, expires: int) -> str:
        words = f"{node}:{expires}".encode()
        return hmac.new(self._number.app_secret.encode(), words, hashlib.sha256).hexdigest()[:32]

    def account_edges(self) -> dict[tuple[str, str], Callable[[Request], Awaitable[Response]]]:
        """Return the edges of the business account that has the number."""
        return {
            ("GET", "message_templates"): self._templates,
            ("GET", "phone_numbers"): self._numbers,
            ("GET", "subscribed_apps"): self._subscribed,
            ("POST", "subscribed_apps"): self._subscribe,
            ("DELETE", "subscribed_apps"): self._subscribe,
        }

    async def _templates(self, request: Request) -> Response:
        """https://developers.facebook.com/docs/graph-api/reference/whats-app-business-account/message_templates/."""
        self._authenticate(request)
        query = request.query_params
        found = [
            one
            for one in TEMPLATES
            if all(query.get(key, one[key]) == one[key] for key in ("name", "language", "status"))
        ]
        limit = int(query["limit"]) if query.get("limit", "").isdigit() else len(found)
        start = int(query["after"]) if query.get("after", "").isdigit() else 0
        page = found[start : start + max(limit, 1)]
        paging: JsonObject = {"cursors": {"before": str(start), "after": str(start + len(page))}}
        if start + len(page) < len(found):
            again = urlencode({**query, "after": start + len(page)})
            paging["next"] = f"{request.url.scheme}://{request.url.netloc}{request.url.path}?{again}"
        return JSONResponse({"data": page, "paging": paging})

    async def _numbers(self, request: Request) -> Response:
        self._authenticate(request)
        return JSONResponse({"data": [self._facts()]})

    async def _subscribed(self, request: Request) -> Response:
        self._authenticate(request)
        app = {"whatsapp_business_api_data": {"id": str(self._number.app_id), "name": self._sandbox.config.business}}
        return JSONResponse({"data": [app] if self._sandbox.subscriptions.whatsapp else []})

    async def _subscribe(self, request: Request) -> Response:
        self._authenticate(request)
        self._sandbox.subscriptions.whatsapp = request.method == "POST"
        return JSONResponse({"success": True})

    def _facts(self) -> JsonObject:
        number: JsonObject = {
            "id": self._number.phone_number_id,
            "display_phone_number": self._number.display_phone_number,
        }
        number |= {"verified_name": self._sandbox.config.business, "code_verification_status": "VERIFIED"}
        number |= {"quality_rating": "GREEN", "platform_type": "CLOUD_API", "status": "CONNECTED"}
        return number | {"name_status": "APPROVED", "throughput": {"level": "STANDARD"}}

    def _authenticate(self, request: Request, fields: JsonObject | None = None) -> None:
        given = token_of(request, fields)
        number = self._number
        authenticate(request, self._errors, token=number.access_token, app_secret=number.app_secret, given=given)

    def _mark_read(self, message: JsonObject, reader: Reader) -> Response:
        if not isinstance(message.get("message_id"), str) or not message["message_id"].startswith("wamid."):
            raise reader.invalid("Message id is not valid")
        phone = self._phone_of(message["message_id"])
        if phone is not None:
            self._sandbox.phones.read(phone, message["message_id"])
        return JSONResponse({"success": True})

    def _phone_of(self, wamid: str) -> Phone | None:
        """Return the phone whose number a message's id holds, as ``Ids.wamid`` makes it."""
        try:
            raw = base64.b64decode(wamid.removeprefix("wamid."))
            return self._sandbox.phones.get("whatsapp", raw[3 : 3 + raw[2]].decode())
        except (ValueError, IndexError):
            return None

    def _check_envelope(self, message: JsonObject, reader: Reader) -> str:
        kind = message.get("type", "text")
        if kind not in TYPES:
            names = ", ".join(name.upper() for name in TYPES)
            raise self._errors.parameter(f'Param type must be one of {{{names}}} - got "{kind}".')
        only_keys(self._errors, message, (*ENVELOPE, kind), "")
        if message.get("recipient_type", "individual") != "individual":
            raise self._errors.parameter("Param recipient_type must be one of {INDIVIDUAL}.")
        opaque = message.get("biz_opaque_callback_data", "")
        if not fits(opaque, 0, OPAQUE_DATA):
            raise self._errors.parameter(
                f"Param biz_opaque_callback_data must be at most {OPAQUE_DATA} characters long."
            )
        context = message.get("context")
        if context is not None and not isinstance(member(message, "context").get("message_id"), str):
            raise reader.missing("Parameter 'context.message_id' is mandatory when 'context' is given")
        return self._recipient(message, reader)

    def _recipient(self, message: JsonObject, reader: Reader) -> str:
        to, user = message.get("to"), message.get("recipient")
        if to:
            address = re.sub(r"[+\s().-]", "", str(to))
            if not _NUMBER.fullmatch(address):
                raise reader.invalid("Recipient phone number is not valid")
            return address
        if user:
            if not _BSUID.fullmatch(str(user)):
                raise reader.invalid("Recipient user id is not valid")
            return str(user)
        raise self._errors.parameter("The parameter to is required.")

    def _by_user_id(self, user_id: str) -> Phone | None:
        """Return the phone of the person with this business-scoped user id."""
        persons = (person for person in self._sandbox.config.people if person.bsuid == user_id)
        person = next(persons, None) if _BSUID.fullmatch(user_id) else None
        return self._sandbox.phones.get("whatsapp", person.phone) if person else None

    def _check_person(self, phone: Phone, message: JsonObject) -> None:
        """Refuse what somebody does not take: anything who blocked the number, all but templates after 24 hours.

        Meta answers 131047 at once or by webhook; here it is at once.
        """
        if phone.blocked:
            raise blocked("whatsapp", self._errors, self._sandbox.clock.now())
        if message.get("type") not in ("template", "reaction") and self._sandbox.window_closed(phone):
            raise self._errors.refusal(131047, "(#131047) Re-engagement message", details=CLOSED, product="whatsapp")

    def _accept(
        self,
        message: JsonObject,
        phone: Phone | None,
        address: str,
        wamid: str,
        blocks: tuple[Block, ...],
        failure: str,
    ) -> None:
        sandbox, moment = self._sandbox, rfc3339(self._sandbox.clock.now())
        bubble = None
        if phone is not None:
            quoted = str(member(message, "context").get("message_id", ""))
            bubble = Bubble(
                id=wamid,
                at=sandbox.phone_time(phone),
                blocks=blocks,
                quoted=quoted if sandbox.phones.shows(phone, quoted) else "",
                tick="clock",
                status=0,
                events=[LedgerEvent(moment, 0, "accepted; WhatsApp says sent by webhook")],
                payload={key: value for key, value in message.items() if key != "access_token"},
            )
            sandbox.phones.add(phone, bubble)
        opaque = str(message.get("biz_opaque_callback_data") or "")
        told = _Told(
            self._number.waba_id,
            self._number.display_phone_number,
            self._number.phone_number_id,
            wamid,
            address,
            opaque,
        )
        delays = sandbox.config.delays
        if phone is None or not phone.on_channel:
            steps = [told.failed(131026, "Message undeliverable", "Message Undeliverable.", delays.sent)]
            phone = phone or Phone("whatsapp", "", "", sandbox.config.business)
        elif failure:
            steps = [told.failed(131053, "Media upload error", failure, delays.sent)]
        else:
            steps = [
                told.step("sent", 1, delays.sent),
                told.step("delivered", 2, delays.delivered, needs="online"),
                told.step("read", 3, delays.read, needs="open", final=True),
            ]
        sandbox.receipts.begin(phone, bubble, steps if sandbox.subscriptions.whatsapp else [])


@dataclass(frozen=True, slots=True)
class _Told:
    """The status webhooks of one message.

    https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components#statuses-object
    {"object": "whatsapp_business_account", "entry": [{"id": "<WABA>", "changes": [{"field": "messages", "value": {…,
    "statuses": [{"id": "wamid.…", "status": "sent", "timestamp": "1750030073", "recipient_id": "16505551234"}]}}]}]}
    """

    waba_id: str
    display_phone_number: str
    phone_number_id: str
    wamid: str
    address: str
    opaque: str

    def step(self, name: str, status: int, delay: float, *, needs: str = "", final: bool = False) -> Step:
        """Return the step that tells *name*."""
        priced = name in ("sent", "delivered")

        def body(moment: datetime) -> JsonObject:
            pricing = {
                "billable": False,
                "pricing_model": "PMP",
                "type": "free_customer_service",
                "category": "service",
            }
            return self._body(name, moment, {"pricing": pricing} if priced else {})

        return Step(name, status, f"webhook: {name}", delay, body, needs, final)

    def failed(self, code: int, title: str, details: str, delay: float) -> Step:
        """Return the step that tells a failure after the 200."""
        error = {
            "code": code,
            "title": title,
            "message": title,
            "error_data": {"details": details},
            "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        }

        def body(moment: datetime) -> JsonObject:
            return self._body("failed", moment, {"errors": [error]})

        return Step("failed", -2, f"webhook: failed, {code} {title}", delay, body, final=True)

    def _body(self, name: str, moment: datetime, extra: JsonObject) -> JsonObject:
        seconds = str(int(moment.timestamp()))
        status: JsonObject = {"id": self.wamid, "status": name, "timestamp": seconds, "recipient_id": self.address}
        if self.opaque:
            status["biz_opaque_callback_data"] = self.opaque
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": self.display_phone_number, "phone_number_id": self.phone_number_id},
            "statuses": [status | extra],
        }
        change = {"value": value, "field": "messages"}
        return {"object": "whatsapp_business_account", "entry": [{"id": self.waba_id, "changes": [change]}]}
