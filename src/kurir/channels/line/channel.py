"""The LINE channel: Messaging API by push and reply.

Three facts of LINE shape this module (pages "Messaging API reference" and "Retry failed API requests"):

* A push carries ``X-Line-Retry-Key``. With the same key LINE sends once and answers a repeat with 409 and the ids of
  the first success, so a push is safe to repeat. The key is derived from tid and part: a restart cannot change it.
  LINE forgets a key after 24 h, so the sender relies on it for 23.
* A reply is free of charge, takes no retry key, and its token works once. So an unknown reply may be tried again on
  ``/reply`` only; «Invalid reply token» then says nothing about the first try.
* LINE reports neither delivery nor reading. 200 is all there is, also for a person who blocked the account.

The calls and the answers are here. What a message looks like on LINE is in ``.messages`` (with ``.flex`` for the cards and
``.urls`` for the files), what a refusal means is the table in ``.errors``, what a webhook tells is in ``.webhooks``.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Capabilities,
    Facts,
    Handshake,
    Inbound,
    InboundMedia,
    JsonObject,
    Learned,
    Limit,
    Needs,
    NoAnswer,
    Outcome,
    Rejected,
    Rendering,
    Retry,
    Scope,
    Sent,
    Stage,
    Unknown,
    WebhookRejected,
    WebhookRequest,
)
from kurir.channels.line import errors as line_errors
from kurir.channels.line import flex as line_flex
from kurir.channels.line import messages as line_messages
from kurir.channels.line import urls as line_urls
from kurir.channels.line import webhooks as line_webhooks
from kurir.channels.line.errors import ErrorRow, Kind
from kurir.channels.line.messages import Draft
from kurir.channels.text import storable
from kurir.domain import channel
from kurir.domain.account import Account, LineSettings, Rate
from kurir.domain.message import HeaderType, Message, MessageType
from kurir.domain.problem import Problem, pointer
from kurir.domain.status import Status

NAME: Final = channel.LINE
API_BASE: Final = "https://api.line.me"
SETTINGS: Final = LineSettings

#: LINE names no limit for concurrent calls; 2,000 calls a second at 25 ms each are 50 at once.
CONCURRENCY: Final = 50
RATES: Final[Mapping[str, Rate | None]] = {
    "account": None,
    "recipient": None,
    "push": Rate(2000, 1.0),
    "reply": Rate(2000, 1.0),
}

CAPABILITIES: Final = Capabilities(
    types={
        MessageType.TEXT: ("native", "5,000 UTF-16 units a message, longer texts are split"),
        MessageType.IMAGE: ("native", "JPEG and PNG; other kinds as a card that opens the file; text follows"),
        MessageType.VIDEO: ("native", "MP4, with the account's preview image; else a card that opens the file"),
        MessageType.AUDIO: ("native", "MP3 and M4A; other kinds as a card that opens the file"),
        MessageType.VOICE: ("native", "shown as audio"),
        MessageType.DOCUMENT: ("degraded", "a card with the file's name that opens the file"),
        MessageType.BUTTON: ("native", "a template where it fits, else a Flex card"),
        MessageType.LIST: ("degraded", "a card for each section, up to 12 side by side"),
        MessageType.LOCATION: ("native", "text is the title, 100 UTF-16 units"),
        MessageType.TEMPLATE: ("no", "templates are WhatsApp's"),
    },
    receipts=(),
    final_status=Status.SENT,
    tells_blocking=True,
    idempotent=True,
)

MESSAGES: Final = 5

_REFERENCE: Final = "Messaging API reference"
_FLEX: Final = "Messaging API reference, Flex Message"
LIMITS: Final[Sequence[Limit]] = (
    Limit("messages of a call", MESSAGES, "messages", "further calls", _REFERENCE),
    Limit("text", line_messages.TEXT, "UTF-16 code units", "split", _REFERENCE),
    Limit(
        "altText",
        line_messages.ALTERNATIVE,
        "UTF-16 code units",
        "cut",
        "Messaging API reference (1,500 since 2025, 400 before)",
    ),
    Limit("file URL", line_messages.URL, "characters", "refused", _REFERENCE),
    Limit("button URL", line_messages.LINK, "characters", "name and URL as text", _REFERENCE),
    Limit("location title", line_messages.PLACE, "UTF-16 code units", "cut", _REFERENCE),
    Limit("location address", line_messages.PLACE, "UTF-16 code units", "never reached", _REFERENCE),
    Limit("template buttons", line_messages.TEMPLATE_BUTTONS, "buttons", "Flex card", _REFERENCE),
    Limit("template button label", line_messages.TEMPLATE_LABEL, "grapheme clusters", "Flex card", _REFERENCE),
    Limit("template title", line_messages.TEMPLATE_TITLE, "grapheme clusters", "Flex card", _REFERENCE),
    Limit("template text", line_messages.TEMPLATE_TEXT, "grapheme clusters", "Flex card", _REFERENCE),
    Limit(
        "template text beside title or image",
        line_messages.TEMPLATE_TEXT_BESIDE,
        "grapheme clusters",
        "Flex card",
        _REFERENCE,
    ),
    Limit("Flex button label", line_flex.LABEL, "grapheme clusters", "cut", _REFERENCE),
    Limit("displayText", line_messages.SHOWN_WHEN_PRESSED, "grapheme clusters", "cut", _REFERENCE),
    Limit("postback data", line_messages.KEY, "UTF-16 code units", "stored token", _REFERENCE),
    Limit("Flex bubble", line_flex.BUBBLE_BYTES, "bytes of JSON", "refused", _FLEX),
    Limit("Flex carousel", line_flex.CAROUSEL_BYTES, "bytes of JSON", "refused", _FLEX),
    Limit("Flex carousel bubbles", line_flex.BUBBLES, "bubbles", "refused", _FLEX),
)

ERRORS: Final = line_errors.ERRORS
PLATFORM_CODES: Final = line_errors.PLATFORM_CODES

#: The namespace of our retry keys. It must never change: a repeat after an update has to carry the same key.
_RETRY_KEYS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://api.line.me/v2/bot/message/push")
_LONGEST_WAIT: Final = 3600.0
#: The status by which LINE says that a file is not ready to be fetched.
_NOT_READY: Final = 202


# --- What cannot be sent ----------------------------------------------------------------------------------------------


def problems(message: Message) -> list[Problem]:
    """Return what LINE can neither send nor degrade; [] when the message can be rendered."""
    found: list[Problem] = []
    if message.type is MessageType.TEMPLATE:
        detail = "message templates are WhatsApp's; on LINE send the text itself, with type text, button or list"
        found.append(Problem("/type", "unsupported_type", detail))
    if message.fallback is not None:
        detail = "LINE has no window that closes and no templates to fall back to; leave fallback out"
        found.append(Problem("/fallback", "unsupported_type", detail))
    if message.media is not None:
        found += _url_problems(message.media.url, "/body/media/url")
    if message.header is not None and message.header.type is not HeaderType.TEXT:
        found += _url_problems(message.header.media_url, "/header/media_url")
    if found:
        return found + _section_problems(message)
    return _section_problems(message) + _size_problems(message)


def _url_problems(url: str, at: str) -> list[Problem]:
    name = at[1:].replace("/", ".")
    if not line_urls.is_https(url):
        detail = f"{name} begins with http://, and LINE takes files by https only; put the file where https reaches it"
        return [Problem(at, "https_required", detail)]
    encoded = line_urls.encoded(url)
    if encoded is None:
        return [Problem(at, "invalid_format", f"{name} has no host that LINE could ask; check the URL")]
    if len(encoded) > line_messages.URL:
        length = f"{len(encoded)} characters once percent-encoded"
        detail = f"{name} has {length}, and LINE takes {line_messages.URL}; use a shorter URL"
        return [Problem(at, "too_long", detail)]
    return []


def _section_problems(message: Message) -> list[Problem]:
    count = len(message.list.sections) if message.list else 0
    if count <= line_flex.BUBBLES:
        return []
    detail = (
        f"body.list.sections has {count} sections, and LINE shows at most {line_flex.BUBBLES} cards side by side; "
        "join sections, or send several lists"
    )
    return [Problem("/body/list/sections", "too_many", detail)]


def _size_problems(message: Message) -> list[Problem]:
    """Build the cards and weigh them. What comes from outside makes them no heavier: all tokens have one length."""
    draft = Draft.of("", LineSettings("", ""), Facts(tid="", address=""))
    if message.buttons:
        return _button_size_problems(message, line_messages.build(message, draft))
    found: list[Problem] = []
    bubbles = line_messages.section_cards(message.list, draft) if message.list else []
    for index, bubble in enumerate(bubbles):
        weight = line_flex.size(bubble)
        if weight > line_flex.BUBBLE_BYTES:
            found.append(_too_heavy(pointer("body", "list", "sections", index), weight, line_flex.BUBBLE_BYTES))
    if not found and 1 < len(bubbles) <= line_flex.BUBBLES:
        weight = line_flex.size(line_flex.carousel(bubbles))
        if weight > line_flex.CAROUSEL_BYTES:
            found.append(_too_heavy("/body/list/sections", weight, line_flex.CAROUSEL_BYTES))
    return found


def _button_size_problems(message: Message, built: Sequence[JsonObject]) -> list[Problem]:
    weight = max((line_flex.size(each["contents"]) for each in built if each["type"] == "flex"), default=0)
    if weight <= line_flex.BUBBLE_BYTES:
        return []
    buttons = sum(len(button.key.encode()) + 2 * len(button.title.encode()) for button in message.buttons)
    at = "/body/text" if len(message.text.encode()) > buttons else "/body/button"
    return [_too_heavy(at, weight, line_flex.BUBBLE_BYTES)]


def _too_heavy(at: str, weight: int, limit: int) -> Problem:
    name = at[1:].replace("/", ".")
    detail = (
        f"{name} makes a card of {weight} bytes of JSON, and LINE takes {limit}; "
        "send fewer items or shorter words, or several messages"
    )
    return Problem(at, "too_long", detail)


# --- Rendering --------------------------------------------------------------------------------------------------------


def needs(message: Message, account: Account) -> Needs:
    """Return whether a reply token would be used, and the audio file whose duration LINE wants to be told.

    A file of which its URL says that LINE cannot play it is not asked for.
    """
    replies = _settings(account).use_reply_tokens
    if message.media is None or message.type not in (MessageType.AUDIO, MessageType.VOICE):
        return Needs(reply_token=replies)
    url = message.media.url
    return Needs(probe=(url,) if line_urls.shows(message.type, url, None) else (), reply_token=replies)


def refusal(message: Message, account: Account, facts: Facts) -> Rejected | None:  # noqa: ARG001 - the protocol's
    """Return None: LINE has no window that closes."""
    return None


def render(message: Message, account: Account, facts: Facts) -> Rendering:
    """Return *message* as calls of one to five LINE messages each. Same input, same bytes."""
    settings = _settings(account)
    draft = Draft.of(account.client_id, settings, facts)
    messages = line_messages.build(message, draft)
    _quote(message, messages, draft)
    token = _reply_token(message, draft)
    calls = []
    for first in range(0, len(messages), MESSAGES):
        some, part = messages[first : first + MESSAGES], first // MESSAGES + 1
        calls.append(_reply(account, token, some) if token and part == 1 else _push(account, facts, part, some))
    return Rendering(tuple(calls), tuple(draft.losses), draft.keys.tokens())


def _settings(account: Account) -> LineSettings:
    if not isinstance(account.settings, LineSettings):
        raise TypeError(f"account {account.id} is not on LINE")
    return account.settings


def _headers(account: Account) -> tuple[tuple[str, str], ...]:
    token = _settings(account).channel_access_token
    return (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))


def _reply(account: Account, token: str, messages: list[JsonObject]) -> Call:
    url = account.api_base + "/v2/bot/message/reply"
    body: JsonObject = {"replyToken": token, "messages": messages}
    return Call(1, "POST", url, _headers(account), body, limits=("reply",), messages=len(messages), reply_token=token)


def _push(account: Account, facts: Facts, part: int, messages: list[JsonObject]) -> Call:
    retry_key = uuid.uuid5(_RETRY_KEYS, f"{facts.tid}:{part}")
    return Call(
        part,
        "POST",
        account.api_base + "/v2/bot/message/push",
        (*_headers(account), ("X-Line-Retry-Key", str(retry_key))),
        {"to": facts.address, "messages": messages},
        repeatable=True,
        limits=("push",),
        messages=len(messages),
    )


def _reply_token(message: Message, draft: Draft) -> str:
    """Return the reply token to use for the first call, "" to push."""
    if draft.facts.takes(1, Again.PUSH):
        why = "LINE refused the reply token"
    elif not draft.settings.use_reply_tokens:
        why = "the account does not use reply tokens"
    elif draft.facts.reply_token is None:
        why = "the reply token is unknown, used, too old, or of another chat"
    else:
        return draft.facts.reply_token.token
    if message.reply_token:
        detail = f"{why}: the message is pushed, which counts to the account's quota"
        draft.lose("/reply_token", "reply_token_not_used", detail)
    return ""


def _quote(message: Message, messages: list[JsonObject], draft: Draft) -> None:
    """Put the quote token on the first text: of what we send, only texts can quote (page "Get quote tokens")."""
    if not message.reply_id:
        return
    target, address = draft.facts.reply, draft.facts.address
    if target is None:
        detail = "no message with this id is known here: the message is sent without a quote"
        draft.lose("/reply_id", "reply_id_not_found", detail)
        return
    first = next((index for index, each in enumerate(messages) if each["type"] == "text"), None)
    if not target.quote_token:
        why = "LINE gave no quote token for the message replied to"
    elif target.chat and address and target.chat != address:
        why = "the message replied to is of another chat"
    elif first is None:
        why = "on LINE only a text can quote, and this message has none"
    elif draft.facts.takes(first // MESSAGES + 1, Again.WITHOUT_QUOTE):
        why = "LINE refused the quote token"
    else:
        messages[first]["quoteToken"] = target.quote_token
        return
    draft.lose("/reply_id", "reply_not_quotable", f"{why}: the message is sent without a quote")


# --- Answers ----------------------------------------------------------------------------------------------------------


def classify(call: Call, answer: Answer | NoAnswer) -> Outcome:
    """Return what an answer means. Total: every status and body, and every way of not answering, has an outcome."""
    if isinstance(answer, NoAnswer):
        if answer.stage is Stage.BEFORE_SEND:
            return Retry("not_reached", f"LINE was not reached: {answer.reason}")
        return Unknown("no_answer", f"LINE's answer did not come: {answer.reason}")
    body = answer.json()
    provider_code = str(answer.status)
    if 200 <= answer.status <= 299 and body is not None:
        return _sent(body)
    refusal = line_errors.read(body)
    row = line_errors.find(answer.status, refusal)
    if row is None:
        reason = f"the answer with status {answer.status} is not LINE's"
        return Unknown("no_answer", reason, provider_code)
    if row.kind is Kind.DUPLICATE:
        return _sent(body or {})
    reason = f"LINE: {refusal.sentence}" if refusal else f"LINE answered with status {answer.status}"
    return _refused(row, call, answer, reason)


def _refused(row: ErrorRow, call: Call, answer: Answer, reason: str) -> Outcome:
    code, provider_code = row.code, str(answer.status)
    match row.kind:
        case Kind.ACCOUNT:
            return AccountDown(code, reason, provider_code)
        case Kind.RECIPIENT:
            return Rejected(Status.UNDELIVERED, code, reason, provider_code)
        case Kind.RATE | Kind.RECIPIENT_RATE:
            scope = Scope.ACCOUNT if row.kind is Kind.RATE else Scope.RECIPIENT
            after = _retry_after(answer.headers)
            return Retry(code, reason, after, scope, throttled=True, provider_code=provider_code)
        case Kind.FAULT if call.repeatable:
            return Retry(code, reason, provider_code=provider_code)
        case Kind.FAULT | Kind.AMBIGUOUS:
            # A reply has no retry key: after a 500 only its token, tried once more, can tell.
            return Unknown("ambiguous_error", reason, provider_code)
        case Kind.REPLY if "replyToken" in call.json:
            if call.after_unknown:
                return Unknown("ambiguous_error", f"{reason}; an earlier try may have used the token", provider_code)
            return Retry(code, reason, again=Again.PUSH, provider_code=provider_code)
        case Kind.QUOTE if _quotes(call):
            return Retry(code, reason, again=Again.WITHOUT_QUOTE, provider_code=provider_code)
        case _:
            return Rejected(Status.FAILED, code, reason, provider_code)


def _quotes(call: Call) -> bool:
    messages = call.json.get("messages")
    return isinstance(messages, list) and any(isinstance(each, dict) and "quoteToken" in each for each in messages)


def _sent(body: JsonObject) -> Sent:
    """Return the ids in ``{"sentMessages": [{"id": "461…", "quoteToken": "IStG…"}]}``; for 409 they may be numbers."""
    given = body.get("sentMessages")
    ids: list[str] = []
    quotes: list[str] = []
    for each in given if isinstance(given, list) else ():
        number = each.get("id") if isinstance(each, dict) else None
        if isinstance(number, int | str) and not isinstance(number, bool) and number != "":
            ids.append(storable(str(number)))
            quote = each.get("quoteToken")
            quotes.append(storable(quote) if isinstance(quote, str) else "")
    return Sent(tuple(ids), learned=Learned(quote_tokens=tuple(quotes) if any(quotes) else ()))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After, which LINE does not document and a proxy may send."""
    given = headers.get("retry-after", "").strip()
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        return None
    return min(float(given), _LONGEST_WAIT)


def look(account: Account) -> Call:
    """Return the call that tells who the bot is and sends nothing: "Get bot info" of the Messaging API reference."""
    token = _settings(account).channel_access_token
    headers = (("Authorization", f"Bearer {token}"),)
    return Call(part=0, method="GET", url=account.api_base + "/v2/bot/info", headers=headers, json={})


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def verify(account: Account, request: WebhookRequest) -> Handshake | None:
    """Check ``x-line-signature``: base64 of HMAC-SHA256 with the channel secret over the raw bytes."""
    secret = _settings(account).channel_secret
    wanted = base64.b64encode(hmac.new(secret.encode(), request.body, hashlib.sha256).digest())
    given = request.headers.get("x-line-signature", "").encode("utf-8", "replace")
    if not secret or not hmac.compare_digest(given, wanted):
        raise WebhookRejected("the signature in x-line-signature is missing or wrong")
    return None


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:  # noqa: ARG001 - as every channel is asked
    """Return the events of a verified request, in its order; [] for LINE's connection check. See ``.webhooks``."""
    return line_webhooks.events(request)


def fetch(account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:
    """Return the next call by which a file that came in is fetched; None when *answer* is the file, or refuses it.

    LINE keeps what a person sent for a time that it does not tell, so it is fetched soon ("Get content"): 200 is the file,
    and 202 says that it is not ready yet, as with long videos. Then the same call is returned: it is made again after a
    wait, and the caller bounds how often. 404 and 410 mean that it is gone. What a LIFF app sent is at its public URL.
    """
    if answer is not None and (answer.status != _NOT_READY or not media.id):
        return None
    if media.public:
        return Call(1, "GET", media.url, (), {}, file=True) if media.url else None
    if not media.id:
        return None
    settings = _settings(account)
    url = f"{settings.data_api_base.rstrip('/')}/v2/bot/message/{quote(media.id, safe='')}/content"
    headers = (("Authorization", f"Bearer {settings.channel_access_token}"),)
    return Call(1, "GET", url, headers, {}, file=True)
