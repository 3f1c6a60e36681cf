"""Telegram's Bot API, emulated: methods, limits and the error texts of the server behind api.telegram.org.

Read from https://core.telegram.org/bots/api (version 10.1) and, where that page gives no limits and texts, from
https://github.com/tdlib/telegram-bot-api and https://github.com/tdlib/td. Text is counted in Unicode code points,
entity offsets in UTF-16 code units, callback data in bytes. There are no receipts: a message id is the last that a
bot hears.
"""

import hashlib
import mimetypes
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kurir.sandbox.media import MAX_UPLOAD, is_web_url
from kurir.sandbox.phones import rfc3339
from kurir.sandbox.state import Sandbox
from kurir.sandbox.telegram_calls import TRUE, Parameters, bad, refusal
from kurir.sandbox.telegram_messages import SENDERS, Draft, Reader
from kurir.sandbox.view import Bubble, LedgerEvent, Phone
from kurir.sandbox.wire import File, JsonObject, TooLargeError, UnreadableError, read_form

MAX_PARAMETERS = 1024 * 1024
CALLBACK_ANSWER = 200
MAX_POLL_SECONDS = 50
MAX_UPDATES = 100
MAX_DOWNLOAD = 20 * 1024 * 1024
FINAL = "answered with a message id: final on this channel"

_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{30,50}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")

Result = JsonObject | list[Any] | bool


class Telegram:
    """The emulated bot."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._bot = sandbox.config.telegram
        self._updates = sandbox.updates
        self._connections = 40
        self._reader = Reader(sandbox.ids, sandbox.uploads)
        self._methods: dict[str, Callable[[Parameters], Result]] = {
            "getme": self._get_me,
            "getchat": self._get_chat,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
            "getfile": self._get_file,
            "answercallbackquery": self._answer_callback_query,
            "sendchataction": lambda parameters: bool(self._phone(parameters)),
            "sendmediagroup": self._album,
            "setmycommands": lambda _: True,
            "deletemycommands": lambda _: True,
            "getmycommands": lambda _: [],
        }

    def routes(self) -> list[Route]:
        """Return the routes inside /telegram."""
        return [
            Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._download, methods=["GET"]),
            Route("/{path:path}", _nowhere, methods=["GET", "POST"]),
        ]

    async def _call(self, request: Request) -> Response:
        token, method = request.path_params["token"], request.path_params["method"].lower()
        if not _TOKEN.fullmatch(token):
            raise refusal(404, "Not Found")
        if token != self._bot.token:
            raise refusal(401, "Unauthorized")
        try:
            form = await read_form(request, limit=MAX_PARAMETERS)
        except TooLargeError:
            raise refusal(413, "Request Entity Too Large") from None
        except UnreadableError:
            raise bad("can't parse request body") from None
        if any(len(file.content) > MAX_UPLOAD for file in form.files.values()):
            raise refusal(413, "Request Entity Too Large")
        parameters = Parameters(form)
        if method in SENDERS:
            return _answer(self._send(parameters, method))
        if method == "getupdates":
            return _answer(await self._get_updates(parameters))
        if method in self._methods:
            return _answer(self._methods[method](parameters))
        raise refusal(404, "Not Found: method not found")

    # --- Methods that send nothing ------------------------------------------------------------------------------------

    def _get_me(self, _: Parameters) -> Result:
        abilities = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
        return self._bot_user() | abilities | {"can_connect_to_business": False, "has_main_web_app": False}

    def _bot_user(self) -> JsonObject:
        name = self._sandbox.config.business
        return {"id": self._bot.id, "is_bot": True, "first_name": name, "username": self._bot.username}

    def _get_chat(self, parameters: Parameters) -> Result:
        phone = self._sandbox.phones.get("telegram", parameters.text("chat_id"))
        if phone is None:
            raise bad("chat not found" if parameters.text("chat_id") else "chat_id is empty")
        chat = _chat(phone)
        gifts = {"unlimited_gifts": True, "limited_gifts": True, "unique_gifts": True, "premium_subscription": True}
        return chat | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": gifts | {"gifts_from_channels": True},
        }

    def _set_webhook(self, parameters: Parameters) -> Result:
        url, secret = parameters.text("url"), parameters.text("secret_token")
        if url and not is_web_url(url, ("https", "http")):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")
        if secret and not _SECRET.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        self._connections = int(parameters.number("max_connections") or 40)
        self._allow(parameters)
        self._sandbox.webhooks.telegram_secret = secret
        self._sandbox.connect("telegram", url)
        if parameters.truth("drop_pending_updates"):
            self._updates.changed(drop=True)
        return True

    def _allow(self, parameters: Parameters) -> None:
        """Take over which kinds of updates are wanted; without the parameter the last setting stays."""
        allowed = parameters.json("allowed_updates", "allowed updates")
        if isinstance(allowed, list):
            self._updates.allowed = tuple(str(kind) for kind in allowed)

    def _delete_webhook(self, parameters: Parameters) -> Result:
        self._sandbox.connect("telegram", "")
        self._updates.changed(drop=parameters.truth("drop_pending_updates"))
        return True

    def _webhook_info(self, _: Parameters) -> Result:
        url = self._sandbox.webhooks.url("telegram")
        info: JsonObject = {"url": url, "has_custom_certificate": False, "pending_update_count": len(self._updates)}
        if url:
            allowed = {"allowed_updates": list(self._updates.allowed)} if self._updates.allowed else {}
            info |= {"max_connections": self._connections, "ip_address": "127.0.0.1"} | allowed
            info |= self._updates.last_error
        return info

    async def _get_updates(self, parameters: Parameters) -> list[JsonObject]:
        self._allow(parameters)
        limit = int(parameters.number("limit") or MAX_UPDATES)
        seconds = min(max(parameters.number("timeout") or 0, 0), MAX_POLL_SECONDS)
        offset = int(parameters.number("offset") or 0)
        return await self._updates.poll(offset, min(max(limit, 1), MAX_UPDATES), seconds)

    def _get_file(self, parameters: Parameters) -> Result:
        """https://core.telegram.org/bots/api#getfile: the path is good for an hour, files have at most 20 MB."""
        file_id = parameters.text("file_id")
        media = self._sandbox.uploads.get(file_id)
        if media is None:
            raise bad("wrong file_id or the file is temporarily unavailable" if file_id else "file_id is empty")
        if media.size > MAX_DOWNLOAD:
            raise bad("file is too big")
        folder = media.mime_type.partition("/")[0]
        folder = {"image": "photos", "video": "videos", "audio": "voice"}.get(folder, "documents")
        path = f"{folder}/{file_id}{mimetypes.guess_extension(media.mime_type) or ''}"
        unique = hashlib.sha256(file_id.encode()).hexdigest()[:16]
        return {"file_id": file_id, "file_unique_id": unique, "file_size": media.size, "file_path": path}

    async def _download(self, request: Request) -> Response:
        """Answer GET /file/bot<token>/<file_path>."""
        if request.path_params["token"] != self._bot.token:
            raise refusal(401, "Unauthorized")
        file_id = request.path_params["path"].rpartition("/")[2].partition(".")[0]
        content = self._sandbox.uploads.content(file_id)
        if content is None:
            raise refusal(404, "Not Found")
        return Response(content, media_type="application/octet-stream")

    def _answer_callback_query(self, parameters: Parameters) -> Result:
        text = parameters.text("text")
        if len(text) > CALLBACK_ANSWER:
            raise bad("MESSAGE_TOO_LONG")
        phone = self._sandbox.presses.answer(parameters.text("callback_query_id"), text)
        self._sandbox.phones.touch(phone)
        return True

    # --- Sending ------------------------------------------------------------------------------------------------------

    def _send(self, parameters: Parameters, method: str) -> Result:
        phone = self._phone(parameters)
        draft = self._reader.draft(method, parameters)
        return self._show(phone, parameters, draft, self._quoted(parameters, phone))

    def _phone(self, parameters: Parameters) -> Phone:
        chat_id = parameters.text("chat_id")
        if not chat_id:
            raise bad("chat_id is empty")
        phone = self._sandbox.phones.get("telegram", chat_id)
        if phone is None or not phone.on_channel:
            raise bad("chat not found")
        if phone.blocked:
            raise refusal(403, "Forbidden: bot was blocked by the user")
        return phone

    def _quoted(self, parameters: Parameters, phone: Phone) -> str:
        reply = parameters.json("reply_parameters", "reply parameters")
        if reply is None:
            return ""
        if not isinstance(reply, dict):
            raise bad("object expected as reply parameters")
        number = str(reply.get("message_id", ""))
        if self._sandbox.phones.shows(phone, number):
            return number
        if reply.get("allow_sending_without_reply") in (True, *TRUE):
            return ""
        raise bad("message to be replied not found")

    def _show(self, phone: Phone, parameters: Parameters, draft: Draft, quoted: str) -> JsonObject:
        sandbox, now = self._sandbox, self._sandbox.clock.now()
        number = sandbox.ids.in_chat(phone.address)
        chat = _chat(phone)
        message = {
            "message_id": number,
            "from": self._bot_user(),
            "chat": chat,
            "date": int(now.timestamp()),
        } | draft.answer
        if quoted:
            message["reply_to_message"] = {"message_id": int(quoted), "chat": chat, "date": int(now.timestamp())}
        bubble = Bubble(
            id=str(number),
            at=sandbox.phone_time(phone),
            blocks=draft.blocks,
            quoted=quoted,
            final=True,
            events=[LedgerEvent(rfc3339(now), 1, FINAL)],
            payload=parameters.form.fields | {name: _described(file) for name, file in parameters.form.files.items()},
        )
        sandbox.phones.add(phone, bubble)
        return message

    def _album(self, parameters: Parameters) -> Result:
        phone = self._phone(parameters)
        quoted, drafts = self._quoted(parameters, phone), self._reader.album(parameters)
        group = self._sandbox.ids.digits("album", 17)
        messages: list[Any] = []
        for draft in drafts:
            draft.answer["media_group_id"] = group
            messages.append(self._show(phone, parameters, draft, quoted))
        return messages


def _answer(result: Result) -> JSONResponse:
    return JSONResponse({"ok": True, "result": result})


async def _nowhere(_: Request) -> Response:
    raise refusal(404, "Not Found")


def _chat(phone: Phone) -> JsonObject:
    return {"id": int(phone.address), "type": "private", "first_name": phone.person}


def _described(file: File) -> JsonObject:
    return {"file": file.name, "type": file.content_type, "bytes": len(file.content)}
