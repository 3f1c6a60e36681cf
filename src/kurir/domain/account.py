"""Accounts: a client's sender on one channel, with the settings and the limits of each channel.

The names are those of the configuration file (``contract.md``, "Configuration file").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class UnknownOutcome(StrEnum):
    """What to do with a part whose outcome stays unknown: send it again (maybe twice) or hold it (maybe never)."""

    RESEND = "resend"
    HOLD = "hold"


class MediaPolicy(StrEnum):
    """Whether a file that comes in is passed on from the platform when its link is opened, or fetched at once and kept."""

    STREAM = "stream"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What a channel needs to know of an account. Each channel has its own subclass; ``SECRETS`` names its secrets."""

    SECRETS: ClassVar[frozenset[str]] = frozenset()

    def secrets(self) -> tuple[str, ...]:
        """Return the secret values, to be masked wherever a request is shown."""
        return tuple(value for name in sorted(self.SECRETS) if (value := getattr(self, name)))


@dataclass(frozen=True, slots=True)
class WhatsAppSettings(ChannelSettings):
    """A WhatsApp Business phone number on Meta's Cloud API."""

    phone_number_id: str
    access_token: str = field(repr=False)
    app_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    waba_id: str = ""
    app_id: str = ""
    api_version: str = "v26.0"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"access_token", "app_secret", "verify_token"})


@dataclass(frozen=True, slots=True)
class TelegramSettings(ChannelSettings):
    """A Telegram bot. ``receive`` is ``webhook`` or ``poll``."""

    token: str = field(repr=False)
    secret_token: str = field(repr=False, default="")
    receive: str = "webhook"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"token", "secret_token"})


@dataclass(frozen=True, slots=True)
class LineSettings(ChannelSettings):
    """A LINE Messaging API channel. The audio duration is in milliseconds and used where the file's own is unknown."""

    channel_access_token: str = field(repr=False)
    channel_secret: str = field(repr=False)
    data_api_base: str = "https://api-data.line.me"
    use_reply_tokens: bool = True
    default_preview_image_url: str = ""
    default_audio_duration_ms: int = 60_000
    SECRETS: ClassVar[frozenset[str]] = frozenset({"channel_access_token", "channel_secret"})


@dataclass(frozen=True, slots=True)
class MessengerSettings(ChannelSettings):
    """A Facebook page."""

    page_id: str
    page_access_token: str = field(repr=False)
    app_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    app_id: str = ""
    human_agent: bool = False
    api_version: str = "v26.0"
    SECRETS: ClassVar[frozenset[str]] = frozenset({"page_access_token", "app_secret", "verify_token"})


@dataclass(frozen=True, slots=True)
class Rate:
    """*count* calls per *seconds*, with *burst* allowed at once. ``80/s`` is Rate(80, 1, 1)."""

    count: int
    seconds: float
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Retrying:
    """How a part is tried again that was not sent: so many *attempts*, 0 for as many as the message's age allows.

    The waits between them are drawn from up to *first_seconds*, then twice as much each time, at most *longest_seconds*.
    What throttles the account or stops it, and an outage of the platform, use up age but no attempts.
    """

    attempts: int = 15
    first_seconds: float = 1.0
    longest_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Account:
    """A client's sender on one channel.

    ``api_base`` has no trailing slash. ``rates`` maps a limit's name to its rate, None where it is switched off.
    """

    id: str
    client_id: str
    channel: str
    api_base: str
    settings: ChannelSettings
    default: bool = False
    concurrency: int = 20
    unknown_outcome: UnknownOutcome = UnknownOutcome.RESEND
    unknown_wait_seconds: float = 90.0
    retrying: Retrying = Retrying()
    rates: Mapping[str, Rate | None] = field(default_factory=dict)
    inbound_media: MediaPolicy = MediaPolicy.STREAM
