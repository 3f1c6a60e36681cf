"""People: who is known to the accounts, where a phone leads to, and what is done about somebody."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from kurir.console import contacts as view
from kurir.console import masking
from kurir.console import messages as message_view
from kurir.console.contacts import Person
from kurir.console.rights import Right
from kurir.console.words import _
from kurir.directory import Directory, Entry
from kurir.domain import channel as channels
from kurir.domain import recipient as recipients
from kurir.domain.problem import Problem
from kurir.http.answers import RequestFailed
from kurir.http.console.reveal import revealed
from kurir.http.console.route import ConsoleRoute, console_of, form, needs, page, to, visitor_of
from kurir.intake import identity, people
from kurir.intake.deep_links import DeepLink, DeepLinks, Nameless, NeedsNone, Wanted
from kurir.store import GatewayStore
from kurir.store.base import ContactRecord
from kurir.store.looking import PeopleSearch, Search

router = APIRouter(prefix="/console/contacts", route_class=ConsoleRoute, include_in_schema=False)

#: People on a page, messages of one on theirs.
ROWS: Final = 50
MESSAGES: Final = 5
#: How long a link that is made here is good.
LINK_LIFE: Final = timedelta(days=7)
_LONGEST: Final = 300
_KIND: Final = "contact"
_AFTER: Final = "contacts after"


# --- looking ----------------------------------------------------------------------------------------------------------


@router.get("")
@needs(Right.SEE)
async def list_people(request: Request, q: str = "", channel: str = "", account: str = "", after: str = "") -> Response:
    """Show the people whom a search finds: by name, by a phone in any spelling, by an address."""
    state, visitor = console_of(request), visitor_of(request)
    store, _directory = _parts_of(request)
    typed = " ".join(q.split())[:_LONGEST]
    list_id = view.name_of_list(typed, channel, account)
    plain = await revealed(request, "list", list_id)
    # Who may not see a phone must not find out whose it is by searching either.
    searchable = not state.masked or visitor.may(Right.ACT)
    cursor = state.references.parts(_AFTER, after) if after else None
    wanted = PeopleSearch(
        client_ids=visitor.client_ids,
        channel=channel if channel in channels.known() else None,
        account_id=account or None,
        after=(cursor[0], cursor[1]) if cursor is not None and len(cursor) == 2 else None,
    )
    found = None
    exact = view.spellings(typed, _regions(request)) if typed and searchable else ()
    phone = people.phone_of(typed, next(iter(_regions(request)), "")) if exact else None
    if exact and cursor is None:
        wanted_exactly = PeopleSearch(wanted.client_ids, wanted.channel, wanted.account_id, exact)
        found = await store.people(wanted_exactly, ROWS)
    if found is None or not found.rows:
        named = PeopleSearch(
            wanted.client_ids, wanted.channel, wanted.account_id, (), typed if searchable else "", wanted.after
        )
        found = await store.people(named, ROWS)
    return page(
        request,
        "contacts.html",
        rows=[await _person(request, one, plain=plain) for one in found.rows],
        q=typed,
        searchable=searchable,
        phone=phone,
        needs_region=typed.startswith("0") and not _regions(request),
        channel=channel,
        account=account,
        accounts=[one.account.id for one in _own_entries(request)],
        linkable=[one.account for one in _own_entries(request) if one.account.channel != channels.WHATSAPP],
        channels=channels.known(),
        ways=view.WAYS,
        more=state.references.of(_AFTER, *found.after) if found.after is not None else "",
        after=after,
        plain=plain,
        list_id=list_id,
        next=f"/console/contacts{f'?{request.url.query}' if request.url.query else ''}",
    )


@router.post("/links")
@needs(Right.ACT)
async def deep_link(request: Request) -> Response:
    """Make a link: whoever opens it is linked to the phone, that of a person who is known or one that is typed."""
    _store, directory = _parts_of(request)
    sent = await form(request)
    entry = next((one for one in _own_entries(request) if one.account.id == sent.text("account")), None)
    if entry is None:
        raise RequestFailed("not_found", "there is no such enabled account")
    client_id = entry.account.client_id
    person = await _own(request, sent.text("person")) if "person" in sent else None
    if person is not None and person.client_id == client_id:
        phone: str | None = person.phone or None
    else:
        phone = people.phone_of(sent.text("phone"), directory.clients()[client_id].default_region)
    if phone is None:
        problem = Problem("/phone", "invalid_recipient", "a phone has 7 to 15 digits with its country code (628…)")
        raise RequestFailed("invalid_parameters", problems=[problem])
    links: DeepLinks = request.app.state.deep_links
    made = await links.make(entry, Wanted(phone, "", LINK_LIFE))
    match made:
        case NeedsNone():
            raise RequestFailed("invalid_parameters", made.reason)
        case Nameless():
            failed = RequestFailed(made.code, made.reason)
            failed.status = 503
            raise failed
        case DeepLink():
            after = {"phone": masking.phone(phone)}
            audit = console_of(request).audit
            await audit.note(
                visitor_of(request), "contact_link_made", "account", entry.account.id, client_id=client_id, after=after
            )
            back = "" if person is None else _reference(request, person)
            return page(request, "contact_link.html", made=made, account=entry.account, back=back)


@router.get("/{reference}")
@needs(Right.SEE)
async def one_person(request: Request, reference: str) -> Response:
    """Show a person: under which addresses, on which accounts, how long they can be written to, their last messages."""
    return await _page_of(request, await _own(request, reference))


async def _page_of(request: Request, record: ContactRecord, *, status: int = 200, **more: object) -> Response:
    store, directory = _parts_of(request)
    reference = console_of(request).references.of(_KIND, record.account_id, record.address)
    plain = await revealed(request, _KIND, reference)
    shown = await _person(request, record, plain=plain)
    others: list[Person] = [shown]
    if record.phone:
        exact = recipients.variants(record.phone)
        everywhere = await store.people(PeopleSearch(client_ids=(record.client_id,), exact=exact), ROWS)
        same = [one for one in everywhere.rows if one.phone and one.phone in exact]
        others += [
            await _person(request, one, plain=plain)
            for one in same
            if (one.account_id, one.address) != (record.account_id, record.address)
        ]
    own = [entry.account for entry in _own_entries(request) if entry.account.client_id == record.client_id]
    spellings = tuple(
        dict.fromkeys(
            each for address in (record.address, record.phone) if address for each in view.spellings(address, ())
        )
    )
    prefixed = f"{recipients.PREFIX_OF.get(record.channel, record.channel)}:{record.address}"
    wanted = Search(
        client_ids=(record.client_id,),
        account_id=record.account_id,
        recipients=(*spellings, prefixed, f"phone:{record.phone}"),
    )
    now = request.app.state.clock.now()
    found = await store.search(wanted, MESSAGES)
    texts = await store.snippets([one.seq for one in found.rows])
    aliases = await store.aliases(record.account_id, record.address)
    entry = directory.accounts().get(record.account_id)
    model = {
        "person": shown,
        "reference": reference,
        "others": others[1:],
        "places": view.places(own, others) if record.phone else [],
        "aliases": aliases if plain else [masking.phone(one) for one in aliases],
        "messages": [message_view.row(one, texts.get(one.seq, b""), now, masked=not plain) for one in found.rows],
        "account_enabled": entry is not None,
        "linkable": entry is not None and record.channel != channels.WHATSAPP,
        "problems": {},
    }
    return page(request, "contact.html", status=status, **(model | more))


# --- doing ------------------------------------------------------------------------------------------------------------


@router.post("/{reference}/link")
@needs(Right.ACT)
async def link(request: Request, reference: str) -> Response:
    """Link a phone to the person; whoever had it in this account loses it."""
    record = await _own(request, reference)
    entry = _entry_of(request, record)
    store, directory = _parts_of(request)
    region = directory.clients()[record.client_id].default_region
    phone = people.phone_of((await form(request)).text("phone"), region)
    if phone is None:
        problem = _("A phone has 7 to 15 digits with its country code, such as 6281234567890.")
        return await _page_of(request, record, status=422, problems={"phone": problem})
    now = request.app.state.clock.now()
    stored = await people.link(store, entry.account, record.address, phone, now)
    await _note(request, record, "contact_linked", {"phone": masking.phone(stored.phone)})
    return to(request, f"/contacts/{_reference(request, stored)}", "linked")


@router.post("/{reference}/unlink")
@needs(Right.ACT)
async def unlink(request: Request, reference: str) -> Response:
    """Take the person's phone away; everything else stays."""
    record = await _own(request, reference)
    store, _directory = _parts_of(request)
    now = request.app.state.clock.now()
    await store.unlink_contact(record.client_id, record.account_id, record.address, now)
    await _note(request, record, "contact_unlinked", {"phone": masking.phone(record.phone)})
    return to(request, f"/contacts/{reference}", "unlinked")


@router.post("/{reference}/erase")
@needs(Right.ACT)
async def erase(request: Request, reference: str) -> Response:
    """Erase the person from the account: the contact, what they wrote, what was said to them."""
    record = await _own(request, reference)
    entry = _entry_of(request, record)
    store, _directory = _parts_of(request)
    _stood, total = await people.erase(store, entry.account, record.address, request.app.state.clock.now())
    if total.begun:
        raise RequestFailed("person_in_use", people.being_sent(total), headers={"Retry-After": "5"})
    after = {"messages": total.messages, "cancelled": total.cancelled, "events": total.events}
    await _note(request, record, "contact_erased", after)
    return to(request, "/contacts", "erased")


# --- what they share --------------------------------------------------------------------------------------------------


def _parts_of(request: Request) -> tuple[GatewayStore, Directory]:
    state = request.app.state
    return state.store, state.directory


def _own_entries(request: Request) -> list[Entry]:
    """Return the enabled accounts that the visitor may see, by id."""
    whose = visitor_of(request).client_ids
    entries = request.app.state.directory.accounts()
    return [entries[name] for name in sorted(entries) if whose is None or entries[name].account.client_id in whose]


def _regions(request: Request) -> list[str]:
    """Return the default regions of the clients that the visitor may see."""
    whose, clients = visitor_of(request).client_ids, request.app.state.directory.clients()
    return sorted(
        {one.default_region for one in clients.values() if one.default_region and (whose is None or one.id in whose)}
    )


async def _own(request: Request, reference: str) -> ContactRecord:
    """Return the person of a reference, under the address that stands. Raises RequestFailed: 404 for another client's too."""
    store, directory = _parts_of(request)
    parts = console_of(request).references.parts(_KIND, reference)
    whose = visitor_of(request).client_ids
    if parts is not None and len(parts) == 2:
        account_id, address = parts
        entry = directory.accounts().get(account_id)
        if entry is not None:
            found = await identity.known_at(store, entry.account, address)
        else:
            found = await store.contact(account_id, address)
        if found is not None and (whose is None or found.client_id in whose):
            return found
    raise RequestFailed(
        "not_found", "nobody is known here: the person was erased, or the address is of another gateway"
    )


def _entry_of(request: Request, record: ContactRecord) -> Entry:
    entry: Entry | None = request.app.state.directory.accounts().get(record.account_id)
    if entry is None:
        raise RequestFailed("account_not_enabled", f"the account «{record.account_id}» is not enabled")
    return entry


def _reference(request: Request, record: ContactRecord) -> str:
    return console_of(request).references.of(_KIND, record.account_id, record.address)


async def _person(request: Request, record: ContactRecord, *, plain: bool) -> Person:
    entry: Entry | None = request.app.state.directory.accounts().get(record.account_id)
    account = None if entry is None else entry.account
    now = request.app.state.clock.now()
    return view.person(record, _reference(request, record), account, now, plain=plain)


async def _note(request: Request, record: ContactRecord, action: str, after: Mapping[str, object]) -> None:
    """Note what was done. Never the phone or the address itself: who is erased is erased here too."""
    subject = f"{record.account_id} {masking.phone(record.address)}"
    audit = console_of(request).audit
    await audit.note(visitor_of(request), action, _KIND, subject, client_id=record.client_id, after=after)
