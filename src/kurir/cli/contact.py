"""``kurir contact``: who is who. People are looked up, linked, unlinked, erased, and brought in from a CSV file.

Everything goes over the gateway's own HTTP. A file is read and checked here, since a line that is not even a line cannot be
sent; whether a phone or an address is one is the gateway's to say.
"""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import aiohttp
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from kurir import unreached
from kurir.cli import durations, options, running, showing
from kurir.cli.people_file import FIXES, Bad, Outcome, Person, read_people, write_report
from kurir.cli.running import Place, Reply, plain

app = typer.Typer(
    name="contact", help="See who is who; link, unlink, erase and import people; make links.", no_args_is_help=True
)

#: The most contacts that a list shows, and how many come with one call.
MOST: Final = 10_000
PAGE: Final = 1_000
#: Lines that are under way at once.
AT_ONCE: Final = 8
#: The largest file that is read, in bytes: about a million people.
LARGEST: Final = 100_000_000
#: Bad lines that the terminal shows; a report has them all.
SHOWN: Final = 20
#: The waits before a line is tried again that the gateway did not take at present, in seconds.
WAITS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
#: The longest that a Retry-After is followed, in seconds.
LONGEST_WAIT: Final = 30.0

ChannelName: TypeAlias = Annotated[str, typer.Argument(help="whatsapp, telegram, line or messenger.")]
Address: TypeAlias = Annotated[
    str,
    typer.Argument(help="The person's address on the channel: a chat id, a LINE user id, a page-scoped id, a phone."),
]
OfAccount: TypeAlias = Annotated[str, typer.Option("--account", help="The account; else the channel's default.")]


# --- one person -------------------------------------------------------------------------------------------------------


@app.command("list")
@options.bundled
def list_contacts(
    phone: Annotated[str, typer.Option(help="Only whom this phone is linked to.")] = "",
    channel: Annotated[str, typer.Option(help="Only people on this channel.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many.")] = 100,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """List people, by account and address."""
    query = {name: value for name, value in (("phone", phone), ("channel", channel)) if value}
    found, more = running.pages(login.place(), "/v1/contacts", query, limit, PAGE)
    if as_json:
        running.print_json({"data": found, "next": more})
        return
    table = showing.table("account", "address", "phone", "name", "last heard")
    for one in found:
        heard = running.when(one["last_inbound_at"]) if one["last_inbound_at"] else ""
        name = plain(_called(one)) + (" (blocked us)" if one["blocked"] else "")
        table.add_row(*(Text(plain(one[key])) for key in ("account", "address", "phone")), Text(name), heard)
    showing.print_table(table, "There is no such contact.")
    if more:
        showing.print_more(MOST)


@app.command()
@options.bundled
def show(
    channel: ChannelName,
    address: Address,
    account: OfAccount = "",
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Show one person, as the account knows them."""
    reply = running.call(login.place(), "GET", _path(channel, address), _of(account))
    showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def link(
    channel: ChannelName,
    address: Address,
    phone: Annotated[str, typer.Argument(help="Their phone, with its country code.")],
    name: Annotated[str, typer.Option(help="What they are called.")] = "",
    account: OfAccount = "",
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Link a phone to an address. A phone that was linked in the account moves here."""
    given = {"phone": phone, "name": name, "account": account}
    reply = running.call(login.place(), "PUT", _path(channel, address), body=given)
    showing.answer(reply, _show, as_json=as_json)


@app.command()
@options.bundled
def unlink(
    channel: ChannelName,
    address: Address,
    account: OfAccount = "",
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Take a person's phone away. They stay known by their address."""
    reply = running.call(login.place(), "DELETE", f"{_path(channel, address)}/phone", _of(account))
    showing.answer(reply, _show, as_json=as_json)


@app.command("make-link")
@options.bundled
def make_link(
    channel: Annotated[str, typer.Argument(help="telegram, messenger or line; WhatsApp needs no link.")],
    phone: Annotated[str, typer.Option(help="Whoever opens the link is linked to this phone.")] = "",
    payload: Annotated[str, typer.Option(help="Comes back in the event when it is opened.")] = "",
    expires_in: Annotated[str, typer.Option(help="So long it is good, once, such as 24h; else seven days.")] = "",
    account: OfAccount = "",
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Make a link by which a person who opens it becomes known. It needs a phone, a payload, or both.

    It proves who opened it, not whose phone it is: give it to the holder of the phone only.
    """
    given: dict[str, Any] = {"channel": channel, "phone": phone, "payload": payload, "account": account}
    if expires_in:
        given["expires_in"] = int(durations.read(expires_in, "--expires-in").total_seconds())
    reply = running.call(login.place(), "POST", "/v1/contacts/links", body=given)
    showing.answer(reply, _show_link, as_json=as_json)


@app.command()
@options.bundled
def erase(
    channel: ChannelName,
    address: Address,
    account: OfAccount = "",
    yes: options.Yes = False,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Erase a person on their request: what they wrote, what was said to them, phone and names. It cannot be undone."""
    place = login.place()
    if not yes:
        typer.confirm(
            f"Erase everything of {plain(address)} on {plain(channel)}, and cancel what waits for them?", abort=True
        )
    reply = running.call(place, "DELETE", _path(channel, address), _of(account))
    showing.answer(reply, _show_erased, as_json=as_json)


def _path(channel: str, address: str) -> str:
    return f"/v1/contacts/{quote(channel, safe='')}/{quote(address, safe='')}"


def _of(account: str) -> dict[str, str]:
    return {"account": account} if account else {}


def _show(found: dict[str, Any]) -> None:
    console = showing.console()
    console.print(Text(plain(found["address"]), "bold").append(f"  {found['channel']} of {plain(found['account'])}"))
    if _called(found):
        console.print(Text(plain(_called(found))))
    since = f", since {running.when(found['linked_at'])}" if found["linked_at"] else ""
    console.print(Text(plain(f"phone {found['phone']}{since}" if found["phone"] else "no phone is linked")))
    heard = found["last_inbound_at"]
    console.print(Text(f"last heard from {running.when(heard)}" if heard else "never heard from"))
    if found["blocked"]:
        console.print(Text("has blocked the account", "bold red"))


def _show_link(found: dict[str, Any]) -> None:
    # Alone in its line, on standard output, to be handed on; the rest is said beside it.
    print(plain(found["url"]))
    whom = f"; whoever opens it is linked to {found['phone']}" if found["phone"] else ""
    typer.echo(plain(f"good once, until {running.when(found['expires_at'])}{whom}"), err=True)


def _show_erased(found: dict[str, Any]) -> None:
    counts = [
        "the contact" if found["contact"] else "no contact",
        _many(found["messages"], "message"),
        _many(found["events"], "event"),
    ]
    cancelled = (
        f"; {_many(found['cancelled'], 'message')} of these waited and ended unsent" if found["cancelled"] else ""
    )
    print(plain(f"erased of {found['address']} in {found['account']}: {', '.join(counts)}{cancelled}"))


def _called(contact: Mapping[str, Any]) -> str:
    username = f"@{contact['username']}" if contact["username"] else ""
    return f"{contact['name']} {username}".strip()


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


# --- many people: sending ---------------------------------------------------------------------------------------------


@app.command("import")
@options.bundled
def import_people(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file in UTF-8; «-» reads standard input.")],
    report: Annotated[Path | None, typer.Option(help="Write the bad lines to this CSV file, to be mended.")] = None,
    *,
    as_json: options.AsJson = False,
    login: options.AsClient,
) -> None:
    """Link everybody in a CSV file. It may be run again: a line that was imported changes nothing.

    The first line names the columns: phone, channel, address, and if you like name and account. The exit code is 1 where
    a line was bad.
    """
    place = login.place()
    try:
        people, outcome = read_people(_text_of(file))
    except ValueError as error:
        running.fail(plain(f"{file} cannot be imported: {error}"))
    _check_report(report)
    errors = showing.console(err=True)
    asyncio.run(_import(place, people, outcome, errors))
    outcome.bad.sort(key=lambda one: one.person.line)
    if report is not None:
        _report(report, outcome.bad)
    if as_json:
        running.print_json({"data": _summary(outcome)})
    else:
        _tell(outcome, report)
    raise typer.Exit(outcome.exit_code)


def _text_of(file: Path) -> str:
    """Return the text of a file. Raises ValueError with the sentence where there is none."""
    try:
        raw = typer.get_binary_stream("stdin").read(LARGEST + 1) if str(file) == "-" else _bytes_of(file)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 1_000_000} MB: cut it into several files")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 (line {line}): save it as «CSV UTF-8»") from None


def _bytes_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(LARGEST + 1)


def _check_report(report: Path | None) -> None:
    """End before anything is sent where the report could not be written."""
    if report is not None and not report.parent.is_dir():
        running.fail(plain(f"the report cannot be written: there is no folder {report.parent}"))


class _Stop(Exception):
    """No more lines are tried; the text says why."""


async def _import(place: Place, people: Sequence[Person], outcome: Outcome, errors: Console) -> None:
    """Send *people*, a few at once. What a line was answered is in *outcome*."""
    bar = Progress(
        TextColumn("linking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    line = bar.add_task("linking", total=len(people))
    waiting = iter(people)
    timeout = aiohttp.ClientTimeout(total=running.CALL_SECONDS)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)

    async def work(session: aiohttp.ClientSession) -> None:
        for person in waiting:
            if outcome.stopped:
                return
            try:
                bad = await _send(session, place, person)
            except _Stop as stop:
                outcome.stopped = outcome.stopped or f"stopped at line {person.line}: {stop}"
                return
            outcome.linked += not bad
            outcome.bad += bad
            bar.advance(line)

    async with aiohttp.ClientSession(headers=place.headers, timeout=timeout, connector=connector) as session:
        with bar:
            await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))


async def _send(session: aiohttp.ClientSession, place: Place, person: Person) -> list[Bad]:
    """Send one line and return what is wrong with it, [] where it is linked. Raises _Stop."""
    values = person.values
    path = f"{place.url}{_path(values['channel'], values['address'])}"
    given = {name: values[name] for name in ("phone", "name", "account")}
    for wait in (*WAITS, None):
        try:
            async with session.put(path, json=given) as response:
                reply = Reply(response.status, await running.read_answer(response, place.url))
                pause = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            if wait is None:
                why = unreached.why(error)
                raise _Stop(f"the gateway at {place.url} was not reached: {why}") from None
            await asyncio.sleep(wait)
            continue
        if reply.status == HTTPStatus.OK:
            return []
        if reply.status not in (429, 500, 502, 503, 504):
            return _wrong(person, reply)
        if wait is None:
            raise _Stop(str(reply.body.get("detail") or f"the gateway answered {reply.status}"))
        await asyncio.sleep(min(LONGEST_WAIT, float(pause)) if pause.isdigit() else wait)
    raise AssertionError("the last round returns or raises")


def _wrong(person: Person, reply: Reply) -> list[Bad]:
    """Return what the gateway found wrong with a line. Raises _Stop where it is not the line's fault."""
    detail = str(reply.body.get("detail") or "the gateway gave no reason")
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise _Stop(f"{detail} ({reply.body.get('code', '?')}, HTTP {reply.status})")
    if reply.body.get("code") == "unknown_channel":
        return [Bad(person, "channel", detail, FIXES["channel"])]
    items = [one for one in reply.body.get("errors") or () if isinstance(one, dict)]
    if not items:
        return [Bad(person, "line", detail, "see the reason")]
    names = [str(one.get("pointer", "")).strip("/") or "address" for one in items]
    reason = "; ".join(str(one.get("detail", "")) for one in items)
    fix = "; ".join(dict.fromkeys(FIXES.get(name, "see the reason") for name in names))
    return [Bad(person, ", ".join(dict.fromkeys(names)), reason, fix)]


# --- many people: telling ---------------------------------------------------------------------------------------------


def _report(report: Path, bad: Sequence[Bad]) -> None:
    try:
        write_report(report, bad)
    except OSError as error:
        running.fail(plain(f"the report {report} cannot be written: {error.strerror}"))


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "linked": outcome.linked,
        "repeats": outcome.repeats,
        "bad": [
            {"line": one.person.line, "field": one.field, "reason": one.reason, "fix": one.fix} for one in outcome.bad
        ],
        "stopped": outcome.stopped or None,
    }


def _tell(outcome: Outcome, report: Path | None) -> None:
    console = showing.console()
    for one in outcome.bad[:SHOWN]:
        console.print(
            Text(f"line {one.person.line}, {one.field}: ", "bold red").append(plain(one.reason), "not bold default")
        )
        console.print(Text(f"  fix: {plain(one.fix)}"))
    if len(outcome.bad) > SHOWN:
        rest = f"{report} has them all" if report is not None else "--report bad.csv writes them all"
        console.print(Text(plain(f"and {_many(len(outcome.bad) - SHOWN, 'more bad line')}; {rest}")))
    again = f", {_many(outcome.repeats, 'repeat')}" if outcome.repeats else ""
    console.print(Text(f"{outcome.linked:,} linked, {_many(len(outcome.bad), 'bad line')}{again}"))
    if outcome.bad and report is not None:
        console.print(Text(plain(f"mend {report} and import it: the lines that were good need not come again")))
    if outcome.stopped:
        typer.echo(plain(f"{outcome.stopped}; run it again: what was linked stays linked"), err=True)
