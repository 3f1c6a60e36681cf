"""WhatsApp: Meta's Cloud API, one POST for every part of a message.

Sources: Meta's pages "Messages: text, media, location, interactive reply buttons, interactive lists" (read 2026-09-11
to 2026-11-20), "Error codes", "Webhooks: messages", and Meta's OpenAPI file of the business messaging API.

What shapes this file: an answer of 200 only means *accepted*, the ``sent`` receipt makes it sent; there is no
idempotency key, so ``biz_opaque_callback_data`` carries the tid (and the part), which every receipt brings back; Meta
never says in which unit it counts, so UTF-16 units are counted, the largest of the plausible ones; and Meta fetches
linked files after its answer, so a bad file is a ``failed`` receipt.

The content of the parts is written in ``.content``, the error table stands in ``.errors``, webhooks are read in
``.webhooks``, files that came in are fetched by ``.media``, and templates are ``.templates``.

A message may bring a template for the case that the window of 24 hours is closed. Where that is known before, only the
template is sent; where WhatsApp tells it (131047), the part is tried once more as the template, which ends the message.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from kurir.channels.base import (
    AccountDown,
    Again,
    Answer,
    Call,
    Capabilities,
    Facts,
    Handshake,
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
    WebhookRequest,
)
from kurir.channels.meta import graph
from kurir.channels.text import ago
from kurir.channels.whatsapp import media as whatsapp_media
from kurir.channels.whatsapp import templates as whatsapp_templates
from kurir.channels.whatsapp.content import (
    BODY,
    BUTTON_ID,
    BUTTON_TITLE,
    BUTTONS,
    CAPTION,
    FOOTER,
    HEADER,
    LABEL,
    PLACE_NAME,
    ROW_DESCRIPTION,
    ROW_ID,
    ROW_TITLE,
    ROWS,
    SECTION_TITLE,
    SECTIONS,
    SHOWN,
    TELLING,
    TEXT,
    WRITERS,
    Draft,
    extension_of,
)
from kurir.channels.whatsapp.errors import ERRORS, PLATFORM_CODES, ErrorRow, Kind, row_of
from kurir.channels.whatsapp.fields import BSUID, first, string
from kurir.channels.whatsapp.webhooks import parse
from kurir.domain.account import Account, Rate, WhatsAppSettings
from kurir.domain.channel import WHATSAPP
from kurir.domain.message import Message, MessageType, Template
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
]

NAME: Final = WHATSAPP
API_BASE: Final = "https://graph.facebook.com"
SETTINGS: Final = WhatsAppSettings

#: 80 messages a second and number, and one in six seconds to a recipient with a loan of 45 ("Throughput", "Pair rate
#: limits"). More than 20 calls in flight for one number gain nothing.
RATES: Final[Mapping[str, Rate | None]] = {"account": Rate(80, 1), "recipient": Rate(1, 6, 45)}
CONCURRENCY: Final = 20

CAPABILITIES: Final = Capabilities(
    types={
        MessageType.TEXT: ("native", "more than 4096 characters go as several messages"),
        MessageType.IMAGE: ("native", "JPEG and PNG, 5 MB; a caption over 1024 follows as text"),
        MessageType.VIDEO: ("native", "MP4 and 3GPP, 16 MB; a caption over 1024 follows as text"),
        MessageType.AUDIO: ("native", "AAC, AMR, MP3, M4A and OGG, 16 MB; a text follows as its own message"),
        MessageType.VOICE: ("native", "OGG with Opus; other files go as audio"),
        MessageType.DOCUMENT: ("native", "100 MB, with its name; a caption over 1024 follows as text"),
        MessageType.BUTTON: ("native", "up to 3; more become a list"),
        MessageType.LIST: ("native", "up to 10 rows; more become several lists"),
        MessageType.LOCATION: ("native", "a text up to 100 is the pin's name, a longer one goes before it"),
        MessageType.TEMPLATE: ("native", "the only type once a person has not written for 24 hours"),
    },
    receipts=(Status.SENT, Status.DELIVERED, Status.READ, Status.UNDELIVERED),
    final_status=Status.READ,
    idempotent=False,
)

_UNITS: Final = "UTF-16 units"
LIMITS: Final[Sequence[Limit]] = (
    Limit("text.body", TEXT, _UNITS, "split", "Text messages"),
    Limit("image.caption, video.caption, document.caption", CAPTION, _UNITS, "sent as its own text", "Image messages"),
    # The page of lists says 4096 for a list's body; the OpenAPI file says 1024, and 1731 were refused on 2026-10-02.
    Limit("interactive.body.text", BODY, _UNITS, "the beginning is sent as text", "Interactive reply buttons; OpenAPI"),
    Limit("interactive.header.text", HEADER, _UNITS, "cut", "Interactive reply buttons"),
    Limit("interactive.footer.text", FOOTER, _UNITS, "cut", "Interactive reply buttons"),
    Limit("interactive.action.buttons", BUTTONS, "buttons", "sent as a list", "Interactive reply buttons"),
    Limit("buttons[].reply.title", BUTTON_TITLE, _UNITS, "cut, and kept unique", "Interactive reply buttons"),
    Limit("buttons[].reply.id", BUTTON_ID, _UNITS, "sent as a token", "Interactive reply buttons"),
    Limit("interactive.action.button", LABEL, _UNITS, "cut", "Interactive lists"),
    Limit("interactive.action.sections", SECTIONS, "sections", "split", "Interactive lists"),
    Limit("sections[].title", SECTION_TITLE, _UNITS, "cut", "Interactive lists"),
    Limit("sections[].rows", ROWS, "rows of all sections together", "split", "Interactive lists"),
    Limit("rows[].title", ROW_TITLE, _UNITS, "cut; the whole title becomes the description", "Interactive lists"),
    Limit("rows[].description", ROW_DESCRIPTION, _UNITS, "cut", "Interactive lists"),
    Limit("rows[].id", ROW_ID, _UNITS, "sent as a token", "Interactive lists"),
    # No page names a limit; a longer text would hardly be read under a pin.
    Limit("location.name", PLACE_NAME, _UNITS, "sent before the pin", "ours"),
)

#: How long after the person's last message anything but a template is taken ("Customer service windows").
WINDOW_SECONDS: Final = 24 * 3600

_DIGITS: Final = re.compile(r"[0-9]+")


# --- Problems and needs -----------------------------------------------------------------------------------------------


def problems(message: Message) -> list[Problem]:
    """Return what WhatsApp can neither send nor degrade."""
    found: list[Problem] = []
    for template, at in _templates(message):
        found += whatsapp_templates.problems(template, at)
        found += _file_problems(*whatsapp_templates.header_file(template, at))
    if message.media is not None:
        kind = "audio" if message.type is MessageType.VOICE else message.type.value
        found += _file_problems(kind, message.media.url, "/body/media/url")
    if message.header is not None and message.header.media_url:
        found += _file_problems(message.header.type.value, message.header.media_url, "/header/media_url")
    return found


def _templates(message: Message) -> list[tuple[Template, str]]:
    """Return the templates of *message*, each with its place in the request."""
    both = ((message.template, "/body/template"), (message.fallback, "/fallback/template"))
    return [(template, at) for template, at in both if template is not None]


def _file_problems(kind: str, url: str, at: str) -> list[Problem]:
    shown, extension = SHOWN.get(kind), extension_of(url)
    if shown is None or extension not in TELLING or extension in shown:
        return []
    field = at[1:].replace("/", ".")
    detail = (
        f"{field} names a .{extension} file, and WhatsApp takes {', '.join(sorted(shown))} as {kind}; "
        "convert it, or send it as a document"
    )
    return [Problem(at, "media_type_unsupported", detail)]


def needs(message: Message, account: Account) -> Needs:
    """Return the URL of a voice message whose extension does not tell whether it can be shown as one."""
    del account  # the same for every account
    if message.type is MessageType.VOICE and message.media and extension_of(message.media.url) not in TELLING:
        return Needs(probe=(message.media.url,))
    return Needs()


def refusal(message: Message, account: Account, facts: Facts) -> Rejected | None:
    """Return why WhatsApp is known to refuse *message* now: more than 24 hours have passed; None when it is to be tried.

    A template is taken at any time, and so is a message with a fallback, which goes as one then.
    """
    del account  # the same for every account
    if message.type is MessageType.TEMPLATE or message.fallback is not None or not _window_closed(facts):
        return None
    reason = (
        f"the person last wrote {ago(facts.last_inbound_seconds or 0.0)}, and WhatsApp takes only templates after 24 hours: "
        "send one (type template, or a fallback beside the message), or wait until the person writes"
    )
    return Rejected(Status.UNDELIVERED, "window_closed", reason)


def _window_closed(facts: Facts) -> bool:
    """Return whether the person is known to have last written too long ago; what is not known is tried."""
    return facts.last_inbound_seconds is not None and facts.last_inbound_seconds > WINDOW_SECONDS


# --- Rendering --------------------------------------------------------------------------------------------------------


def render(message: Message, account: Account, facts: Facts) -> Rendering:
    """Return *message* as calls to ``/messages``, one a part. Pure; never raises for a message without problems."""
    draft = _written(message, account, facts)
    quoted = _quoted(draft)
    calls = tuple(
        _call(_settings(account), account.api_base, facts, number, len(draft.contents), content, quoted)
        for number, content in enumerate(draft.contents, 1)
    )
    if message.fallback is not None:
        calls = tuple(replace(each, cures=(Again.TEMPLATE,)) if _is_free(each) else each for each in calls)
    return Rendering(calls, tuple(draft.losses), tuple(draft.tokens))


def _written(message: Message, account: Account, facts: Facts) -> Draft:
    """Return the draft of *message*, or of its fallback from the part on that finds the window closed.

    That is the first part where it is known before, else the one that WhatsApp refused for it. What was sent stays.
    """
    draft = Draft(message, account.client_id, facts)
    fallback = message.fallback if message.type is not MessageType.TEMPLATE else None
    closed = [number for number in sorted(facts.again) if facts.takes(number, Again.TEMPLATE)]
    first_closed = 1 if _window_closed(facts) else next(iter(closed), 0)
    if message.template is not None and message.type is MessageType.TEMPLATE:
        whatsapp_templates.write(draft, message.template, "/body/template")
    elif fallback is None or first_closed != 1:
        WRITERS[message.type](draft)
    if fallback is not None and first_closed:
        del draft.contents[first_closed - 1 :]
        detail = "the person has not written for more than 24 hours, so that WhatsApp takes templates only"
        draft.lose("/fallback", "sent_as_template", f"{detail}: the fallback is sent")
        whatsapp_templates.write(draft, fallback, "/fallback/template")
    return draft


def _is_free(call: Call) -> bool:
    """Return whether *call* is a message that WhatsApp takes within the window only."""
    return string(call.json, "type") != "template"


def _quoted(draft: Draft) -> str:
    """Return the platform id of the message that is replied to, or ""; report what cannot be used."""
    message, reply = draft.message, draft.facts.reply
    if message.reply_token:
        draft.lose("/reply_token", "reply_token_not_used", "WhatsApp has no reply tokens: it is sent without")
    if draft.contents and draft.contents[0]["type"] == "template":
        if message.reply_id:
            detail = "WhatsApp shows no quote above a template: it is sent without"
            draft.lose("/reply_id", "reply_not_quotable", detail)
        return ""
    if reply is not None:
        quoted = reply.platform_id
    elif message.reply_id.startswith("wamid."):
        quoted = message.reply_id
    else:
        if message.reply_id:
            detail = "reply_id names no known message of this conversation: it is sent without a quote"
            draft.lose("/reply_id", "reply_id_not_found", detail)
        return ""
    if draft.facts.takes(1, Again.WITHOUT_QUOTE):
        detail = "WhatsApp refused the quoted message: it is sent without a quote"
        draft.lose("/reply_id", "reply_id_not_found", detail)
        return ""
    return quoted


def _call(
    settings: WhatsAppSettings, api_base: str, facts: Facts, number: int, total: int, content: JsonObject, quoted: str
) -> Call:
    """Return the call of part *number* of *total*. Only the first part quotes."""
    envelope: JsonObject = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_addressed(facts.address),
        **content,
        "biz_opaque_callback_data": facts.tid if total == 1 else f"{facts.tid}:{number}",
    }
    if quoted and number == 1:
        envelope["context"] = {"message_id": quoted}
    return Call(
        part=number,
        method="POST",
        url=f"{api_base}/{settings.api_version}/{settings.phone_number_id}/messages",
        headers=(("Authorization", f"Bearer {settings.access_token}"), ("Content-Type", "application/json")),
        json=envelope,
    )


def _addressed(address: str) -> JsonObject:
    """Return the member that names the recipient.

    A phone always has its plus: without one Meta may put the business's own country code before it. A business-scoped
    id goes into ``recipient``, since ``to`` would win over it.
    """
    if BSUID.fullmatch(address):
        return {"recipient": address}
    return {"to": "+" + address.removeprefix("+") if address else ""}


def _settings(account: Account) -> WhatsAppSettings:
    if not isinstance(account.settings, WhatsAppSettings):
        raise TypeError(f"the account {account.id} has no WhatsApp settings")
    return account.settings


def look(account: Account) -> Call:
    """Return the call that reads the id of the business number, and sends nothing (:func:`kurir.channels.meta.graph.look`)."""
    settings = _settings(account)
    return graph.look(account.api_base, settings.api_version, settings.phone_number_id, settings.access_token)


# --- Answers ----------------------------------------------------------------------------------------------------------


def classify(call: Call, answer: Answer | NoAnswer) -> Outcome:
    """Return what an answer to *call* means. Total."""
    if isinstance(answer, NoAnswer):
        if answer.stage is Stage.BEFORE_SEND:
            return Retry("not_reached", f"WhatsApp was not reached: {answer.reason}")
        return Unknown("no_answer", f"WhatsApp's answer never came: {answer.reason}")
    usage = graph.usage_of(answer.headers)
    return graph.with_usage(_answered(call, answer, graph.wait_of(answer, usage)), usage)


def _answered(call: Call, answer: Answer, named: float | None) -> Outcome:
    error = graph.error_of(answer)  # it wins over a status of 200
    if error is not None:
        return _outcome_of(row_of(error, answer.status), error, call, named)
    if 200 <= answer.status < 300:
        return _accepted(call, answer)
    if answer.status == 429:
        reason = "WhatsApp asks to slow down (HTTP 429)"
        return Retry("rate_limited", reason, named, Scope.ACCOUNT, throttled=True)
    return Unknown("no_answer", f"WhatsApp's answer has status {answer.status} and is not what WhatsApp answers")


def _accepted(call: Call, answer: Answer) -> Outcome:
    """Return the outcome of a 2xx: accepted, with the message's id, or nobody knows.

    {"messaging_product": "whatsapp", "contacts": [{"input": "+5531987654321", "wa_id": "553187654321"}],
     "messages": [{"id": "wamid.HBgM…"}]}
    """
    body = answer.json() or {}
    wamid = string(first(body.get("messages")), "id")
    if not wamid.strip():
        return Unknown("no_answer", f"WhatsApp answered {answer.status} without the id of a message")
    # Brazilian, Mexican and Argentine numbers come back in another spelling ("Phone numbers").
    contact = first(body.get("contacts"))
    alias, written = string(contact, "wa_id"), string(contact, "input") or string(call.json, "to")
    same = "recipient" in call.json or alias == "".join(_DIGITS.findall(written))
    return Sent((wamid,), Status.PENDING, Learned(alias="" if same else alias))


def _outcome_of(row: ErrorRow, error: graph.GraphError, call: Call, named: float | None) -> Outcome:
    reason = f"{row.meaning}; WhatsApp says: {error.message}" if error.message else row.meaning
    code = error.provider_code
    if row.kind in (Kind.TRANSIENT, Kind.THROTTLED) or (row.kind is Kind.CONTENT and row.attempts):
        throttled = row.kind is Kind.THROTTLED
        return Retry(
            row.code,
            reason,
            # The headers count calls, the row may know of a graver limit: the longer of both.
            max(row.base, named) if throttled and named is not None else None,
            row.scope,
            throttled=throttled,
            attempts=row.attempts,
            provider_code=code,
            base=row.base,
            growth=row.growth,
        )
    if row.kind is Kind.AMBIGUOUS:
        return Unknown(row.code, reason, code)
    if row.kind is Kind.ACCOUNT:
        return AccountDown(row.code, reason, code)
    if row.code == "window_closed" and Again.TEMPLATE in call.cures:
        return Retry(row.code, reason, again=Again.TEMPLATE, provider_code=code)
    if row.kind is Kind.RECIPIENT:
        return Rejected(Status.UNDELIVERED, row.code, reason, code)
    if row.code == "content_refused" and "context" in call.json:
        # Meta does not say whether a quote that it cannot find is ignored or refused, so a refusal may be the quote's.
        return Retry(row.code, reason, again=Again.WITHOUT_QUOTE, provider_code=code)
    return Rejected(Status.FAILED, row.code, reason, code)


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def verify(account: Account, request: WebhookRequest) -> Handshake | None:
    """Check Meta's signature over the raw bytes, or answer its handshake. Raises WebhookRejected."""
    settings = _settings(account)
    return graph.verify(request, app_secret=settings.app_secret, verify_token=settings.verify_token)


def fetch(account: Account, media: InboundMedia, answer: Answer | None = None) -> Call | None:
    """Return the next call by which a file that came in is fetched: for its address, then for the file; then None."""
    return whatsapp_media.next_call(_settings(account), account.api_base, media, answer)
