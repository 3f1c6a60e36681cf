"""Why a message waits: at any moment one sentence, and until when if that is known.

Several things may hold a message at once. The one is told that has to go first for the message to move, from the widest
to the narrowest: its account, its own last try, its send_at, the messages before it, the rate, its turn. The rules are
pure: what they need is given to them, so that each sentence has its test.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kurir.delivery.state import AccountState, Standing, Why
from kurir.domain.status import Status
from kurir.http import shown
from kurir.store.base import Ahead, ErrorRecord, MessageRecord, Phase

#: The store counts what goes before a message up to here.
COUNTED: Final = 1000

#: Standings in which nothing of the account is sent.
_STOPPED: Final = frozenset({Standing.DISABLED, Standing.PAUSED, Standing.PARKED, Standing.OUT})


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a message's surroundings at the moment *now* (UTC).

    ``rate`` is what else keeps its lane, as ``Operator.why`` tells. ``ahead`` is what goes before it in its lane, None
    where nobody asked; ``first`` is why the first of these waits, None where that is not known.
    """

    now: datetime
    account: AccountState
    rate: Why | None = None
    ahead: Ahead | None = None
    first: Why | None = None


def waits(record: MessageRecord) -> bool:
    """Return whether the message waits for anything: its status is 0."""
    return record.status is Status.PENDING


def has_lane_to_ask(record: MessageRecord) -> bool:
    """Return whether other messages may go before this one: it is queued, and nothing overtakes what has begun."""
    return waits(record) and record.queued and not record.parts_total


def why(record: MessageRecord, around: Around) -> Why | None:
    """Return why a message with the status 0 waits, and until when; None for every other message."""
    if not waits(record):
        return None
    if not record.queued:
        return _for_receipt(record)
    return (
        _for_account(record, around.account)
        or _for_itself(record, around.now)
        or _for_its_time(record, around.now)
        or _for_answer(record)
        or _for_lane(record, around)
        or around.rate
        or _for_turn(record)
    )


def _for_receipt(record: MessageRecord) -> Why:
    """WhatsApp's 200 means accepted; its receipt makes the message sent."""
    accepted = max((part.answered_at for part in record.parts if part.answered_at is not None), default=None)
    since = f" at {shown.time(accepted)}" if accepted is not None else ""
    detail = (
        f"the platform accepted it{since}; its «sent» receipt has not come. If no receipts arrive at all: "
        f"is the webhook connected?"
    )
    return Why(ErrorRecord("awaiting_receipt", detail))


def why_stopped(account_id: str, account: AccountState) -> ErrorRecord | None:
    """Return why an account does not simply work, None when it does."""
    if account.standing is Standing.DISABLED:
        fix = "enable it, or its messages expire"
        return ErrorRecord("account_disabled", f"the account is not enabled: «{account_id}»; {fix}")
    return account.reason


def _for_account(record: MessageRecord, account: AccountState) -> Why | None:
    reason = why_stopped(record.account_id, account) if account.standing in _STOPPED else None
    return None if reason is None else Why(reason, account.until)


def _for_itself(record: MessageRecord, now: datetime) -> Why | None:
    """Its own wait, as its last try left it. One whose time is over does not hold the message any more."""
    if record.reason is None or (record.waiting_until is not None and record.waiting_until <= now):
        return None
    return Why(record.reason, record.waiting_until)


def _for_its_time(record: MessageRecord, now: datetime) -> Why | None:
    send_at = send_time(record)
    if send_at is None or send_at <= now:
        return None
    return Why(ErrorRecord("scheduled", f"it is not sent before {shown.time(send_at)}"), send_at)


def _for_answer(record: MessageRecord) -> Why | None:
    part = next((one for one in record.parts if one.phase is Phase.IN_FLIGHT), None)
    if part is None:
        return None
    which = f"part {part.number} of {record.parts_total}" if record.parts_total > 1 else "it"
    detail = f"{which} was handed to the platform at {shown.time(part.marked_at)}, and its answer is awaited"
    return Why(ErrorRecord("sending", detail))


def _for_lane(record: MessageRecord, around: Around) -> Why | None:
    ahead = around.ahead
    if ahead is None or not ahead.messages or not has_lane_to_ask(record):
        return None
    many = f"{COUNTED:,} or more" if ahead.messages >= COUNTED else f"{ahead.messages:,}"
    messages = "message" if ahead.messages == 1 else "messages"
    go = "goes" if ahead.messages == 1 else "go"
    detail = f"{many} {messages} to the same recipient {go} before it; the first is {ahead.first}"
    first = around.first
    if first is not None and first.reason.code != "queued":
        detail += f": {first.reason.detail}"
        detail += f" (until {shown.time(first.until)})" if first.until is not None else ""
    return Why(ErrorRecord("waiting_for_lane", detail))


def _for_turn(record: MessageRecord) -> Why:
    if record.reason is not None:  # its wait is over, and its account has not come to it yet
        detail = f"it is tried again as soon as its turn comes; the last try said: {record.reason.detail}"
        return Why(ErrorRecord("queued", detail, record.reason.provider_code))
    if record.parts_total:
        return Why(ErrorRecord("queued", "it is being sent, or waits for its next call"))
    return Why(ErrorRecord("queued", "it waits for its turn"))


def send_time(record: MessageRecord) -> datetime | None:
    """Return the send_at that the message was accepted with; None for one that was due at once, or is tried again."""
    return record.due_at if record.due_at > record.accepted_at else None
