"""The bodies as OpenAPI shows them.

``SendRequest`` describes the seed's body; ``kurir.intake.wire`` is what decodes it, because which fields are checked
depends on ``type``. A test holds the two together: what the one's schema forbids the other refuses.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

#: The sample of the published specification, comments taken out.
SAMPLE: Final[dict[str, Any]] = {
    "id": "3c0b1912-xxxx-xxxx-xxxx-xxxxxxxxxx",
    "reply_id": "",
    "times": 0,
    "timestampt": "2023-11-10T12:38:08.153726382+07:00",
    "reply_token": "",
    "recipient": "628xxxxxxxx",
    "type": "text",
    "body": {
        "text": "xxx xxxx xxxxx.",
        "media": {"url": "", "name": ""},
        "location": {"latitude": 0, "longitude": 0},
        "button": [
            {"key": "btn1", "title": "Button 1"},
            {"key": "btn2", "title": "Button 2"},
            {"key": "btn3", "title": "Button 3"},
        ],
        "list": {
            "title": "",
            "sections": [
                {
                    "title": "Section 1",
                    "description": "Description section 1",
                    "actions": [
                        {"key": "sec1act1", "title": "Action 1", "description": "Description action 1"},
                        {"key": "sec1act2", "title": "Action 2", "description": "Description action 2"},
                        {"key": "sec1act3", "title": "Action 3", "description": "Description action 3"},
                    ],
                }
            ],
        },
    },
    "header": {"type": "", "text": "", "media_url": ""},
    "footer": {"title": "", "text": ""},
}

MessageTypeName = Literal[
    "text", "image", "video", "audio", "voice", "document", "button", "list", "location", "template"
]


class MediaBody(BaseModel):
    """A file by URL: for the types image, video, audio, voice and document."""

    url: str = Field(description="Where the file is, http(s), public. LINE takes https only.")
    name: str | None = Field("", description="The display name of the file.")


class LocationBody(BaseModel):
    """A point: for the type location. 0 is a valid coordinate."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class ButtonBody(BaseModel):
    """A button: for the type button."""

    key: str = Field(description="Comes back when the button is pressed: any length, any characters.")
    title: str = Field(description="What the person reads.")


class ActionBody(BaseModel):
    """A row of a list."""

    key: str = Field(description="Comes back when the row is chosen.")
    title: str
    description: str = Field(description="May be blank.")


class SectionBody(BaseModel):
    """A group of rows."""

    title: str = Field(description="May be blank.")
    description: str = Field(description="May be blank.")
    actions: list[ActionBody] = Field(min_length=1)


class ListBody(BaseModel):
    """A list to choose from: for the type list."""

    title: str = Field(description="The label that opens the list; may be blank.")
    sections: list[SectionBody] = Field(min_length=1)


class TemplateParameters(BaseModel):
    """What goes into a template. Each is left out where the template has nothing to fill in there."""

    header: str | float | list[Any] | dict[str, Any] | None = Field(
        None,
        description="The value of the header's variable; or by name; or with a type: text (text), image, video, document "
        "(media_url, name), location (latitude, longitude, name, address).",
    )
    body: list[Any] | dict[str, Any] | str | None = Field(
        None, description="The values of the body's variables: a list where they are numbered, an object by name else."
    )
    buttons: list[Any] | dict[str, Any] | str | None = Field(
        None,
        description="Objects of index (from 0; else the place in the list) and one of key (a quick reply's), text (the end "
        "of a link) and code (a coupon's).",
    )


class TemplateBody(BaseModel):
    """A template that WhatsApp approved: for the type template, on WhatsApp only."""

    name: str
    language: str = Field(description="As WhatsApp writes it: id, en_US.")
    parameters: TemplateParameters | None = None


class FallbackBody(BaseModel):
    """What is sent in the place of the message when the person has not written for 24 hours (WhatsApp)."""

    when: Literal["window_closed"]
    template: TemplateBody


class ContentBody(BaseModel):
    """The message. Only what ``type`` uses is looked at; the rest is ignored when empty, and a reported loss when not."""

    text: str | None = Field("", description="The text, the caption of media, or the words of buttons and lists.")
    media: MediaBody | None = None
    location: LocationBody | None = None
    button: list[ButtonBody] | ButtonBody | None = None
    list: ListBody | None = None
    template: TemplateBody | None = None


class HeaderBody(BaseModel):
    """Above a button or list message. ``type`` "" is no header."""

    type: Literal["", "text", "image", "video", "document"] | None = ""
    text: str | None = ""
    media_url: str | None = ""


class FooterBody(BaseModel):
    """Below a button or list message."""

    title: str | None = ""
    text: str | None = ""


class SendRequest(BaseModel):
    """A message to send: the published body, and a few extensions that are absent by default."""

    model_config = ConfigDict(json_schema_extra={"examples": [SAMPLE]})

    id: str = Field(description="The client's unique id: with the client and the channel it is the idempotency key.")
    times: int = Field(description="Unix time of sending, in seconds; 0 is fine. Not interpreted.")
    timestamp: str | None = Field("", description="RFC 3339 time of sending. Mandatory, as timestamp or timestampt.")
    timestampt: str | None = Field("", description="Alias of timestamp, as the published sample spells it.")
    recipient: str = Field(
        description="A phone with its country code, or an explicit address: tg:…, line:…, fb:…, wa:…."
    )
    type: MessageTypeName
    body: ContentBody
    reply_id: str | None = Field(
        "", description="The message that is answered: a callback's message.id, an own id, or a tid."
    )
    reply_token: str | None = Field("", description="The opaque token of a callback (Telegram, LINE).")
    header: HeaderBody | None = None
    footer: FooterBody | None = None
    account: str | None = Field(
        "", description="Extension: the id of the account to send from; else the channel's default."
    )
    send_at: str | None = Field("", description="Extension: RFC 3339; not sent before.")
    expires_in: int | None = Field(None, ge=1, le=2_592_000, description="Extension: seconds; not sent after.")
    priority: Literal["", "high", "normal", "bulk"] | None = Field("normal", description="Extension.")
    strict: bool | None = Field(
        False, description="Extension: refuse with 422 what would lose something on the channel."
    )
    fallback: FallbackBody | None = Field(None, description="Extension, on WhatsApp only.")


class Meta(BaseModel):
    """Whether the request worked."""

    status: bool
    code: int = Field(description="Equals the HTTP status.")
    message: str
    errors: str | None


class SendData(BaseModel):
    """The message that was accepted."""

    message_id: str = Field(description="The request's id.")
    status: int = Field(
        ge=-3, le=3, description="-3 Failed, -2 Undelivered, -1 Unsent, 0 Pending, 1 Sent, 2 Delivered, 3 Read"
    )
    tid: str = Field(description="The gateway's id of the message (UUIDv7).")


class SendAnswer(BaseModel):
    """The message is durable on disk."""

    meta: Meta
    data: SendData


class ErrorItem(BaseModel):
    """One problem of the request."""

    pointer: str = Field(description="JSON pointer into the body.")
    code: str
    detail: str


class ProblemAnswer(BaseModel):
    """An error, RFC 9457."""

    type: str = Field(description="The page of this error at the gateway itself.")
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[ErrorItem]


class SendFailure(ProblemAnswer):
    """An error in the published envelope, which is RFC 9457 at the same time."""

    meta: Meta
    data: None


class LossBody(BaseModel):
    """What the channel shows in another way than it was asked."""

    pointer: str
    kind: str
    detail: str


class PreviewPart(BaseModel):
    """One platform call, secrets masked."""

    method: str
    url: str
    headers: dict[str, str]
    json_: dict[str, Any] = Field(alias="json")


class PreviewData(BaseModel):
    """The message as the channel would get it."""

    parts: list[PreviewPart]
    losses: list[LossBody]


class PreviewAnswer(BaseModel):
    """What would be sent; nothing was."""

    data: PreviewData


class Reason(BaseModel):
    """Why a message waits or ended."""

    code: str
    detail: str
    provider_code: str = ""


class PartBody(BaseModel):
    """One platform call of a message."""

    part: int
    state: str
    status: int | None
    attempts: int
    provider_message_ids: list[str]
    at: str | None


class AttemptBody(BaseModel):
    """One HTTP exchange with the platform, secrets masked."""

    run: int = Field(description="1, and one more with each retry of the message.")
    part: int
    at: str
    duration_ms: int
    outcome: str
    counted: bool = Field(description="false where it used up age, but none of the attempts that the message has.")
    code: str
    reason: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: str


class HistoryBody(BaseModel):
    """One change of the status."""

    status: int
    previous: int
    at: str
    error: Reason | None


class MessageSummary(BaseModel):
    """A message in a list."""

    tid: str
    id: str
    channel: str
    account: str
    recipient: str
    type: str
    priority: str
    status: int
    final: bool = Field(description="Whether this status is the last that can be known.")
    reason: Reason | None = Field(description="Why it waits, in one sentence, while its status is 0.")
    waiting_until: str | None = Field(description="Until when it waits, where that is known.")
    error: Reason | None
    run: int = Field(description="1, and one more with each retry.")
    accepted_at: str
    send_at: str | None = Field(description="The send_at that it was accepted with.")
    expires_at: str


class MessageBody(MessageSummary):
    """A message with all that is known of it."""

    address: str
    parts: list[PartBody]
    attempts: list[AttemptBody]
    losses: list[LossBody]
    history: list[HistoryBody]


class MessageAnswer(BaseModel):
    """A message."""

    data: MessageBody


class MessagesAnswer(BaseModel):
    """Messages, newest first, and the cursor of the next page."""

    data: list[MessageSummary]
    next: str | None


class QueueBody(BaseModel):
    """What waits for an account."""

    messages: int = Field(description="How many messages are queued, those being sent included.")
    oldest_at: str | None = Field(
        description="Since when the oldest is due: its accept, or a later send_at. Null: none is due."
    )
    oldest_age_seconds: float | None = Field(description="How long ago that is.")


class QuotaBody(BaseModel):
    """How much of its monthly quota an account has used, as the platform said (LINE, which calls it approximate)."""

    used: int
    limit: int | None = Field(description="null: without limit.")
    at: str = Field(description="When it was read.")


class OwnerBody(BaseModel):
    """The node that an account is sent by."""

    id: str
    host: str


class AccountBody(BaseModel):
    """An account as it stands at this moment. It never shows a secret.

    Of an account that another node owns, that node alone knows `out`, and how much it sends.
    """

    id: str
    client: str
    channel: str
    default: bool = Field(description="Whether the configuration names it the client's default on its channel.")
    declared: bool = Field(description="Whether the configuration file brought it; then it is changed there alone.")
    standing: Literal["working", "throttled", "out", "parked", "paused", "disabled"]
    reason: Reason | None = Field(description="Why it does not simply work; null when it does.")
    since: str | None = Field(description="Since when it is paused or parked.")
    until: str | None = Field(description="When it goes on, or is tried again, where that is known.")
    in_flight: int = Field(description="Messages that are being sent.")
    window: int = Field(description="How many may be sent at once at present.")
    concurrency: int = Field(description="How many may be sent at once at most.")
    rate_share: float = Field(
        description="The share of its own rate that it sends at present; 1 when nothing slows it."
    )
    queue: QueueBody
    quota: QuotaBody | None = Field(description="null where the platform told none.")
    node: OwnerBody | None = Field(description="The node that owns it; null where none does at this moment.")


class AccountAnswer(BaseModel):
    """An account."""

    data: AccountBody


class AccountsAnswer(BaseModel):
    """Every account, by client and position."""

    data: list[AccountBody]
    next: str | None = None


#: What every route of the administrator may answer instead.
ADMIN_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProblemAnswer, "description": text}
    for status, text in {
        401: "The token is missing or wrong, or none is configured",
        429: "Too many wrong tokens",
        503: "The store does not answer",
    }.items()
}
