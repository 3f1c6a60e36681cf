"""Connecting an account in the browser: a channel, its credentials, the platform's own word, and its first webhook.

Nothing is stored before the platform has taken the credentials. Then the account is made, its webhook is set where the
platform lets one, and the last page waits. Every step works without JavaScript.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kurir.administration import Administration
from kurir.administration.accounts import NewAccount
from kurir.administration.refusal import Refused
from kurir.channels.setup import Finding, Report
from kurir.configuration.accounts import channel_keys
from kurir.console import accounts as view
from kurir.console import offers, wizard
from kurir.console.accounts import Checked
from kurir.console.offers import Offer
from kurir.console.rights import Right
from kurir.directory import Directory
from kurir.domain import channel as channels
from kurir.domain.account import Account
from kurir.http.answers import RequestFailed
from kurir.http.connect import Connecting
from kurir.http.console.accounts import account_of, administration_of, heard_of
from kurir.http.console.route import ConsoleRoute, Form, console_of, form, needs, page, to, visitor_of

router = APIRouter(prefix="/console/accounts", route_class=ConsoleRoute, include_in_schema=False)

#: Beside the channel's own keys.
_COMMON: Final = ("id", "client", "api_base")


@dataclass(slots=True)
class _Filled:
    """The form as it was filled in, and what came of it."""

    values: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    report: Report | None = None
    twins: list[str] = field(default_factory=list)
    held: bool = False


@router.get("/new")
@needs(Right.OPERATE)
async def choose_channel(request: Request) -> Response:
    """Offer the channels."""
    clients = _clients(request)
    wanted = request.query_params.get("client", "")
    return page(
        request,
        "wizard.html",
        offers=offers.OFFERS,
        clients=clients,
        client=wanted if wanted in clients else "",
        has_public_url=_has_address(request),
    )


@router.get("/new/{channel}")
@needs(Right.OPERATE)
async def ask_credentials(request: Request, channel: str) -> Response:
    """Ask for the credentials. ``from=sandbox`` fills in those of the emulated account, which are no secrets."""
    offer = _offer(channel)
    clients = _clients(request)
    wanted = request.query_params.get("client", "")
    client = wanted if wanted in clients else clients[0] if clients else ""
    values = {"client": client, "receive": "webhook" if _has_address(request) else "poll"}
    if request.query_params.get("from") == "sandbox":
        values |= _sandbox_values(request, channel)
        if not values.get("api_base"):
            raise RequestFailed("not_found", "there is no sandbox in this process; `kurir up` runs one")
        values["replace"] = "1"
    taken = [one.id for one in await request.app.state.store.accounts()]
    values["id"] = wizard.proposed_id(client, channel, taken)
    return _form(request, offer, _Filled(values))


@router.post("/new/{channel}")
@needs(Right.OPERATE)
async def connect(request: Request, channel: str) -> Response:
    """Ask the platform; then make the account and set its webhook, or only say what was found."""
    offer, sent = _offer(channel), await form(request)
    filled = _Filled(_values(request, offer, sent))
    new = _new_account(request, offer, filled)
    try:
        account = wizard.unsaved(new, request.app.state.channels)
        if any(one.id == new.id for one in await request.app.state.store.accounts()):
            filled.problems["id"] = f"there is an account «{new.id}»; choose another id"
    except Refused as refused:
        filled.problems, filled.others = view.by_field(refused.problems)
    if not new.client_id:
        filled.problems["client"] = "choose the client that the account is of"
    if filled.problems or filled.others:
        return _form(request, offer, filled, status=422)
    connecting: Connecting = request.app.state.connecting()
    directory: Directory = request.app.state.directory
    forced = "replace" in sent
    filled.report = await connecting.connector.check(account)
    filled.twins = wizard.twins(account, (one.account for one in directory.accounts().values()))
    filled.findings = wizard.obstacles(filled.report, replace=forced)
    filled.held = bool(filled.findings) or (bool(filled.twins) and not forced)  # one webhook serves one of twins
    if filled.held or "check" in sent:
        return _form(request, offer, filled, status=422 if filled.held else 200)
    try:
        await _make(request, new, account, replace_webhook=forced)
    except Refused as refused:  # somebody else was quicker
        filled.problems, filled.others = view.by_field(refused.problems)
        return _form(request, offer, filled, status=422)
    return to(request, f"/accounts/{new.id}/connected")


async def _make(request: Request, new: NewAccount, account: Account, *, replace_webhook: bool) -> None:
    """Store the account, then set its webhook. Raises Refused, StoreError; then there is none."""
    state, visitor = console_of(request), visitor_of(request)
    administration: Administration = administration_of(request)
    await administration.accounts.create(new)
    after = {"channel": account.channel, "api_base": account.api_base}
    await state.audit.note(visitor, "account_added", "account", account.id, client_id=account.client_id, after=after)
    connecting: Connecting = request.app.state.connecting()
    report = await connecting.connector.connect(account, replace=replace_webhook)
    state.reports.keep(account.id, Checked(report, state.clock.now(), connected=True))
    if report.done:
        await state.audit.note(
            visitor,
            "account_connected",
            "account",
            account.id,
            client_id=account.client_id,
            after={"done": list(report.done)},
        )


@router.get("/{account_id}/connected")
@needs(Right.OPERATE)
async def connected(request: Request, account_id: str) -> Response:
    """Show what was connected, and wait for the first webhook."""
    record = await account_of(request, account_id)
    directory: Directory = request.app.state.directory
    entry = directory.accounts().get(account_id)
    if entry is None:
        raise RequestFailed("account_not_enabled", f"the account «{account_id}» is not enabled; enable it first")
    state = console_of(request)
    connecting: Connecting = request.app.state.connecting()
    checked = state.reports.last(account_id)
    called_at, heard_at = await heard_of(request, record)
    fetches = getattr(entry.account.settings, "receive", "webhook") == "poll"
    since = checked.at if checked is not None else None
    others = [one.account for one in directory.accounts().values()]
    return page(
        request,
        "connected.html",
        record=record,
        checked=checked,
        waiting=wizard.waiting(called_at, heard_at, since, state.clock.now(), fetches=fetches),
        who=wizard.who(checked.report.identity if checked else None),
        hint=wizard.hint(record.channel),
        late=wizard.late(record.channel),
        fixes=view.FIXES,
        twins=wizard.twins(entry.account, others),
        webhook_url=connecting.connector.webhook_url(account_id),
        verify_token=getattr(entry.account.settings, "verify_token", ""),
        in_sandbox=state.sandbox is not None
        and bool(state.sandbox.url)
        and entry.account.api_base.startswith(state.sandbox.url),
    )


# --- inside -------------------------------------------------------------------------------------------------------------


def _offer(channel: str) -> Offer:
    found = offers.offer_of(channels.canonical(channel))
    if found is None:
        raise RequestFailed("not_found", f"there is no channel «{channel[:40]}» that the console can connect")
    return found


def _clients(request: Request) -> list[str]:
    directory: Directory = request.app.state.directory
    return sorted(directory.clients())


def _has_address(request: Request) -> bool:
    connecting: Connecting = request.app.state.connecting()
    return bool(connecting.connector.webhook_url("x"))


def _sandbox_values(request: Request, channel: str) -> dict[str, str]:
    sandbox = console_of(request).sandbox
    if sandbox is None or not sandbox.url:
        return {}
    return wizard.sandbox_values(sandbox.config, sandbox.url, channel)


def _values(request: Request, offer: Offer, sent: Form) -> dict[str, str]:
    """Return what was typed, with an id and secrets of our own choice made where they were left empty."""
    names = {one.name for one in _keys(request, offer)} | set(_COMMON) | {"replace"}
    values = {name: value for name, value in sent.fields().items() if name in names}
    for asked in offer.asked:
        if asked.made and not values.get(asked.name):
            values[asked.name] = secrets.token_urlsafe(24)
    return values


def _new_account(request: Request, offer: Offer, filled: _Filled) -> NewAccount:
    own = {one.name for one in _keys(request, offer)}
    settings: dict[str, object] = {name: value for name, value in filled.values.items() if name in own and value}
    if settings.get("receive") == "poll":
        settings.pop("secret_token", None)
    options: dict[str, object] = {}
    if filled.values.get("api_base"):
        options["api_base"] = filled.values["api_base"]
    return NewAccount(
        filled.values.get("client", ""), offer.channel, filled.values.get("id", ""), settings=settings, options=options
    )


def _keys(request: Request, offer: Offer) -> tuple[Any, ...]:
    channel = request.app.state.channels[offer.channel]
    return channel_keys(channel.NAME, channel.SETTINGS)


def _form(request: Request, offer: Offer, filled: _Filled, status: int = 200) -> Response:
    """Show the form. What was typed is shown to who typed it, secrets too, in fields that hide it: nobody types six twice."""
    report = filled.report
    return page(
        request,
        "wizard_form.html",
        status=status,
        offer=offer,
        filled=filled,
        fixes=view.FIXES,
        who=wizard.who(report.identity if report else None),
        elsewhere=any(one.code == "webhook_elsewhere" for one in filled.findings) or bool(filled.twins),
        clients=_clients(request),
        has_public_url=_has_address(request),
        sandbox_here=bool(_sandbox_values(request, offer.channel)),
        sandbox_demo=_demo_of(request, offer),
        from_sandbox=request.query_params.get("from") == "sandbox",
    )


def _demo_of(request: Request, offer: Offer) -> list[str]:
    """Return the accounts that are the emulated one already: its webhook leads to one of them."""
    values = _sandbox_values(request, offer.channel)
    if not values:
        return []
    made: dict[str, object] = {key: value for key, value in values.items() if key != "api_base"}
    made |= {one.name: "x" for one in offer.asked if one.made}
    directory: Directory = request.app.state.directory
    some = next(iter(_clients(request)), "x")
    new = NewAccount(some, offer.channel, "sandbox", settings=made, options={"api_base": values["api_base"]})
    account = wizard.unsaved(new, request.app.state.channels)
    return wizard.twins(replace(account, id=""), (one.account for one in directory.accounts().values()))
