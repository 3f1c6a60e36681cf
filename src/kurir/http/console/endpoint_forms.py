"""Making and changing callback endpoints: the form, the secret that is shown once, the rotation, the end."""

from collections import defaultdict
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kurir.callbacks.endpoints import InvalidEndpoint, Made, UnreadableEndpoint, Wanted
from kurir.configuration.keys import DIALECTS
from kurir.console import callbacks as view
from kurir.console.rights import Right
from kurir.console.words import _
from kurir.http.answers import RequestFailed
from kurir.http.console.callbacks import UNREADABLE, own_endpoint, parts_of
from kurir.http.console.route import ConsoleRoute, Form, console_of, form, needs, page, to, visitor_of
from kurir.store.base import EndpointRecord
from kurir.store.feed import COMPAT_KINDS, KINDS

router = APIRouter(prefix="/console/callbacks", route_class=ConsoleRoute, include_in_schema=False)

#: How long both secrets sign after a rotation, in seconds.
OVERLAPS: Final = (0, 3_600, 86_400, 7 * 86_400, 30 * 86_400)


@router.get("/new")
@needs(Right.OPERATE)
async def new_page(request: Request, client: str = "") -> Response:
    """Show the form of a new endpoint."""
    return _form_page(
        request, None, {"client": client, "url": "", "dialect": "standard", "events": ["*"], "enabled": True}
    )


@router.post("/new")
@needs(Right.OPERATE)
async def make(request: Request) -> Response:
    """Make an endpoint, and show its secret once."""
    sent = await form(request)
    fields = _fields(sent)
    known = await _record_at(request, fields["client"], fields["url"])
    if known is not None:
        return _form_page(request, None, fields, {"url": _("This client has an endpoint at this URL already.")})
    headers, problem = _headers(sent.raw("headers"))
    if problem:
        return _form_page(request, None, fields, {"headers": problem})
    wanted = Wanted(
        client_id=fields["client"],
        url=fields["url"],
        dialect=fields["dialect"],
        events=tuple(fields["events"]),
        headers=headers,
        secret=sent.text("secret") or None,
        enabled=fields["enabled"],
    )
    try:
        made = await parts_of(request)[0].put(wanted)
    except InvalidEndpoint as error:
        return _form_page(request, None, fields, _problems(error))
    await _note(request, "endpoint_added", made.endpoint.id, None, made.endpoint.record)
    return _made(request, made, "made")


@router.get("/{endpoint_id}/change")
@needs(Right.OPERATE)
async def change_page(request: Request, endpoint_id: str) -> Response:
    """Show the form of an endpoint that there is."""
    record = (await own_endpoint(request, endpoint_id)).record
    fields = {
        "client": record.client_id,
        "url": record.url,
        "dialect": record.dialect,
        "events": list(record.events),
        "enabled": record.enabled,
    }
    return _form_page(request, endpoint_id, fields)


@router.post("/{endpoint_id}/change")
@needs(Right.OPERATE)
async def change(request: Request, endpoint_id: str) -> Response:
    """Change an endpoint. Client and URL stay: they are what it is known by."""
    record = (await own_endpoint(request, endpoint_id)).record
    sent = await form(request)
    fields = _fields(sent) | {"client": record.client_id, "url": record.url}
    headers, problem = _headers(sent.raw("headers"))
    if problem:
        return _form_page(request, endpoint_id, fields, {"headers": problem})
    wanted = Wanted(
        client_id=record.client_id,
        url=record.url,
        dialect=fields["dialect"],
        events=tuple(fields["events"]),
        headers=headers if headers or "no_headers" in sent else None,
        secret=sent.text("secret") or None,
        enabled=fields["enabled"],
    )
    try:
        made = await parts_of(request)[0].put(wanted)
    except InvalidEndpoint as error:
        return _form_page(request, endpoint_id, fields, _problems(error))
    await _note(request, "endpoint_changed", endpoint_id, record, made.endpoint.record)
    return _made(request, made, "changed") if made.secret else to(request, f"/callbacks/{endpoint_id}", "saved")


@router.post("/{endpoint_id}/rotate")
@needs(Right.OPERATE)
async def rotate(request: Request, endpoint_id: str) -> Response:
    """Give the endpoint a new secret, and show it once; the old one signs as well for a while."""
    endpoint = await own_endpoint(request, endpoint_id)
    sent = await form(request)
    given = sent.text("overlap", "86400")
    overlap = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else -1
    if overlap not in OVERLAPS:
        raise RequestFailed("invalid_parameters", "there is no such overlap; open the page anew")
    if sent.text("was") != view.tag(endpoint.record):
        detail = "the secret was changed meanwhile, so that nothing was done; open the endpoint's page anew"
        raise RequestFailed("invalid_parameters", detail)
    try:
        made = await parts_of(request)[0].rotate(endpoint_id, timedelta(seconds=overlap))
    except UnreadableEndpoint:
        raise RequestFailed("invalid_parameters", UNREADABLE) from None
    if made is None:
        raise RequestFailed("not_found", "the endpoint is gone meanwhile")
    await console_of(request).audit.note(
        visitor_of(request),
        "secret_rotated",
        "endpoint",
        endpoint_id,
        client_id=endpoint.record.client_id,
        after={"url": endpoint.record.url, "overlap_seconds": overlap},
    )
    return _made(request, made, "rotated", overlap=timedelta(seconds=overlap))


@router.post("/{endpoint_id}/delete")
@needs(Right.OPERATE)
async def delete(request: Request, endpoint_id: str) -> Response:
    """Delete an endpoint with what is owed to it."""
    record = (await own_endpoint(request, endpoint_id)).record
    await parts_of(request)[0].delete(endpoint_id)
    await _note(request, "endpoint_removed", endpoint_id, record, None)
    return to(request, "/callbacks", "removed")


# --- the form ---------------------------------------------------------------------------------------------------------


def _fields(sent: Form) -> dict[str, Any]:
    events = sent.all("events")
    return {
        "client": sent.text("client"),
        "url": sent.text("url"),
        "dialect": sent.text("dialect"),
        "events": ["*"] if "*" in events else events,
        "enabled": "enabled" in sent,
    }


def _headers(text: str) -> tuple[dict[str, str], str]:
    """Return the headers of a text with one ``Name: value`` a line, and what is wrong with it, "" for nothing."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not value.strip():
            return {}, _("Line %(number)s is no header: write Name: value.", number=number)
        found[name.strip()] = value.strip()
    return found, ""


def _problems(error: InvalidEndpoint) -> dict[str, str]:
    return view.wrong_fields([(one.pointer, one.detail) for one in error.problems])


def _form_page(
    request: Request, endpoint_id: str | None, fields: dict[str, Any], problems: dict[str, str] | None = None
) -> Response:
    whose = visitor_of(request).client_ids
    clients = [one for one in sorted(request.app.state.directory.clients()) if whose is None or one in whose]
    return page(
        request,
        "callback_form.html",
        status=422 if problems else 200,
        endpoint_id=endpoint_id,
        fields=fields,
        problems=defaultdict(str, problems or {}),
        clients=clients,
        dialects=DIALECTS,
        kinds=KINDS,
        compat_kinds=COMPAT_KINDS,
    )


def _made(request: Request, made: Made, how: str, *, overlap: timedelta | None = None) -> Response:
    return page(request, "callback_made.html", endpoint=made.endpoint, secret=made.secret, how=how, overlap=overlap)


async def _record_at(request: Request, client_id: str, url: str) -> EndpointRecord | None:
    for one in await parts_of(request)[1].all_endpoints():
        if (one.record.client_id, one.record.url) == (client_id, url):
            return one.record
    return None


async def _note(
    request: Request, action: str, endpoint_id: str, before: EndpointRecord | None, after: EndpointRecord | None
) -> None:
    known = after or before
    await console_of(request).audit.note(
        visitor_of(request),
        action,
        "endpoint",
        endpoint_id,
        client_id=known.client_id if known else "",
        before=_told(before),
        after=_told(after),
    )


def _told(record: EndpointRecord | None) -> dict[str, Any] | None:
    """Return what the audit keeps of an endpoint: nothing that is sealed."""
    if record is None:
        return None
    return {"url": record.url, "dialect": record.dialect, "events": list(record.events), "enabled": record.enabled}
