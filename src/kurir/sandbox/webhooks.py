"""Where the platforms post what happens, and how each of them proves that it is itself.

Meta signs with the app's secret (https://developers.facebook.com/docs/graph-api/webhooks/getting-started), LINE with the
channel's (https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/), Telegram repeats the secret that
``setWebhook`` named (https://core.telegram.org/bots/api#setwebhook). A signature covers the very bytes that are posted.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from kurir.sandbox.config import SandboxConfig

#: Seconds that a receiver has for its answer. WhatsApp's page names no number; LINE counts a time-out after two.
ANSWER_SECONDS: Final[Mapping[str, float]] = {"whatsapp": 5.0, "telegram": 60.0, "line": 2.0, "messenger": 5.0}
NOBODY: Final = "no webhook is set"


def sign(secret: str, body: bytes) -> str:
    """Return the value of ``X-Hub-Signature-256`` for these very bytes."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def line_signature(secret: str, body: bytes) -> str:
    """Return the value of ``x-line-signature`` for these very bytes."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def encode(body: Mapping[str, Any], *, ascii_only: bool = True) -> bytes:
    """Return *body* as JSON; Meta and Telegram escape everything beyond ASCII, LINE writes it as it is."""
    return json.dumps(body, ensure_ascii=ascii_only, separators=(",", ":")).encode(errors="replace")


class Webhooks:
    """The receivers of the four channels, and the HTTP client that posts to them."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._urls = dict(config.webhooks)
        self._session: aiohttp.ClientSession | None = None
        #: What Telegram's calls carry; ``setWebhook`` changes it.
        self.telegram_secret = config.telegram.secret_token

    def url(self, channel: str) -> str:
        """Return where *channel* posts, "" for nowhere."""
        return self._urls.get(channel, "")

    def connect(self, channel: str, url: str) -> None:
        """Post the webhooks of *channel* to *url* from now on; "" posts none."""
        self._urls[channel] = url

    async def post(self, channel: str, raw: bytes, url: str = "") -> tuple[bool, str]:
        """Post one webhook to the channel's receiver or *url*; return whether it was taken, and the answer in words."""
        status, words = await self.status(channel, raw, url or self.url(channel))
        return 200 <= status < 300 or not (url or self.url(channel)), words

    async def status(self, channel: str, raw: bytes, url: str) -> tuple[int, str]:
        """Post one webhook; return the status of the answer (0 for none), and the answer in words."""
        if not url:
            return 0, NOBODY
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS[channel])
        headers = {"Content-Type": "application/json"} | self._proof(channel, raw)
        try:
            async with self._session.post(
                url, data=raw, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, str(response.status)
        except TimeoutError:
            return 0, f"no answer in {ANSWER_SECONDS[channel]:g} s"
        except (aiohttp.ClientError, ValueError) as error:
            return 0, f"no answer: {type(error).__name__}"

    async def challenge(self, channel: str, url: str, token: str, challenge: str) -> tuple[int, str]:
        """Make Meta's handshake at *url*; return the status of the answer (0 for none), and what it said.

        https://developers.facebook.com/docs/graph-api/webhooks/getting-started, "Verification requests".
        """
        asked = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS[channel])
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        try:
            async with self._session.get(url, params=asked, timeout=timeout, allow_redirects=False) as response:
                return response.status, (await response.content.read(1000)).decode(errors="replace")
        except TimeoutError:
            return 0, f"no answer in {ANSWER_SECONDS[channel]:g} s"
        except (aiohttp.ClientError, ValueError) as error:
            return 0, f"no answer: {type(error).__name__}"

    def _proof(self, channel: str, raw: bytes) -> dict[str, str]:
        if channel == "telegram":
            return {"X-Telegram-Bot-Api-Secret-Token": self.telegram_secret} if self.telegram_secret else {}
        if channel == "line":
            signature = line_signature(self._config.line.channel_secret, raw)
            return {"User-Agent": "LineBotWebhook/2.0", "x-line-signature": signature}
        account = self._config.whatsapp if channel == "whatsapp" else self._config.messenger
        return {"User-Agent": "facebookexternalua", "X-Hub-Signature-256": sign(account.app_secret, raw)}

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
