"""What a configuration asks for that this version does not do yet, said at every start and by ``kurir config check``.

A setting that is read and does nothing is a promise that nobody keeps. This list shrinks with every version.
"""

from collections.abc import Iterator, Mapping

from kurir.channels.base import Channel
from kurir.configuration.model import ClientConfig, Configuration
from kurir.domain.account import Account, TelegramSettings


def without_effect(configuration: Configuration, channels: Mapping[str, Channel]) -> list[str]:
    """Return a sentence for each setting that is given and has no effect in this version."""
    found = []
    if configuration.settings.admin_token:
        found.append("admin_token: the administrator's API comes with a later version")
    for client in configuration.clients:
        found += _of_client(client, channels)
    return found


def _of_client(client: ClientConfig, channels: Mapping[str, Channel]) -> Iterator[str]:
    if client.callbacks:
        yield f"clients.{client.id}.callbacks: callbacks come with a later version; ask GET /v1/messages/{{tid}}"
    for index, account in enumerate(client.accounts):
        yield from _of_account(f"clients.{client.id}.accounts[{index}]", account, channels)


def _of_account(place: str, account: Account, channels: Mapping[str, Channel]) -> Iterator[str]:
    channel = channels.get(account.channel)
    if channel is not None and dict(account.rates) != dict(channel.RATES):
        yield f"{place}.rate: limits of our own come with a later version; a platform's own waits are kept"
    if isinstance(account.settings, TelegramSettings) and account.settings.receive == "poll":
        yield f"{place}.receive: updates are not fetched in this version"
