"""Changing an account in the console: its settings, its limits with what they mean, and how it delivers.

Secrets go one way: they are taken, and never shown. What is wrong is told by the readers of the configuration file, beside the
field that it is about.
"""

from typing import Final

from fastapi import APIRouter, Request, Response

from kurir.administration.refusal import Refused
from kurir.configuration.accounts import ChannelKey, channel_keys
from kurir.configuration.keys import CHANNEL_MEANINGS
from kurir.configuration.problems import WrongValueError
from kurir.configuration.values import rate as read_rate
from kurir.console import accounts as view
from kurir.console.overview import AccountCard
from kurir.console.rights import Right
from kurir.http.admin_accounts import failed
from kurir.http.console.accounts import account_of, administration_of, note, waiting
from kurir.http.console.home import cards_of
from kurir.http.console.route import ConsoleRoute, form, needs, page, to
from kurir.store.base import AccountRecord

router = APIRouter(prefix="/console/accounts", route_class=ConsoleRoute, include_in_schema=False)

#: Options whose change the audit shows as it is.
_OPTIONS: Final = ("api_base", "concurrency", "unknown_outcome", "unknown_wait", "inbound_media", "default", "rate")


@router.get("/{account_id}/settings")
@needs(Right.OPERATE)
async def settings(request: Request, account_id: str) -> Response:
    """Show the settings, to be changed."""
    return await _settings(request, await account_of(request, account_id), {}, {}, [])


@router.post("/{account_id}/settings")
@needs(Right.OPERATE)
async def change_settings(request: Request, account_id: str) -> Response:
    """Change settings. A secret that is left empty stays. With ``effect`` nothing is changed: what rates mean is told."""
    record = await account_of(request, account_id)
    sent = await form(request)
    fields = sent.fields()
    keys = _keys(request, record)
    accounts = administration_of(request).accounts
    try:
        before = accounts.describe(record)
        own = view.given_settings(keys, fields)
        options = view.given_options(fields, list(before.options["rate"]))  # type: ignore[call-overload] # a table by name
        if "effect" in sent:
            return await _settings(request, record, fields, {}, [])
        await accounts.change(account_id, own, options)
        after = accounts.describe(await accounts.find(account_id))
    except Refused as refused:
        if refused.code != "invalid_parameters":
            raise failed(refused) from None
        problems, others = view.by_field(refused.problems)
        return await _settings(request, record, fields, problems, others, status=422)
    changed = {
        name: after.settings[name] for name in after.settings if after.settings[name] != before.settings.get(name)
    }
    changed |= {name: after.options[name] for name in _OPTIONS if after.options[name] != before.options[name]}
    was = {name: before.settings.get(name, before.options.get(name)) for name in changed}
    replaced = [key.name for key in keys if key.kind == "secret" and key.name in own]
    if replaced:
        changed["replaced"] = replaced
    if changed:
        await note(request, "account_changed", record, before=was, after=changed)
    return to(request, f"/accounts/{account_id}", "saved")


async def _settings(
    request: Request,
    record: AccountRecord,
    fields: dict[str, str],
    problems: dict[str, str],
    others: list[str],
    status: int = 200,
) -> Response:
    try:
        described = administration_of(request).accounts.describe(record)
    except Refused as refused:
        raise failed(refused) from None
    card = (await cards_of(request, [record]))[0]
    rates: dict[str, str] = dict(described.options["rate"])  # type: ignore[call-overload] # a table by name
    return page(
        request,
        "account_settings.html",
        status=status,
        record=record,
        described=described,
        keys=_keys(request, record),
        words_of=view.words_of,
        meanings=CHANNEL_MEANINGS.get(record.channel, {}),
        fields=fields,
        problems=problems,
        others=others,
        effects={name: _effect(fields.get(f"rate.{name}") or value, card) for name, value in rates.items()},
        limit_names=view.LIMITS,
        waits=waiting(card),
    )


def _effect(text: str, card: AccountCard) -> view.Effect | None:
    try:
        return view.effect(read_rate(text), waiting(card))
    except WrongValueError:
        return None


def _keys(request: Request, record: AccountRecord) -> tuple[ChannelKey, ...]:
    channel = request.app.state.channels.get(record.channel)
    return () if channel is None else channel_keys(channel.NAME, channel.SETTINGS)
