"""What a configuration asks for that this version does not do yet, said at every start and by ``kurir config check``.

A setting that is read and does nothing is a promise that nobody keeps. This list shrinks with every version.
"""

from collections.abc import Iterator

from kurir.configuration.model import ClientConfig, Configuration
from kurir.domain.account import TelegramSettings


def without_effect(configuration: Configuration) -> list[str]:
    """Return a sentence for each setting that is given and has no effect in this version."""
    return [sentence for client in configuration.clients for sentence in _of_client(client)]


def _of_client(client: ClientConfig) -> Iterator[str]:
    if client.callbacks:
        yield f"clients.{client.id}.callbacks: callbacks come with a later version; ask GET /v1/messages/{{tid}}"
    for index, account in enumerate(client.accounts):
        if isinstance(account.settings, TelegramSettings) and account.settings.receive == "poll":
            yield f"clients.{client.id}.accounts[{index}].receive: updates are not fetched in this version"
