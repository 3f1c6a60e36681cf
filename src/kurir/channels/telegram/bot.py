"""A Telegram account as the Bot API names it: the bot's token, which stands in the URL of every call and every file.

Source: the Bot API's pages "Making requests" and "File".
"""

from urllib.parse import quote

from kurir.channels.base import Call, JsonObject
from kurir.domain.account import Account, TelegramSettings


def settings_of(account: Account) -> TelegramSettings:
    """Return the account's settings. Raises TypeError for an account of another channel, which is a fault of ours."""
    if not isinstance(account.settings, TelegramSettings):
        raise TypeError(f"account {account.id} is not a Telegram bot")
    return account.settings


def method_url(account: Account, method: str) -> str:
    """Return the URL of a method."""
    return f"{account.api_base}/bot{settings_of(account).token}/{method}"


def file_url(account: Account, path: str) -> str:
    """Return the URL of the file that getFile called *path*. It holds the token: nobody may be shown it."""
    return f"{account.api_base}/file/bot{settings_of(account).token}/{quote(path, safe='/', errors='replace')}"


def plain_call(account: Account, method: str, parameters: JsonObject) -> Call:
    """Return a call of *method* that is no part of a message."""
    return Call(1, "POST", method_url(account, method), (("Content-Type", "application/json"),), parameters)
