"""Gathering what a rendering wants to know of the outside, and freezing it.

The first rendering's facts are stored with the first mark. A message that is rendered again, after a wait or a restart,
sees the very same facts, so that its parts are the same parts.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Final

from kurir.channels.base import Again, Channel, Facts, MediaFacts, ReplyTarget, ReplyToken, dumps
from kurir.clock import Clock
from kurir.domain.account import Account
from kurir.domain.message import Message
from kurir.egress import Egress
from kurir.intake.identity import Resolved
from kurir.quick import quick
from kurir.store import GatewayStore
from kurir.store.base import PartRecord

#: A reply token is used so soon after it was given. LINE says about a minute, and the call takes its time too.
FRESH: Final = timedelta(seconds=45)


@quick
@dataclass(frozen=True, slots=True)
class Question:
    """What a rendering is wanted of: this message, by this account, to this address."""

    channel: Channel
    account: Account
    message: Message
    tid: str
    to: Resolved


async def gather(store: GatewayStore, egress: Egress, clock: Clock, asked: Question) -> Facts:
    """Return the facts of a message, asking the store and, where the channel needs it, the file's host."""
    account, contact = asked.account, asked.to.contact
    reply = None
    if asked.message.reply_id:
        found = await store.reply_target(account.client_id, account.id, asked.message.reply_id)
        if found is not None:
            reply = ReplyTarget(found.platform_id, found.address, found.quote_token)
    age = None
    if contact is not None and contact.last_inbound_at is not None:
        age = max(0.0, (clock.now() - contact.last_inbound_at).total_seconds())
    needs = asked.channel.needs(asked.message, account)
    media = {url: await egress.probe(url, account.client_id) for url in needs.probe}
    token = await _reply_token(store, clock, asked) if needs.reply_token else None
    return Facts(
        tid=asked.tid,
        address=asked.to.address,
        last_inbound_seconds=age,
        reply=reply,
        reply_token=token,
        media=media,
    )


async def _reply_token(store: GatewayStore, clock: Clock, asked: Question) -> ReplyToken | None:
    """Return a token by which the chat can be answered for free: the one that is asked for, else the newest unused one."""
    now, account, wanted = clock.now(), asked.account, asked.message.reply_token
    if not wanted:
        found = await store.fresh_reply_token(account.id, asked.to.address, now - FRESH)
        return None if found is None else ReplyToken(found[0], max(0.0, (now - found[1]).total_seconds()))
    known = await store.reply_token(account.id, wanted)
    if known is None or known.used or known.address != asked.to.address or now - known.received_at >= FRESH:
        return None
    return ReplyToken(wanted, max(0.0, (now - known.received_at).total_seconds()))


def freeze(facts: Facts) -> bytes:
    """Return *facts* as JSON, without the labels and the cures."""
    record = {
        "address": facts.address,
        "last_inbound_seconds": facts.last_inbound_seconds,
        "reply": asdict(facts.reply) if facts.reply else None,
        "reply_token": asdict(facts.reply_token) if facts.reply_token else None,
        "media": {url: asdict(known) for url, known in facts.media.items()},
    }
    return dumps(record).encode()


def thaw(frozen: bytes, tid: str) -> Facts:
    """Return the facts that :func:`freeze` wrote."""
    record: dict[str, Any] = json.loads(frozen)
    reply, token = record["reply"], record["reply_token"]
    return Facts(
        tid=tid,
        address=record["address"],
        last_inbound_seconds=record["last_inbound_seconds"],
        reply=ReplyTarget(**reply) if reply else None,
        reply_token=ReplyToken(**token) if token else None,
        media={url: MediaFacts(**known) for url, known in record["media"].items()},
    )


def with_cures(facts: Facts, parts: Mapping[int, PartRecord]) -> Facts:
    """Return *facts* with the cures that the parts have taken."""
    again = {number: frozenset(map(Again, part.again)) for number, part in parts.items() if part.again}
    return replace(facts, again=again) if again else facts
