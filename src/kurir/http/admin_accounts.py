"""The administrator's API of what accounts are: make and change them, switch them off and on, without a restart."""

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from kurir.administration import Administration
from kurir.administration.accounts import NewAccount
from kurir.administration.refusal import Refused
from kurir.http import models
from kurir.http.admin import shown_account
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.store.base import AccountRecord

FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        401: "The token is missing or wrong, or none is configured",
        422: "Invalid parameters: all of them at once",
        429: "Too many wrong tokens",
        503: "The store does not answer",
    }.items()
}
_OF_ONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.ProblemAnswer, "description": "There is no such account"},
    409: {"model": models.ProblemAnswer, "description": "The account stands in the configuration file"},
}

router = APIRouter(prefix="/v1/admin/accounts", route_class=AdminRoute, responses=FAILURES, tags=["Administration"])


class AccountOptions(BaseModel):
    """What accounts of every channel have, as the configuration file writes it. null is the default."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, str | bool | int | float | None] = Field(
        default_factory=dict,
        description="The channel's own keys: see the configuration's reference. Secrets are never shown again.",
    )
    api_base: str | None = Field(None, description="Where the platform's API is, if not where it always is.")
    default: bool | None = Field(None, description="Whether it sends what names no account.")
    concurrency: int | None = Field(None, description="How many calls may be under way at once.")
    unknown_outcome: str | None = Field(None, description="`resend` or `hold`.")
    unknown_wait: str | None = Field(None, description="A duration such as `90s`.")
    retry: dict[str, str | int | None] | None = Field(None, description="`attempts`, `first` and `longest`.")
    inbound_media: str | None = Field(None, description="`stream` or `keep`.")
    rate: dict[str, str | None] | None = Field(None, description="Limits by name, such as `80/s` or `none`.")


class NewAccountRequest(AccountOptions):
    """An account to make."""

    client: str = Field(max_length=128, description="The id of the client that it is of.")
    channel: str = Field(max_length=40, description="`whatsapp`, `telegram`, `line` or `messenger`.")
    id: str | None = Field(None, max_length=64, description="Unique over all clients; else one is made.")


class ChangeAccountRequest(AccountOptions):
    """What to change. What is left out stays, each setting and each limit by itself."""


class ConfiguredBody(BaseModel):
    """How an account is configured. Of its secrets only the names of those that are set."""

    id: str
    client: str
    channel: str
    enabled: bool
    declared: bool
    settings: dict[str, Any]
    secrets: list[str]
    api_base: str
    default: bool
    concurrency: int
    unknown_outcome: str
    unknown_wait: str
    retry: dict[str, Any]
    inbound_media: str
    rate: dict[str, str]


class ConfiguredAnswer(BaseModel):
    """How an account is configured."""

    data: ConfiguredBody


@router.post("", response_model=models.AccountAnswer, summary="Make an account")
async def create_account(request: Request, wanted: NewAccountRequest) -> Shown:
    """Make an account. On the 200 it is durable, and works; the platform was not asked (see `check` and `connect`)."""
    options = wanted.model_dump(exclude_unset=True, exclude={"client", "channel", "id", "settings"})
    new = NewAccount(wanted.client, wanted.channel, wanted.id or "", wanted.settings, options)
    try:
        record = await _administration(request).accounts.create(new)
    except Refused as refused:
        raise failed(refused) from None
    return await shown_account(request, record)


@router.get(
    "/{account_id}/settings",
    response_model=ConfiguredAnswer,
    responses={404: _OF_ONE[404]},
    summary="How an account is configured",
)
async def get_account_settings(request: Request, account_id: str) -> Shown:
    """Return how an account is configured, without its secrets."""
    accounts = _administration(request).accounts
    try:
        found = accounts.describe(await accounts.find(account_id))
    except Refused as refused:
        raise failed(refused) from None
    record = found.record
    return {
        "data": {
            "id": record.id,
            "client": record.client_id,
            "channel": record.channel,
            "enabled": record.enabled,
            "declared": record.declared,
            "settings": dict(found.settings),
            "secrets": list(found.secrets),
            **found.options,
        }
    }


@router.patch("/{account_id}", response_model=models.AccountAnswer, responses=_OF_ONE, summary="Change an account")
async def change_account(request: Request, account_id: str, wanted: ChangeAccountRequest) -> Shown:
    """Change an account. On the 200 it is durable; calls that run end as they were begun, new ones go by the new settings.

    Where its settings or `api_base` change, an account that the platform had stopped is tried again at once.
    """
    options = wanted.model_dump(exclude_unset=True, exclude={"settings"})
    try:
        record = await _administration(request).accounts.change(account_id, wanted.settings, options)
    except Refused as refused:
        raise failed(refused) from None
    return await shown_account(request, record)


@router.post(
    "/{account_id}/disable", response_model=models.AccountAnswer, responses=_OF_ONE, summary="Switch an account off"
)
async def disable_account(request: Request, account_id: str) -> Shown:
    """Switch an account off: it begins no call and takes no message; what waits stays, until it expires."""
    return await _switched(request, account_id, on=False)


@router.post(
    "/{account_id}/enable", response_model=models.AccountAnswer, responses=_OF_ONE, summary="Switch an account on"
)
async def enable_account(request: Request, account_id: str) -> Shown:
    """Switch an account on that was switched off, or that the configuration file does not name any more."""
    return await _switched(request, account_id, on=True)


async def _switched(request: Request, account_id: str, *, on: bool) -> Shown:
    accounts = _administration(request).accounts
    try:
        record: AccountRecord = await (accounts.enable(account_id) if on else accounts.disable(account_id))
    except Refused as refused:
        raise failed(refused) from None
    return await shown_account(request, record)


def failed(refused: Refused) -> RequestFailed:
    """Return the answer to a change that was turned down."""
    return RequestFailed(refused.code, refused.detail, problems=refused.problems)


def _administration(request: Request) -> Administration:
    found: Administration = request.app.state.administration
    return found
