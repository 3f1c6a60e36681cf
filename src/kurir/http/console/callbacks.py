"""Callbacks: the endpoints of the clients, what was delivered to each, and what makes it flow again."""

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kurir.callbacks import dialects
from kurir.callbacks.endpoints import Endpoints, UnreadableEndpoint
from kurir.callbacks.ladder import Standing
from kurir.console import callbacks as view
from kurir.console import masking, searching
from kurir.console.callbacks import Card
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, console_of, form, needs, page, to, visitor_of
from kurir.store import GatewayStore
from kurir.store.feed import CallbackRecord, Endpoint, Owed, Replay

router = APIRouter(prefix="/console/callbacks", route_class=ConsoleRoute, include_in_schema=False)

#: Endpoints and deliveries on a page.
ENDPOINTS: Final = 50
DELIVERIES: Final = 25
_LARGEST: Final = 2**62


# --- looking ----------------------------------------------------------------------------------------------------------


@router.get("")
@needs(Right.SEE)
async def list_endpoints(request: Request, standing: str = "", client: str = "", after: str = "") -> Response:
    """Show the endpoints that the visitor may see; those that need somebody come first."""
    endpoints, store = parts_of(request)
    whose = visitor_of(request).client_ids
    records = [one for one in await store.all_endpoints() if whose is None or one.record.client_id in whose]
    bare = view.in_order([view.card(one, endpoints.standing(one), 0, ()) for one in records])
    wanted = [
        one for one in bare if standing in ("", one.standing.value) and client in ("", one.endpoint.record.client_id)
    ]
    first = next((place + 1 for place, one in enumerate(wanted) if one.endpoint.id == after), 0)
    shown = [await card_of(request, one.endpoint) for one in wanted[first : first + ENDPOINTS]]
    counts = {one: sum(each.standing is one for each in bare) for one in Standing}
    clients = sorted({one.endpoint.record.client_id for one in bare})
    return page(
        request,
        "callbacks.html",
        cards=shown,
        counts=counts,
        clients=clients if len(clients) > 1 else [],
        standing=standing,
        client=client,
        more=shown[-1].endpoint.id if len(wanted) > first + ENDPOINTS else "",
        after=after,
        troubled=sum(one.needs_somebody for one in bare),
        reason_of=view.reason_of,
    )


@router.get("/{endpoint_id}")
@needs(Right.SEE)
async def one_endpoint(request: Request, endpoint_id: str, state: str = "", before: str = "") -> Response:
    """Show an endpoint with what was delivered to it."""
    endpoint = await own_endpoint(request, endpoint_id)
    wanted = Owed(state) if state in set(Owed) else None
    cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    rows = await parts_of(request)[1].callbacks(endpoint_id, state=wanted, before=cursor, limit=DELIVERIES + 1)
    masked = console_of(request).masked
    return page(
        request,
        "callback.html",
        card=await card_of(request, endpoint),
        rows=rows[:DELIVERIES],
        more=rows[DELIVERIES - 1].position if len(rows) > DELIVERIES else None,
        state=wanted.value if wanted else "",
        states=[one.value for one in Owed],
        before=cursor,
        conversation=masking.phone if masked else _as_it_is,
        examples=view.EXAMPLES,
        was=view.tag(endpoint.record),
        reason_of=view.reason_of,
    )


@router.get("/{endpoint_id}/deliveries/{position}")
@needs(Right.SEE)
async def one_delivery(request: Request, endpoint_id: str, position: str) -> Response:
    """Show one event for an endpoint: what it says in the endpoint's dialect, and every try that is kept."""
    endpoint = await own_endpoint(request, endpoint_id)
    row = await _delivery(request, endpoint_id, position)
    _, store = parts_of(request)
    record = endpoint.record
    event = await store.event(record.client_id, row.position)
    subject = f"{endpoint_id}/{row.position}"
    plain = await revealed(request, "callback", subject)
    told = dialects.body(record.dialect, event, request.app.state.link) if event is not None else None
    tries = [view.tried(one) for one in await store.callback_attempts(endpoint_id, row.position)]
    reference = ""
    if event is not None and event.conversation:
        reference = console_of(request).references.of("contact", event.account_id, event.conversation)
    return page(
        request,
        "delivery.html",
        endpoint=endpoint,
        row=row,
        event=event,
        told=told if plain else None,
        was_told=told is not None,
        plain=plain,
        subject=subject,
        tries=tries,
        conversation=row.conversation if plain else masking.phone(row.conversation),
        contact=reference,
        contact_known=bool(reference)
        and event is not None
        and await _is_known(store, event.account_id, row.conversation),
    )


# --- doing ------------------------------------------------------------------------------------------------------------


@router.post("/{endpoint_id}/pause")
@needs(Right.ACT)
async def pause(request: Request, endpoint_id: str) -> Response:
    """Call the endpoint no more until it is resumed."""
    endpoint = await own_endpoint(request, endpoint_id)
    await parts_of(request)[0].pause(endpoint_id)
    await _note(request, endpoint, "endpoint_paused")
    return to(request, f"/callbacks/{endpoint_id}", "paused")


@router.post("/{endpoint_id}/resume")
@needs(Right.ACT)
async def resume(request: Request, endpoint_id: str) -> Response:
    """Let a paused or failing endpoint go on: one event is tried at once."""
    endpoint = await own_endpoint(request, endpoint_id)
    await parts_of(request)[0].resume(endpoint_id)
    await _note(request, endpoint, "endpoint_resumed")
    return to(request, f"/callbacks/{endpoint_id}", "resumed")


@router.post("/{endpoint_id}/deliveries/{position}/replay")
@needs(Right.ACT)
async def replay_one(request: Request, endpoint_id: str, position: str) -> Response:
    """Owe one event to the endpoint again."""
    endpoint = await own_endpoint(request, endpoint_id)
    row = await _delivery(request, endpoint_id, position)
    many = await parts_of(request)[0].replay(endpoint_id, Replay(positions=(row.position,)))
    await _note(request, endpoint, "callback_replayed", {"position": row.position, "callbacks": many})
    return to(request, f"/callbacks/{endpoint_id}/deliveries/{row.position}", "replayed")


@router.get("/{endpoint_id}/replay")
@needs(Right.ACT)
async def replay_page(request: Request, endpoint_id: str) -> Response:
    """Show how many callbacks a replay would owe again, before it is done."""
    endpoint = await own_endpoint(request, endpoint_id)
    asked = dict(request.query_params)
    wanted, wrong = _range_of(asked, request.app.state.clock.now())
    many = None if wrong else await parts_of(request)[1].replayable(endpoint_id, wanted)
    return page(
        request,
        "callback_replay.html",
        status=422 if wrong else 200,
        endpoint=endpoint,
        wanted=wanted,
        many=many,
        wrong=wrong,
        which=asked.get("which", "failed"),
        since=asked.get("since", ""),
        until=asked.get("until", ""),
    )


@router.post("/{endpoint_id}/replay")
@needs(Right.ACT)
async def replay_range(request: Request, endpoint_id: str) -> Response:
    """Owe a range of callbacks again."""
    endpoint = await own_endpoint(request, endpoint_id)
    wanted, wrong = _range_of((await form(request)).fields(), request.app.state.clock.now())
    if wrong:
        raise RequestFailed("invalid_parameters", f"the times cannot be read: {', '.join(wrong)}")
    many = await parts_of(request)[0].replay(endpoint_id, wanted)
    after = {"since": wanted.since, "until": wanted.until, "failed_only": wanted.failed_only, "callbacks": many}
    await _note(request, endpoint, "callback_replayed", after)
    return to(request, f"/callbacks/{endpoint_id}", "replayed", state="pending")


@router.post("/{endpoint_id}/example")
@needs(Right.ACT)
async def send_example(request: Request, endpoint_id: str) -> Response:
    """Post an example event now, and show what the endpoint said."""
    endpoint = await own_endpoint(request, endpoint_id)
    kind = (await form(request)).text("kind", "message.received")
    if kind not in view.EXAMPLES:
        raise RequestFailed("invalid_parameters", f"there is no example of «{kind[:40]}»")
    try:
        done = await parts_of(request)[0].test(endpoint, kind)
    except UnreadableEndpoint:
        raise RequestFailed("invalid_parameters", UNREADABLE) from None
    await _note(request, endpoint, "example_sent", {"kind": kind, "status": done.attempt.status})
    return page(
        request,
        "callback_example.html",
        endpoint=endpoint,
        kind=kind,
        tried=view.tried(done.attempt),
        webhook_id=done.webhook_id,
        sent=done.body,
        resumed=done.resumed,
    )


# --- what they share --------------------------------------------------------------------------------------------------

#: Said where the secrets of an endpoint cannot be unsealed.
UNREADABLE: Final = (
    "the endpoint's secret cannot be unsealed with the present encryption key; change the endpoint, with a new secret and "
    "the headers"
)


def parts_of(request: Request) -> tuple[Endpoints, GatewayStore]:
    """Return what changes endpoints, and the store."""
    state = request.app.state
    return state.endpoints(), state.store


async def own_endpoint(request: Request, endpoint_id: str) -> Endpoint:
    """Return an endpoint that the visitor may see. Raises RequestFailed: 404 for another client's, as for none."""
    found = await parts_of(request)[1].endpoint(endpoint_id[:64])
    whose = visitor_of(request).client_ids
    if found is None or (whose is not None and found.record.client_id not in whose):
        raise RequestFailed("not_found", f"there is no callback endpoint «{endpoint_id[:64]}»")
    return found


async def card_of(request: Request, endpoint: Endpoint) -> Card:
    """Return an endpoint as the pages show it, with its counts and its last tries."""
    endpoints, store = parts_of(request)
    counted = await store.endpoint(endpoint.id) or endpoint
    tried = await store.lately_tried(endpoint.id, view.LATELY)
    return view.card(counted, endpoints.standing(counted), endpoints.in_flight(endpoint.id), tried)


async def _delivery(request: Request, endpoint_id: str, position: str) -> CallbackRecord:
    number = int(position) if position.isascii() and position.isdigit() and len(position) < 19 else 0
    if 0 < number < _LARGEST:
        rows = await parts_of(request)[1].callbacks(endpoint_id, before=number + 1, limit=1)
        if rows and rows[0].position == number:
            return rows[0]
    raise RequestFailed("not_found", f"nothing of the event {position[:20]} is known for this endpoint")


async def _is_known(store: GatewayStore, account_id: str, address: str) -> bool:
    return await store.contact(account_id, address) is not None


async def _note(request: Request, endpoint: Endpoint, action: str, after: dict[str, Any] | None = None) -> None:
    record = endpoint.record
    audit = console_of(request).audit
    await audit.note(
        visitor_of(request),
        action,
        "endpoint",
        endpoint.id,
        client_id=record.client_id,
        after={"url": record.url, **(after or {})},
    )


def _range_of(asked: dict[str, str], now: datetime) -> tuple[Replay, list[str]]:
    """Return the replay that a form asks for, and what of it cannot be read."""
    wrong: list[str] = []
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        given = asked.get(name, "").strip()
        found = searching.moment_of(given, now) if given else None
        if given and found is None:
            wrong.append(name)
        times[name] = _in_utc(found, name, wrong)
    failed_only = asked.get("which", "failed") != "all"
    return Replay(since=times["since"], until=times["until"], failed_only=failed_only), wrong


def _in_utc(moment: datetime | None, name: str, wrong: list[str]) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:
        wrong.append(name)
        return None


def _as_it_is(text: str) -> str:
    return text
