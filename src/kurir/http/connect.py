"""Connecting accounts over HTTP: what is wrong with one, setting its webhook, and the templates of a WhatsApp number."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from kurir.channels.setup import Finding, Report, wrong
from kurir.clock import Clock
from kurir.connect import templates
from kurir.connect.connector import Connector
from kurir.connect.heard import LastWebhooks
from kurir.connect.shape import shaped
from kurir.directory import Directory, Entry
from kurir.domain.account import Account
from kurir.egress import Egress
from kurir.http import models, shown
from kurir.http.answers import RequestFailed
from kurir.http.edge import AdminRoute, NativeRoute
from kurir.http.shown import Shown
from kurir.store import GatewayStore
from kurir.store.inbound import TemplateRecord


@dataclass(frozen=True, slots=True)
class Connecting:
    """What these routes need of the process: ``app.state.connecting`` gives it, as long as requests come."""

    egress: Egress
    connector: Connector
    heard: LastWebhooks


_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        401: "The token is missing or wrong, or none is configured",
        404: "There is no such account",
        409: "The account is not enabled",
        429: "Too many wrong tokens",
        503: "The store does not answer",
    }.items()
}
_CLIENTS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.ProblemAnswer, "description": text}
    for status, text in {
        401: "Missing or wrong credentials",
        404: "The client has no such account",
        429: "Too many failed logins",
        503: "The store does not answer",
    }.items()
}
_NOT_SYNCED: Final[dict[int | str, dict[str, Any]]] = {
    502: {"model": models.ProblemAnswer, "description": "The platform did not tell the templates; the detail says why"}
}

router = APIRouter(prefix="/v1/admin/accounts", route_class=AdminRoute, responses=_FAILURES, tags=["Administration"])
client_router = APIRouter(prefix="/v1/accounts", route_class=NativeRoute, responses=_CLIENTS, tags=["Accounts"])


class FindingBody(BaseModel):
    """One thing that was found."""

    level: Literal["wrong", "note"] = Field(description="wrong: it keeps the account from working.")
    code: str = Field(description="Stable, such as token_refused or webhook_elsewhere.")
    detail: str
    fix: str = Field(description='What to do about it, "" where nothing is to be done.')


class IdentityBody(BaseModel):
    """Who the account is at its platform."""

    id: str
    name: str
    handle: str


class FactBody(BaseModel):
    """Something worth seeing."""

    name: str
    value: str


class PasteBody(BaseModel):
    """What is put in by hand at the platform. check hides a verify token among it, connect shows it."""

    where: str
    field: str
    value: str


class ReportBody(BaseModel):
    """What was looked at and found of an account."""

    account: str
    channel: str
    ok: bool = Field(description="Nothing is wrong.")
    webhook_url: str = Field(description='What the platform has to call; "" where public_url is not set.')
    last_webhook_at: str | None = Field(
        description="When the platform last called, since this start; null: it did not."
    )
    identity: IdentityBody | None = Field(description="null where the platform did not tell.")
    findings: list[FindingBody]
    facts: list[FactBody]
    done: list[str] = Field(description="What was changed at the platform.")
    pastes: list[PasteBody]


class ReportAnswer(BaseModel):
    """What was found."""

    data: ReportBody


class ConnectionBody(BaseModel):
    """Whether an account's platform calls."""

    account: str
    webhook_url: str
    last_webhook_at: str | None


class ConnectionAnswer(BaseModel):
    """Whether an account's platform calls."""

    data: ConnectionBody


class ConnectRequest(BaseModel):
    """How to connect."""

    replace: bool = Field(False, description="Take the webhook also from another system that has it now.")


class SyncedTemplateBody(BaseModel):
    """A template as the platform had it at ``synced_at``."""

    name: str
    language: str
    status: str = Field(description="APPROVED is the one that can be sent.")
    category: str
    components: list[Any] = Field(description="As the platform gives them.")
    synced_at: str


class TemplatesAnswer(BaseModel):
    """The account's templates, by name and language."""

    data: list[SyncedTemplateBody]
    next: str | None = None


@router.get("/{account_id}/connection", response_model=ConnectionAnswer, summary="Whether the account's platform calls")
async def get_connection(request: Request, account_id: str) -> Shown:
    """Return what the platform has to call, and when it last did. Nothing is asked of the platform."""
    entry, connecting = await _parts_of(request, account_id)
    return {"data": _connection(entry.account, connecting)}


@router.post("/{account_id}/check", response_model=ReportAnswer, summary="What is wrong with an account")
async def check_account(request: Request, account_id: str) -> Shown:
    """Ask the platform what is wrong with the account: its token, its webhook, its limits. It changes nothing.

    That takes as long as the platform takes, at most some 30 s. LINE calls the webhook once for it, with no events.
    """
    entry, connecting = await _parts_of(request, account_id)
    return _report(entry, connecting, await connecting.connector.check(entry.account), secrets=False)


@router.post("/{account_id}/connect", response_model=ReportAnswer, summary="Set an account's webhook")
async def connect_account(request: Request, account_id: str, wanted: ConnectRequest | None = None) -> Shown:
    """Set the account's webhook where the platform lets one, then look what is wrong as check does.

    What has to be pasted by hand is in `pastes`. A webhook that leads elsewhere is left as it is unless `replace`.
    """
    entry, connecting = await _parts_of(request, account_id)
    forced = wanted is not None and wanted.replace
    report = await connecting.connector.connect(entry.account, replace=forced)
    return _report(entry, connecting, report, secrets=True)


@router.get("/{account_id}/templates", response_model=TemplatesAnswer, summary="An account's templates as last synced")
async def list_templates(request: Request, account_id: str) -> Shown:
    """Return the account's WhatsApp templates as they were read last; none where they never were."""
    await _parts_of(request, account_id)
    return _templates(await _store_of(request).templates(account_id))


@router.post(
    "/{account_id}/templates/sync",
    response_model=TemplatesAnswer,
    responses=_NOT_SYNCED,
    summary="Read an account's templates anew",
)
async def sync_templates(request: Request, account_id: str) -> Shown:
    """Read every template of the account from WhatsApp, in place of those known. On the 200 they are durable.

    502 `templates_not_synced` where that does not work: then nothing has changed.
    """
    entry, connecting = await _parts_of(request, account_id)
    store, clock = _store_of(request), _clock_of(request)
    try:
        return _templates(await templates.sync(store, connecting.egress, clock, entry.account))
    except templates.NotSynced as error:
        raise RequestFailed("templates_not_synced", str(error)) from None


@client_router.get(
    "/{account_id}/templates", response_model=TemplatesAnswer, summary="The templates of one of the client's accounts"
)
async def list_own_templates(request: Request, account_id: str) -> Shown:
    """Return the templates of an account of the client's, as they were read last."""
    directory: Directory = request.app.state.directory
    entry = directory.accounts().get(account_id)
    if entry is None or entry.account.client_id != request.state.client_id:
        raise RequestFailed("not_found", f"there is no account «{account_id[:64]}» of yours")
    return _templates(await _store_of(request).templates(account_id))


def _store_of(request: Request) -> GatewayStore:
    store: GatewayStore = request.app.state.store
    return store


def _clock_of(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


async def _parts_of(request: Request, account_id: str) -> tuple[Entry, Connecting]:
    """Return an enabled account. Raises RequestFailed."""
    connecting: Connecting = request.app.state.connecting()
    directory: Directory = request.app.state.directory
    entry = directory.accounts().get(account_id)
    if entry is not None:
        return entry, connecting
    if any(record.id == account_id for record in await _store_of(request).accounts()):
        detail = f"the account «{account_id}» is not enabled, so that nothing of it is looked at; see the configuration"
        raise RequestFailed("account_not_enabled", detail)
    raise RequestFailed("not_found", f"there is no account «{account_id[:64]}»; GET /v1/admin/accounts lists them")


def _report(entry: Entry, connecting: Connecting, report: Report, *, secrets: bool) -> Shown:
    """Return *report* as it is shown; without *secrets* what is to be pasted shows none."""
    whole = replace(report, findings=(*_of_entry(entry), *report.findings))
    hidden = () if secrets else entry.account.settings.secrets()
    return {"data": _connection(entry.account, connecting) | shaped(entry.account, whole, hidden)}


def _of_entry(entry: Entry) -> tuple[Finding, ...]:
    """Return what the gateway itself has against the account: the platform stopped it, or the operator did."""
    name = entry.account.id
    if entry.parked_code:
        detail = f"the platform stopped the account ({entry.parked_code}): {entry.parked_reason}"
        return (wrong("account_parked", detail, f"mend it, then: kurir account resume {name}"),)
    if entry.paused:
        return (wrong("account_paused", "the operator paused the account", f"kurir account resume {name}"),)
    return ()


def _connection(account: Account, connecting: Connecting) -> Shown:
    at: datetime | None = connecting.heard.last(account.id)
    url = connecting.connector.webhook_url(account.id)
    return {"account": account.id, "webhook_url": url, "last_webhook_at": shown.time(at)}


def _templates(records: list[TemplateRecord]) -> Shown:
    data = [
        {
            "name": one.name,
            "language": one.language,
            "status": one.status,
            "category": one.category,
            "components": json.loads(one.components),
            "synced_at": shown.time(one.synced_at),
        }
        for one in records
    ]
    return {"data": data, "next": None}
