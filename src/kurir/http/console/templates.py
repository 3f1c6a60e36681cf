"""WhatsApp's templates of the accounts: as they were read last, how each looks, what it wants; and reading them anew."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response

from kurir.channels.whatsapp.templates import APPROVED
from kurir.connect import templates as connecting
from kurir.console import wa_templates as view
from kurir.console.rights import Right
from kurir.domain import channel as channels
from kurir.http.answers import RequestFailed
from kurir.http.console.home import own_accounts
from kurir.http.console.route import ConsoleRoute, console_of, needs, page, to, visitor_of
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord
from kurir.store.inbound import TemplateRecord

router = APIRouter(prefix="/console/templates", route_class=ConsoleRoute, include_in_schema=False)

#: Templates of one account on a page.
ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class OfAccount:
    """The templates of an account that are shown, how many it has, and when they were read."""

    account: AccountRecord
    rows: list[TemplateRecord]
    total: int
    more: int
    synced_at: datetime | None


@router.get("")
@needs(Right.SEE)
async def list_templates(
    request: Request, account: str = "", status: str = "", language: str = "", q: str = ""
) -> Response:
    """Show the templates of every WhatsApp account that the visitor may see."""
    store: GatewayStore = request.app.state.store
    own = [one for one in await own_accounts(request) if one.channel == channels.WHATSAPP]
    shown: list[OfAccount] = []
    statuses: set[str] = set()
    languages: set[str] = set()
    for one in own:
        records = await store.templates(one.id)
        statuses |= {each.status for each in records}
        languages |= {each.language for each in records}
        if account in ("", one.id):
            rows = view.chosen(records, status=status, language=language, typed=q[:200])
            synced = max((each.synced_at for each in records), default=None)
            shown.append(OfAccount(one, rows[:ROWS], len(records), max(0, len(rows) - ROWS), synced))
    return page(
        request,
        "templates.html",
        shown=shown,
        accounts=[one.id for one in own],
        statuses=sorted(statuses),
        tongues=sorted(languages),
        account=account,
        standing=status,
        tongue=language,
        q=q[:200],
        look_of=view.look_of,
    )


@router.get("/{account_id}/{name}/{language}")
@needs(Right.SEE)
async def one_template(request: Request, account_id: str, name: str, language: str) -> Response:
    """Show a template: its bubble, what it wants, a request that sends it."""
    account = await _own(request, account_id)
    record = await request.app.state.store.template(account.id, name[:600], language[:40])
    if record is None:
        raise RequestFailed("not_found", "the account has no such template; read them anew if it was made just now")
    public = console_of(request).public_url or str(request.base_url).rstrip("/")
    return page(
        request,
        "template.html",
        account=account,
        record=record,
        look=view.look_of(record.status),
        approved=record.status == APPROVED,
        preview=view.preview(record),
        wanted=view.wanted(record),
        curl=view.example_curl(record, f"{public}/whatsapp/send/{account.client_id}", account.id),
    )


@router.post("/{account_id}/sync")
@needs(Right.OPERATE)
async def sync(request: Request, account_id: str) -> Response:
    """Read every template of the account from WhatsApp, in place of those known."""
    account = await _own(request, account_id)
    state = request.app.state
    entry = state.directory.accounts().get(account.id)
    if entry is None:
        raise RequestFailed("account_not_enabled", f"the account «{account.id}» is not enabled")
    try:
        found = await connecting.sync(state.store, state.connecting().egress, state.clock, entry.account)
    except connecting.NotSynced as error:
        raise RequestFailed("templates_not_synced", str(error)) from None
    audit = console_of(request).audit
    after = {"templates": len(found)}
    await audit.note(
        visitor_of(request), "templates_read", "account", account.id, client_id=account.client_id, after=after
    )
    return to(request, "/templates", "templates_read", account=account.id)


async def _own(request: Request, account_id: str) -> AccountRecord:
    for one in await own_accounts(request):
        if one.id == account_id and one.channel == channels.WHATSAPP:
            return one
    raise RequestFailed("not_found", f"there is no WhatsApp account «{account_id[:64]}»")
