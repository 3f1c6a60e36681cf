"""Every page of the console, in one router."""

from typing import Final

from fastapi import APIRouter

from kurir.http.console import (
    account_settings,
    accounts,
    assets,
    audit,
    bubble,
    bulk,
    callbacks,
    clients,
    compose,
    contacts,
    door,
    endpoint_forms,
    errors,
    export,
    home,
    message,
    messages,
    phones,
    requests,
    reveal,
    settings,
    templates,
    users,
    webhooks,
    wizard,
)

#: In the order in which their paths are tried.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    assets.router,
    bubble.router,
    door.router,
    home.router,
    phones.router,
    messages.router,
    bulk.router,
    export.router,
    compose.router,
    message.router,
    endpoint_forms.router,
    callbacks.router,
    contacts.router,
    templates.router,
    webhooks.router,
    wizard.router,
    account_settings.router,
    accounts.router,
    clients.router,
    reveal.router,
    requests.router,
    requests.instance_router,
    errors.router,
    audit.router,
    users.router,
    settings.router,
)
