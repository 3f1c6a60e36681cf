"""Every key of the configuration file below the top level: how it is written, its default, and what it means.

The readers take the names they know from here, and a test compares the reference page with it. The top level's keys are
in :mod:`kurir.settings`, since each is a flag and a variable as well. A channel's own keys are the fields of its
settings dataclass; for the built-in channels this module says what they mean.
"""

from dataclasses import dataclass
from typing import Final

from kurir.store.feed import COMPAT_KINDS, KINDS

#: Stands in place of a default where a key must be given.
REQUIRED: Final = "required"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name, how its value is written, its default as text, and its meaning."""

    name: str
    kind: str
    default: str
    meaning: str


CLIENT_KEYS: Final = (
    Key("username", "string", REQUIRED, "What the client sends as `Auth-username`. Unique over all clients."),
    Key(
        "password",
        "secret",
        REQUIRED,
        "What the client sends as `Auth-password`. Best one that `kurir config init` printed; only its hash is kept.",
    ),
    Key(
        "default_region",
        "ISO 3166 code",
        "none",
        "The country of phone numbers that are given with a leading 0, such as `ID`.",
    ),
    Key("max_age", "duration", "24h", "How long a message may wait to be sent before it expires."),
    Key(
        "allow_from",
        "list of networks",
        "[]",
        "Where the client's requests may come from, such as `203.0.113.0/24`; others are answered as a wrong password. None "
        "named: anywhere.",
    ),
    Key("callbacks", "list of tables", "[]", "Where the client wants to hear of statuses and received messages."),
    Key("accounts", "list of tables", "[]", "The client's senders, one table each."),
)

CALLBACK_KEYS: Final = (
    Key("url", "URL", REQUIRED, "Where events are posted to. Private addresses need `allow_networks`."),
    Key(
        "dialect",
        "`compat` or `standard`",
        "compat",
        "`compat` posts the shapes that existing clients parse; `standard` posts one envelope for every kind of event.",
    ),
    Key("secret", "secret", REQUIRED, "Signs what is posted: `whsec_` and the base64 of 24 to 64 random bytes."),
    Key("events", "list of strings", '["*"]', "Which events are posted; `*` is all that the dialect has."),
    Key("headers", "table", "{}", "Headers that are sent along, such as an API key. Values may be secrets."),
)

ACCOUNT_KEYS: Final = (
    Key(
        "id",
        "string",
        REQUIRED,
        "Stands in webhook addresses: lower-case letters, digits and dashes, never a phone number. Unique over all "
        "clients.",
    ),
    Key("channel", "string", REQUIRED, "`whatsapp`, `telegram`, `line` or `messenger` (alias `facebook`)."),
    Key("api_base", "URL", "the platform's", "Where the platform's API is; change it for the sandbox or a proxy."),
    Key(
        "default", "boolean", "false", "Whether this account sends what names none; else the first of its channel does."
    ),
    Key("concurrency", "integer", "the channel's", "How many calls to the platform may be under way at once."),
    Key(
        "unknown_outcome",
        "`resend` or `hold`",
        "resend",
        "When nobody knows whether a call was carried out: send again (perhaps twice) or hold (perhaps never).",
    ),
    Key("unknown_wait", "duration", "90s", "How long proof of an unknown outcome is waited for before that is done."),
    Key(
        "retry",
        "table",
        '{ attempts = 15, first = "1s", longest = "5m" }',
        "How a part that was not sent is tried again: so many attempts (0: while the message lives), after waits drawn from "
        "up to `first`, then up to twice as much each time, at most `longest`. Throttling and outages use up no attempts.",
    ),
    Key(
        "inbound_media",
        "`stream` or `keep`",
        "stream",
        "Whether a file that comes in is fetched from the platform when its link is opened, or at once, and kept as long "
        "as its event.",
    ),
    Key("rate", "table of rates", "the channel's", "Limits by name: `80/s`, `20/60s`, `1/6s burst 45`, or `none`."),
)

#: What the built-in channels' own keys mean.
CHANNEL_MEANINGS: Final[dict[str, dict[str, str]]] = {
    "whatsapp": {
        "phone_number_id": "The id of the sending number (not the number itself), from the app's WhatsApp page.",
        "access_token": "A system user's token with the permission `whatsapp_business_messaging`.",
        "app_secret": "The app's secret, with which Meta signs webhooks.",
        "verify_token": "A word of your choice that Meta repeats when the webhook is connected.",
        "waba_id": "The id of the WhatsApp Business Account.",
        "app_id": "The id of the app; accounts of one app share its webhook.",
        "api_version": "The version of the Graph API.",
    },
    "telegram": {
        "token": "The bot's token, from @BotFather.",
        "secret_token": "A word of your choice that Telegram repeats with every webhook. Required unless `receive` is "
        "`poll`.",
        "receive": "How updates arrive: `webhook` (Telegram calls) or `poll` (kurir asks).",
    },
    "line": {
        "channel_access_token": "A long-lived channel access token of the Messaging API channel.",
        "channel_secret": "The channel's secret, with which LINE signs webhooks.",
        "data_api_base": "Where LINE keeps files; change it for the sandbox or a proxy.",
        "use_reply_tokens": "Whether a free reply token is used where one is at hand, instead of a paid push.",
        "default_preview_image_url": "The preview picture of videos, which LINE demands: an `https://` URL.",
        "default_audio_duration": "The length that is shown for audio whose own is not known.",
    },
    "messenger": {
        "page_id": "The id of the Facebook page.",
        "page_access_token": "The page's token with the permission `pages_messaging`.",
        "app_secret": "The app's secret, with which Meta signs webhooks.",
        "verify_token": "A word of your choice that Meta repeats when the webhook is connected.",
        "app_id": "The id of the app; accounts of one app share its webhook.",
        "human_agent": "Whether messages after 24 hours carry the tag HUMAN_AGENT, which Meta must have granted.",
        "api_version": "The version of the Graph API.",
    },
}

#: The kinds of events that a callback can ask for, and those of them that the compat dialect has.
EVENTS: Final = KINDS
COMPAT_EVENTS: Final = COMPAT_KINDS
DIALECTS: Final = ("compat", "standard")


def names(keys: tuple[Key, ...]) -> tuple[str, ...]:
    """Return the names of *keys*."""
    return tuple(key.name for key in keys)
