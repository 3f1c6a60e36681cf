"""Accounts in the console: the list, one of them with all that is known of it, and what may be done with it."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kurir.administration import Administration
from kurir.administration.refusal import Refused
from kurir.configuration.values import show_rate
from kurir.console import accounts as view
from kurir.console import examples, wizard
from kurir.console import messages as message_view
from kurir.console.accounts import Checked
from kurir.console.overview import AccountCard
from kurir.console.rights import Right
from kurir.delivery.state import Standing
from kurir.directory import Directory, Entry
from kurir.http.admin_accounts import failed
from kurir.http.answers import RequestFailed
from kurir.http.connect import Connecting
from kurir.http.console.home import cards_of, own_accounts
from kurir.http.console.route import ConsoleRoute, Form, console_of, form, needs, page, public_url_of, to, visitor_of
from kurir.http.operator import Operator
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord
from kurir.store.looking import Search

router = APIRouter(prefix="/console/accounts", route_class=ConsoleRoute, include_in_schema=False)

#: Messages on the page of an account, and how far its quarantine is counted.
RECENT: Final = 8
COUNTED: Final = 100
_FILTERS: Final = ("channel", "standing", "client")
#: Settings that the audit shows as they are; every other one is only named.
_PLAIN_OPTIONS: Final = (
    "api_base",
    "concurrency",
    "unknown_outcome",
    "unknown_wait",
    "inbound_media",
    "default",
    "rate",
)


# --- to look at -----------------------------------------------------------------------------------------------------------


@router.get("")
@needs(Right.SEE)
async def list_accounts(request: Request) -> Response:
    """Show the accounts that the visitor may see. The address is the filter."""
    cards = await cards_of(request, await own_accounts(request))
    wanted = {name: request.query_params.get(name, "") for name in _FILTERS}
    return page(
        request,
        "accounts.html",
        cards=view.chosen(cards, wanted),
        total=len(cards),
        choices=view.choices(cards),
        wanted=wanted,
        several_nodes=any(card.node for card in cards),
    )


@router.get("/{account_id}")
@needs(Right.SEE)
async def show_account(request: Request, account_id: str) -> Response:
    """Show one account."""
    record = await account_of(request, account_id)
    state, visitor = console_of(request), visitor_of(request)
    store: GatewayStore = request.app.state.store
    now = state.clock.now()
    card = (await cards_of(request, [record]))[0]
    entry = _entry(request, account_id)
    tallies = await store.tallies(now - view.STRIP, now, view.STRIP_STEP, visitor.client_ids, account_id=account_id)
    beats = view.strip(tallies, account_id, now - view.STRIP, now)
    search = Search(client_ids=visitor.client_ids, account_id=account_id)
    found = await store.search(search, RECENT)
    texts = await store.snippets([one.seq for one in found.rows])
    quarantined = await store.quarantined(account_id, limit=COUNTED + 1) if visitor.may(Right.SEE_ALL) else []
    connecting: Connecting = request.app.state.connecting()
    operator: Operator = request.app.state.operator()
    called_at, _heard_at = await heard_of(request, record)
    return page(
        request,
        "account.html",
        record=record,
        card=card,
        beats=beats,
        draining=view.draining(card.state),
        known_here=operator.owns(account_id),
        limits=[
            (one, view.effect(one.rate, waiting(card) if one.name == "account" else 0))
            for one in operator.limits(account_id)
        ],
        limit_names=view.LIMITS,
        show_rate=show_rate,
        webhook_url=connecting.connector.webhook_url(account_id) if entry is not None else "",
        verify_token=_verify_token(entry) if visitor.may(Right.OPERATE) else "",
        fetches=getattr(entry.account.settings, "receive", "") == "poll" if entry is not None else False,
        called_at=called_at,
        checked=state.reports.last(account_id) if visitor.may(Right.SEE_ALL) else None,
        quarantined=len(quarantined),
        quarantined_text=view.counted(quarantined, COUNTED),
        fixes=view.FIXES,
        twins=_twins(request, entry) if visitor.may(Right.SEE_ALL) else [],
        curl=examples.send(public_url_of(request), record.channel, record.client_id, account_id=record.id),
        recent=[message_view.row(one, texts.get(one.seq, b""), masked=state.masked, now=now) for one in found.rows],
        **_described(request, record),
    )


def _described(request: Request, record: AccountRecord) -> dict[str, Any]:
    """Return how an account is configured, as far as it can be opened."""
    if not visitor_of(request).may(Right.SEE_ALL):
        return {"described": None, "unopened": ""}
    try:
        return {"described": administration_of(request).accounts.describe(record), "unopened": ""}
    except Refused as refused:
        return {"described": None, "unopened": refused.detail}


# --- to stop and start ------------------------------------------------------------------------------------------------------


@router.post("/{account_id}/pause")
@needs(Right.OPERATE)
async def pause(request: Request, account_id: str) -> Response:
    """Begin no more calls of the account; what is being sent ends. Durable on return."""
    record = await account_of(request, account_id)
    await _enabled_operator(request, account_id).pause(account_id)
    await note(request, "account_paused", record)
    return to(request, f"/accounts/{account_id}", "paused")


@router.post("/{account_id}/resume")
@needs(Right.OPERATE)
async def resume(request: Request, account_id: str) -> Response:
    """Let an account go on that is paused, parked or out: it is tried at once. Durable on return."""
    record = await account_of(request, account_id)
    operator = _enabled_operator(request, account_id)
    before = operator.state(account_id)
    await operator.resume(account_id)
    await note(request, "account_resumed", record, before={"standing": before.standing.value})
    return to(request, f"/accounts/{account_id}", "resumed")


@router.post("/{account_id}/disable")
@needs(Right.OPERATE)
async def disable(request: Request, account_id: str) -> Response:
    """Switch the account off: it takes and sends nothing, and what waits stays until it expires. Durable on return."""
    record = await account_of(request, account_id)
    try:
        await administration_of(request).accounts.disable(account_id)
    except Refused as refused:
        raise failed(refused) from None
    await note(request, "account_disabled", record)
    return to(request, f"/accounts/{account_id}", "account_disabled")


@router.post("/{account_id}/enable")
@needs(Right.OPERATE)
async def enable(request: Request, account_id: str) -> Response:
    """Switch the account on again. Durable on return."""
    record = await account_of(request, account_id)
    try:
        await administration_of(request).accounts.enable(account_id)
    except Refused as refused:
        raise failed(refused) from None
    await note(request, "account_enabled", record)
    return to(request, f"/accounts/{account_id}", "account_enabled")


# --- the platform --------------------------------------------------------------------------------------------------------


@router.post("/{account_id}/check")
@needs(Right.OPERATE)
async def check(request: Request, account_id: str) -> Response:
    """Ask the platform what is wrong with the account. It changes nothing."""
    await account_of(request, account_id)
    entry = _enabled_entry(request, account_id)
    state = console_of(request)
    connecting: Connecting = request.app.state.connecting()
    report = await connecting.connector.check(entry.account)
    state.reports.keep(account_id, Checked(report, state.clock.now()))
    back = _back(await form(request), account_id)
    return to(request, back, "checked_bad" if report.wrong else "checked_good")


@router.post("/{account_id}/connect")
@needs(Right.OPERATE)
async def connect(request: Request, account_id: str) -> Response:
    """Set the account's webhook where the platform lets one, and look again; ``replace`` takes it from whoever has it."""
    record = await account_of(request, account_id)
    entry = _enabled_entry(request, account_id)
    state, sent = console_of(request), await form(request)
    connecting: Connecting = request.app.state.connecting()
    report = await connecting.connector.connect(entry.account, replace="replace" in sent)
    state.reports.keep(account_id, Checked(report, state.clock.now(), connected=True))
    if report.done:
        await note(request, "account_connected", record, after={"done": list(report.done)})
    return to(request, _back(sent, account_id), "checked_bad" if report.wrong else "account_connected")


def _back(sent: Form, account_id: str) -> str:
    return f"/accounts/{account_id}/connected" if sent.text("back") == "connected" else f"/accounts/{account_id}"


# --- what other pages use --------------------------------------------------------------------------------------------------


def administration_of(request: Request) -> Administration:
    """Return what makes and changes accounts and clients."""
    found: Administration = request.app.state.administration
    return found


async def account_of(request: Request, account_id: str) -> AccountRecord:
    """Return an account that the visitor may see. Raises RequestFailed: another client's is not found."""
    for record in await own_accounts(request):
        if record.id == account_id:
            return record
    raise RequestFailed("not_found", f"there is no account «{account_id[:64]}»")


async def heard_of(request: Request, record: AccountRecord) -> tuple[datetime | None, datetime | None]:
    """Return when the account's platform last called this process, and when somebody last wrote; None: never yet."""
    connecting: Connecting = request.app.state.connecting()
    lasts = await request.app.state.store.last_of_accounts((record.client_id,))
    heard = next((one.heard_at for one in lasts if one.account_id == record.id), None)
    return connecting.heard.last(record.id), heard


def _entry(request: Request, account_id: str) -> Entry | None:
    directory: Directory = request.app.state.directory
    return directory.accounts().get(account_id)


def _enabled_entry(request: Request, account_id: str) -> Entry:
    entry = _entry(request, account_id)
    if entry is None:
        raise RequestFailed("account_not_enabled", f"the account «{account_id}» is not enabled; enable it first")
    return entry


def _enabled_operator(request: Request, account_id: str) -> Operator:
    operator: Operator = request.app.state.operator()
    if operator.state(account_id).standing is Standing.DISABLED:
        raise RequestFailed("account_not_enabled", f"the account «{account_id}» is not enabled; enable it first")
    return operator


def _twins(request: Request, entry: Entry | None) -> list[str]:
    directory: Directory = request.app.state.directory
    return [] if entry is None else wizard.twins(entry.account, (one.account for one in directory.accounts().values()))


def _verify_token(entry: Entry | None) -> str:
    return str(getattr(entry.account.settings, "verify_token", "")) if entry is not None else ""


def waiting(card: AccountCard) -> int:
    """Return how many messages wait for the account."""
    return card.depth.messages if card.depth is not None else 0


async def note(
    request: Request,
    action: str,
    record: AccountRecord,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write into the audit what the visitor did with an account. Durable on return."""
    await console_of(request).audit.note(
        visitor_of(request), action, "account", record.id, client_id=record.client_id, before=before, after=after
    )
