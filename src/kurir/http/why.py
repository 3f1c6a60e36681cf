"""Why a message waits, with what the process and the store know of its surroundings at this moment."""

from dataclasses import replace
from typing import Any

from kurir.delivery.state import Why
from kurir.http import waiting
from kurir.http.operator import Operator
from kurir.store import GatewayStore
from kurir.store.base import MessageRecord


async def why_it_waits(state: Any, client_id: str, record: MessageRecord) -> Why | None:
    """Return why *record* waits, with what goes before it in its lane; None when it does not wait.

    *state* is the application's. Raises StoreError.
    """
    if not waiting.waits(record):
        return None
    store: GatewayStore = state.store
    operator: Operator = state.operator()
    now = state.clock.now()
    around = waiting.Around(now, operator.state(record.account_id), operator.why(record.account_id, record.lane))
    if waiting.has_lane_to_ask(record):
        ahead = await store.ahead(record.account_id, record.lane, record.seq, record.priority, now)
        first = await store.message(client_id, ahead.first) if ahead.first else None
        around = replace(around, ahead=ahead, first=None if first is None else waiting.why(first, around))
    return waiting.why(record, around)
