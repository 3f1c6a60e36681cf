"""What an account of Parlour needs. Each field is a key of the configuration file; ``SECRETS`` are kept encrypted."""

from dataclasses import dataclass, field
from typing import ClassVar

from kurir.domain.account import Account, ChannelSettings


@dataclass(frozen=True, slots=True)
class ParlourSettings(ChannelSettings):
    """A bot of a Parlour server: the token by which it calls, and the secret by which its webhooks are signed."""

    token: str = field(repr=False)
    signing_secret: str = field(repr=False)
    SECRETS: ClassVar[frozenset[str]] = frozenset({"token", "signing_secret"})


def settings_of(account: Account) -> ParlourSettings:
    """Return the account's settings. Raises TypeError for an account of another channel."""
    if not isinstance(account.settings, ParlourSettings):
        raise TypeError(f"account {account.id} is not on Parlour")
    return account.settings
