"""A report as JSON, the same from a gateway and from the command line."""

from collections.abc import Collection
from typing import Any, Final

from kurir.channels.setup import Report
from kurir.domain.account import Account

#: What stands where a secret would.
HIDDEN: Final = "(a secret of the account's; «kurir account reconnect» shows it)"


def shaped(account: Account, report: Report, hidden: Collection[str] = ()) -> dict[str, Any]:
    """Return *report* as JSON. A value to paste that is one of *hidden* is not shown."""
    who = report.identity
    return {
        "account": account.id,
        "channel": account.channel,
        "ok": not report.wrong,
        "identity": None if who is None else {"id": who.id, "name": who.name, "handle": who.handle},
        "findings": [
            {"level": one.level.value, "code": one.code, "detail": one.detail, "fix": one.fix}
            for one in report.findings
        ],
        "facts": [{"name": name, "value": value} for name, value in report.facts],
        "done": list(report.done),
        "pastes": [
            {"where": one.where, "field": one.field, "value": HIDDEN if one.value in hidden else one.value}
            for one in report.pastes
        ],
    }
