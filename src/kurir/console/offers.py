"""What can be connected, what is asked for it, and where that is found. Pure.

What each platform wants, and where people get stuck, is in the go-live pages of the documentation; here it stands beside the
field. A test compares the fields with those that each channel must have.
"""

from dataclasses import dataclass
from typing import Final

from kurir.console.words import mark
from kurir.domain import channel as channels


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of the form. ``made``: a secret of our own choice, which is made where none is given."""

    name: str
    label: str
    help: str
    secret: bool = False
    made: bool = False
    optional: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A channel that can be connected: its name, what one of its accounts is, and what one needs for it."""

    channel: str
    what: str
    needs: str
    page: str
    asked: tuple[Asked, ...]


_APP: Final = (
    Asked(
        "app_secret",
        mark("App secret"),
        mark("App Dashboard → App settings → Basic → App secret. Meta signs its webhooks with it."),
        secret=True,
    ),
    Asked(
        "app_id",
        mark("App id"),
        mark("The same page. With it the webhook is set for you; without it you paste two values at Meta."),
        optional=True,
        example="1234567890123456",
    ),
    Asked(
        "verify_token",
        mark("Verify token"),
        mark("A word of your choice that Meta repeats once. It is not the access token. Left empty, one is made."),
        secret=True,
        made=True,
        optional=True,
    ),
)

#: In the order in which they are offered.
OFFERS: Final[tuple[Offer, ...]] = (
    Offer(
        channels.TELEGRAM,
        mark("A bot"),
        mark("One token from @BotFather. Two minutes."),
        "https://core.telegram.org/bots#how-do-i-create-a-bot",
        (
            Asked(
                "token",
                mark("Bot token"),
                mark("Write to @BotFather: /newbot for a new bot, /mybots → API Token for one that you have."),
                secret=True,
                example="123456789:AA…",
            ),
            Asked(
                "secret_token",
                mark("Webhook secret"),
                mark("A word that Telegram repeats with every webhook. Left empty, one is made."),
                secret=True,
                made=True,
                optional=True,
            ),
        ),
    ),
    Offer(
        channels.LINE,
        mark("An official account"),
        mark("A channel access token and the channel secret of a Messaging API channel."),
        "https://developers.line.biz/console/",
        (
            Asked(
                "channel_access_token",
                mark("Channel access token"),
                mark(
                    "LINE Developers Console → the channel → Messaging API → Channel access token (long-lived) → Issue."
                ),
                secret=True,
            ),
            Asked(
                "channel_secret",
                mark("Channel secret"),
                mark("LINE Developers Console → the channel → Basic settings → Channel secret."),
                secret=True,
            ),
        ),
    ),
    Offer(
        channels.WHATSAPP,
        mark("A business number"),
        mark("An app at Meta with WhatsApp, a number, and a System User's token."),
        "https://developers.facebook.com/apps/",
        (
            Asked(
                "phone_number_id",
                mark("Phone number id"),
                mark("App Dashboard → WhatsApp → API Setup. The id below the number, not the number itself."),
                example="106540352242922",
            ),
            Asked(
                "waba_id",
                mark("WhatsApp Business Account id"),
                mark("The same page. Needed for templates, and to subscribe the app for you."),
                optional=True,
                example="102290129340398",
            ),
            Asked(
                "access_token",
                mark("Access token"),
                mark(
                    "Business settings → System users → Generate token, with whatsapp_business_messaging and "
                    "whatsapp_business_management. The token of the API Setup page dies within a day."
                ),
                secret=True,
                example="EAA…",
            ),
            *_APP,
        ),
    ),
    Offer(
        channels.MESSENGER,
        mark("A Facebook page"),
        mark("An app at Meta with Messenger, and the page's token."),
        "https://developers.facebook.com/apps/",
        (
            Asked(
                "page_id",
                mark("Page id"),
                mark("The page → About → Page transparency; or beside the page in the App Dashboard."),
                example="108123456789012",
            ),
            Asked(
                "page_access_token",
                mark("Page access token"),
                mark("App Dashboard → Messenger → API Settings → Generate token, for the page itself."),
                secret=True,
                example="EAA…",
            ),
            *_APP,
        ),
    ),
)


def offer_of(channel: str) -> Offer | None:
    """Return the offer of *channel*, None where it is not one of ours."""
    return next((one for one in OFFERS if one.channel == channel), None)
