"""Clients and their passwords in the console: the list, one of them, and what an owner may change.

A password is shown by the very answer that made it, and never again: nothing keeps it, so that no second page could show it.
"""

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from kurir.administration.clients import Clients
from kurir.administration.refusal import Refused
from kurir.configuration.values import show_duration
from kurir.console import accounts as account_view
from kurir.console import clients as view
from kurir.console import examples
from kurir.console.rights import Right
from kurir.domain import channel
from kurir.http.admin_accounts import failed
from kurir.http.answers import RequestFailed
from kurir.http.console.accounts import administration_of
from kurir.http.console.home import cards_of
from kurir.http.console.route import ConsoleRoute, console_of, form, needs, page, public_url_of, to, visitor_of
from kurir.store import GatewayStore
from kurir.store.base import ClientRecord

router = APIRouter(prefix="/console/clients", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.SEE_ALL)
async def list_clients(request: Request) -> Response:
    """Show every client."""
    store: GatewayStore = request.app.state.store
    records = await _clients(request).all()
    endpoints = {one.id: len(await store.endpoints(one.id)) for one in records}
    return page(request, "clients.html", rows=view.rows(records, await store.accounts(), endpoints))


@router.get("/new")
@needs(Right.OWN)
async def ask_client(request: Request) -> Response:
    """Ask for a new client."""
    return page(request, "client_new.html", fields={}, problems={}, others=[])


@router.post("/new")
@needs(Right.OWN)
async def add_client(request: Request) -> Response:
    """Make a client, and show its password, once."""
    sent = await form(request)
    fields = sent.fields()
    try:
        made = await _clients(request).create(sent.text("id"), view.given(_without_empty(fields)))
    except Refused as refused:
        problems, others = account_view.by_field(refused.problems)
        return page(request, "client_new.html", status=422, fields=fields, problems=problems, others=others)
    await _note(request, "client_added", made.record, after=_shown(made.record))
    return await _show(request, made.record, password=made.password, made=True)


@router.get("/{client_id}")
@needs(Right.SEE_ALL)
async def show_client(request: Request, client_id: str) -> Response:
    """Show one client."""
    return await _show(request, await _found(request, client_id))


@router.post("/{client_id}")
@needs(Right.OWN)
async def change_client(request: Request, client_id: str) -> Response:
    """Change a client. True of its next request on return."""
    before = await _found(request, client_id)
    fields = (await form(request)).fields()
    try:
        after = await _clients(request).change(client_id, view.given(fields))
    except Refused as refused:
        if refused.code != "invalid_parameters":
            raise failed(refused) from None
        problems, others = account_view.by_field(refused.problems)
        return await _show(request, before, fields=fields, problems=problems, others=others, status=422)
    await _note(request, "client_changed", after, before=_shown(before), after=_shown(after))
    return to(request, f"/clients/{client_id}", "saved")


@router.post("/{client_id}/rotate")
@needs(Right.OWN)
async def rotate(request: Request, client_id: str) -> Response:
    """Give a client a new password, and show it, once. The one before lets in for the overlap."""
    record, sent = await _found(request, client_id), await form(request)
    overlap = view.overlap(sent.text("overlap"))
    if overlap is None:
        raise RequestFailed("invalid_parameters", "overlap: choose one of the list")
    if sent.text("was") != view.tag(record):
        detail = "the password was rotated meanwhile, so that nothing was done; open the client's page anew"
        raise RequestFailed("invalid_parameters", detail)
    try:
        made = await _clients(request).rotate(client_id, overlap)
    except Refused as refused:
        raise failed(refused) from None
    await _note(request, "password_rotated", made.record, after={"overlap": str(overlap)})
    return await _show(request, made.record, password=made.password)


@router.post("/{client_id}/disable")
@needs(Right.OWN)
async def disable(request: Request, client_id: str) -> Response:
    """Let a client in no more, and switch its accounts off with it. Durable on return."""
    record = await _found(request, client_id)
    try:
        await _clients(request).disable(client_id)
    except Refused as refused:
        raise failed(refused) from None
    await _note(request, "client_disabled", record)
    return to(request, f"/clients/{client_id}", "client_disabled")


@router.post("/{client_id}/enable")
@needs(Right.OWN)
async def enable(request: Request, client_id: str) -> Response:
    """Let a client in again, and its accounts work. Durable on return."""
    record = await _found(request, client_id)
    try:
        await _clients(request).enable(client_id)
    except Refused as refused:
        raise failed(refused) from None
    await _note(request, "client_enabled", record)
    return to(request, f"/clients/{client_id}", "client_enabled")


# --- inside -------------------------------------------------------------------------------------------------------------


async def _show(
    request: Request,
    record: ClientRecord,
    *,
    password: str = "",
    made: bool = False,
    fields: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    others: list[str] | None = None,
    status: int = 200,
) -> Response:
    store: GatewayStore = request.app.state.store
    accounts = [one for one in await store.accounts() if one.client_id == record.id]
    now: datetime = console_of(request).clock.now()
    first = next((one for one in accounts if one.enabled), None)
    url = public_url_of(request)
    values = {
        "username": record.username,
        "default_region": record.default_region,
        "max_age": _age(record),
        "allow_from": "\n".join(record.allow_from),
    }
    return page(
        request,
        "client.html",
        status=status,
        record=record,
        row=view.rows([record], accounts, {record.id: len(await store.endpoints(record.id))})[0],
        overlap_until=view.Row(record, 0, 0).overlaps_until(now),
        cards=await cards_of(request, accounts),
        secret=password,
        made=made,
        curl=examples.send(
            url,
            first.channel if first is not None else channel.WHATSAPP,
            record.id,
            username=record.username,
            password=password,
        ),
        overlaps=view.OVERLAPS,
        was=view.tag(record),
        values=values | (fields or {}),
        problems=problems or {},
        others=others or [],
        in_file=record.declared and record.enabled,
    )


def _clients(request: Request) -> Clients:
    return administration_of(request).clients


async def _found(request: Request, client_id: str) -> ClientRecord:
    try:
        return await _clients(request).find(client_id)
    except Refused as refused:
        raise failed(refused) from None


def _without_empty(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value and name != "id"}


def _age(record: ClientRecord) -> str:
    return show_duration(timedelta(seconds=record.max_age_seconds))


def _shown(record: ClientRecord) -> dict[str, Any]:
    """Return of a client what the audit shows: everything but its password."""
    return {
        "username": record.username,
        "default_region": record.default_region,
        "max_age": _age(record),
        "allow_from": list(record.allow_from),
    }


async def _note(
    request: Request,
    action: str,
    record: ClientRecord,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    await console_of(request).audit.note(
        visitor_of(request), action, "client", record.id, client_id=record.id, before=before, after=after
    )
