"""Messenger: a message as calls of Meta's Send API, its answers, its webhooks.

One URL takes everything: ``POST /{page}/messages``. ``metadata`` carries the tid and comes back in the echo, which
settles a call whose answer never came: the platform has no idempotency key. Lengths are counted in UTF-16 code units,
because Meta's pages name no unit and no other reading but bytes is stricter.

What a message becomes stands in ``.content``, what the error codes mean in ``.errors``, what the webhooks tell in
``.webhooks``, what a person's message holds in ``.attachments``. Sources: Meta's pages "Send API reference", "Send a
message" (2026-05-05) and "Rate limits" (2026-03-23) of the Messenger platform.
"""

from collections.abc import Mapping
from typing import Final

from kurir.channels.base import (
    Again,
    Answer,
    Call,
    Capabilities,
    Facts,
    Handshake,
    Inbound,
    InboundMedia,
    JsonObject,
    Limit,
    Needs,
    Rejected,
    Rendering,
    WebhookRequest,
)
from kurir.channels.keys import Keys
from kurir.channels.messenger import webhooks as messenger_webhooks
from kurir.channels.messenger.content import (
    BUTTON_TITLE_LIMIT,
    CARD_LINE_LIMIT,
    CARDS,
    PAYLOAD_LIMIT,
    QUICK_REPLIES,
    TEMPLATE_BUTTONS,
    TEMPLATE_TEXT_LIMIT,
    TEXT_LIMIT,
    Draft,
    write,
)
from kurir.channels.messenger.errors import ERRORS, PLATFORM_CODES, classify
from kurir.channels.meta import graph
from kurir.channels.text import ago, utf16
from kurir.domain import channel
from kurir.domain.account import Account, MessengerSettings, Rate
from kurir.domain.message import Message, MessageType
from kurir.domain.problem import Problem
from kurir.domain.status import Status

__all__ = [
    "API_BASE",
    "CAPABILITIES",
    "CONCURRENCY",
    "ERRORS",
    "LIMITS",
    "NAME",
    "PLATFORM_CODES",
    "RATES",
    "SETTINGS",
    "classify",
    "fetch",
    "look",
    "needs",
    "parse",
    "problems",
    "refusal",
    "render",
    "verify",
    "window_closed",
]

NAME: Final = channel.MESSENGER
API_BASE: Final = "https://graph.facebook.com"
SETTINGS: Final = MessengerSettings

CAPABILITIES: Final = Capabilities(
    types={
        "text": ("native", "longer than 2000: several messages"),
        "image": ("native", "the text follows as its own message"),
        "video": ("native", "the text follows as its own message"),
        "audio": ("native", "the text follows as its own message"),
        "voice": ("degraded", "an audio attachment: Messenger has no other voice message"),
        "document": ("native", "the file name is that of the URL; the text follows as its own message"),
        "button": ("native", "1 to 3 as buttons, 4 to 13 as quick replies, more as a carousel"),
        "list": ("degraded", "quick replies where the rows are few and short, else a carousel of cards"),
        "location": ("degraded", "a button that opens a map"),
        "template": ("no", "templates exist on WhatsApp only"),
    },
    receipts=(Status.DELIVERED, Status.READ),
    final_status=Status.READ,
    idempotent=False,
)

_UTF16: Final = "UTF-16 code units"
LIMITS: Final = (
    Limit("message.text", TEXT_LIMIT, _UTF16, "split into several messages", "Send API reference"),
    Limit("message.metadata", 999, _UTF16, "never reached: a tid and a number", "Send API reference"),
    Limit("button template text", TEMPLATE_TEXT_LIMIT, _UTF16, "the beginning goes ahead as text", "Button template"),
    Limit("buttons of a template or card", TEMPLATE_BUTTONS, "items", "quick replies or a carousel", "Button template"),
    Limit("button title", BUTTON_TITLE_LIMIT, _UTF16, "shortened", "Buttons"),
    Limit("postback payload", PAYLOAD_LIMIT, _UTF16, "a stored token in place of the key", "Buttons"),
    Limit("cards of a carousel", CARDS, "items", "a further carousel", "Generic template"),
    Limit("card title", CARD_LINE_LIMIT, _UTF16, "shortened", "Generic template"),
    Limit("card subtitle", CARD_LINE_LIMIT, _UTF16, "shortened", "Generic template"),
    Limit("quick replies", QUICK_REPLIES, "items", "a carousel", "Quick replies"),
    Limit("quick reply title", BUTTON_TITLE_LIMIT, _UTF16, "shortened", "Quick replies"),
    Limit("quick reply payload", PAYLOAD_LIMIT, _UTF16, "a stored token in place of the key", "Quick replies"),
    Limit("image file", 8_000_000, "bytes", "refused by Messenger", "Send a message"),
    Limit("video, audio or other file", 25_000_000, "bytes", "refused by Messenger", "Send a message"),
)

#: Beyond 40 messages a second Meta takes the page for "high volume", which hampers the people who work in its inbox. To
#: one person there is one call in flight at a time, which the lane gives.
RATES: Final[Mapping[str, Rate | None]] = {"account": Rate(30, 1), "recipient": None, "media": Rate(5, 1)}
CONCURRENCY: Final = 20

#: How long after the person's last message anything may be sent, and how long a human agent may still answer.
WINDOW_SECONDS: Final = 24 * 3600
HUMAN_AGENT_SECONDS: Final = 7 * 24 * 3600


# --- What cannot be sent ----------------------------------------------------------------------------------------------


def problems(message: Message) -> list[Problem]:
    """Return what Messenger can neither send nor degrade: templates, in either place."""
    found: list[Problem] = []
    if message.type is MessageType.TEMPLATE:
        detail = "templates exist on whatsapp only; use another type, or send the template to whatsapp"
        found.append(Problem("/type", "unsupported_type", f"type «template» cannot be sent on messenger: {detail}"))
    if message.fallback is not None:
        detail = "fallback sends a template, and templates exist on whatsapp only; leave fallback out on messenger"
        found.append(Problem("/fallback", "unsupported_type", detail))
    return found


def needs(message: Message, account: Account) -> Needs:  # noqa: ARG001 - the signature is the protocol's
    """Return what ``render`` would like to know: nothing, Messenger fetches and judges the files itself."""
    return Needs()


def window_closed(account: Account, facts: Facts) -> bool:
    """Return whether Messenger is known to refuse a message now: the person last wrote too long ago.

    False when it is not known when they wrote. A human agent may still answer for 7 days.
    """
    if facts.last_inbound_seconds is None:
        return False
    open_for = HUMAN_AGENT_SECONDS if _settings(account).human_agent else WINDOW_SECONDS
    return facts.last_inbound_seconds > open_for


def refusal(message: Message, account: Account, facts: Facts) -> Rejected | None:  # noqa: ARG001 - the protocol's
    """Return why Messenger is known to refuse any message to this person now; None when it is to be tried."""
    if not window_closed(account, facts):
        return None
    if _settings(account).human_agent:
        open_for = "7 days after that, from a human agent"
        cure = "wait until the person writes"
    else:
        open_for = "24 hours after that"
        cure = (
            "wait until the person writes, or set human_agent of the account, with which people may answer for 7 days"
        )
    last = ago(facts.last_inbound_seconds or 0.0)
    reason = f"the person last wrote {last}, and Messenger takes messages for {open_for}: {cure}"
    return Rejected(Status.UNDELIVERED, "window_closed", reason)


def look(account: Account) -> Call:
    """Return the call that reads the id of the page, and sends nothing (:func:`kurir.channels.meta.graph.look`)."""
    settings = _settings(account)
    return graph.look(account.api_base, settings.api_version, settings.page_id, settings.page_access_token)


def verify(account: Account, request: WebhookRequest) -> Handshake | None:
    """Check Meta's signature, or answer its handshake. Raises WebhookRejected."""
    settings = _settings(account)
    return graph.verify(request, app_secret=settings.app_secret, verify_token=settings.verify_token)


def parse(account: Account, request: WebhookRequest) -> list[Inbound]:
    """Return the events of a verified request, in its order. Raises WebhookUnreadable, nothing else."""
    return messenger_webhooks.events(request, _settings(account).app_id)


def fetch(account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:  # noqa: ARG001 - the protocol's
    """Return the call that fetches a file that came in: one GET of its URL, without the page's token.

    The URL is a public link of Meta's file servers ("messages" of the webhook events) that ends by itself; Meta names no
    term, so the file is to be fetched soon. Meta names no size either for what people send; what a page sends is at most
    25 MB, images 8 MB ("Send a message"). None after an answer, and where the platform told no URL.
    """
    if answer is not None or not media.url:
        return None
    return Call(1, "GET", media.url, (), {}, file=True)


# --- Rendering --------------------------------------------------------------------------------------------------------


def render(message: Message, account: Account, facts: Facts) -> Rendering:
    """Return *message* as calls of the Send API, in order."""
    settings = _settings(account)
    draft = Draft(message, facts.labels, Keys(account.client_id, length=utf16, limit=PAYLOAD_LIMIT))
    write(draft)
    quote = _quote(draft, facts)
    if message.reply_token:
        draft.lose(
            "/reply_token", "reply_token_not_used", "Messenger has no reply tokens: it is sent as any other message"
        )
    url = f"{account.api_base}/{settings.api_version}/{settings.page_id}/messages"
    envelope = {"recipient": {"id": facts.address}, **_occasion(settings, facts)}
    calls: list[Call] = []
    for number, part in enumerate(draft.parts, 1):
        reference = facts.tid if len(draft.parts) == 1 else f"{facts.tid}:{number}"
        upload = part.file if facts.takes(number, Again.UPLOAD) else None
        content = _without_url(part.message) if upload else part.message
        body: JsonObject = {**envelope, "message": {**content, "metadata": reference}}
        if quote and number == 1:
            body["reply_to"] = {"mid": quote}
        headers = [("Authorization", f"Bearer {settings.page_access_token}")]
        if upload is None:
            headers.append(("Content-Type", "application/json"))
        limits = ("media",) if part.file else ()
        calls.append(Call(number, "POST", url, tuple(headers), body, upload=upload, limits=limits))
    losses = dict.fromkeys(loss for loss in draft.losses if loss.kind != "media_name_ignored" or not calls[0].upload)
    return Rendering(tuple(calls), tuple(losses), draft.keys.tokens(), tuple(draft.choices))


def _occasion(settings: MessengerSettings, facts: Facts) -> JsonObject:
    """Return by which right the message is sent. Beyond every window UPDATE is tried; the sender asks window_closed."""
    age = facts.last_inbound_seconds
    if age is not None and age <= WINDOW_SECONDS:
        return {"messaging_type": "RESPONSE"}
    if age is not None and settings.human_agent and age <= HUMAN_AGENT_SECONDS:
        return {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    return {"messaging_type": "UPDATE"}


def _quote(draft: Draft, facts: Facts) -> str:
    """Return the platform's id of the message that is replied to, "" for none; what is lost is noted."""
    reply_id, target = draft.message.reply_id, facts.reply
    if not reply_id:
        return ""
    if facts.takes(1, Again.WITHOUT_QUOTE):
        why = "Messenger did not take it as the message replied to: it is sent as an ordinary message"
    elif target is None and reply_id.startswith(("m_", "mid.")):
        return reply_id
    elif target is None or not target.platform_id:
        why = "no message with this id is known here: it is sent as an ordinary message"
    elif target.chat and facts.address and target.chat != facts.address:
        why = "the message replied to is of another conversation: it is sent as an ordinary message"
    else:
        return target.platform_id
    draft.lose("/reply_id", "reply_id_not_found", why)
    return ""


def _without_url(message: JsonObject) -> JsonObject:
    """Return an attachment by URL as one whose file travels inside the call."""
    return {"attachment": {"type": message["attachment"]["type"], "payload": {"is_reusable": False}}}


def _settings(account: Account) -> MessengerSettings:
    if not isinstance(account.settings, MessengerSettings):
        raise TypeError(f"account {account.id} is no Messenger account")
    return account.settings
