"""``/metrics``: what the store, the workers and this process tell, looked up when it is asked for.

It wants a token of its own, since it names accounts and tells how much they send. What the store is asked is kept for some
seconds, so that many who ask cost it no more than one. A store that does not answer takes its own numbers away, and no others.
"""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from kurir import __version__, metrics
from kurir.callbacks import ladder
from kurir.connect.heard import LastWebhooks
from kurir.counting import Labels
from kurir.delivery.attempts import NAMES
from kurir.delivery.state import Standing
from kurir.directory import Directory
from kurir.http import models
from kurir.http.edge import admit_watcher
from kurir.http.operator import Operator
from kurir.metrics import Values
from kurir.settings import PostgresUrl, Settings
from kurir.store import GatewayStore
from kurir.store.base import StoreError

router = APIRouter(tags=["Operations"])

#: How long the store's numbers are told again, and how long it may take to tell them, in seconds.
KEPT_SECONDS: Final = 5.0
STORE_SECONDS: Final = 5.0

_STANDINGS: Final = tuple(one.value for one in Standing if one is not Standing.DISABLED)
_ENDPOINT_STANDINGS: Final = tuple(one.value for one in ladder.Standing if one is not ladder.Standing.DISABLED)
_OF_SENDS: Final = ("accepted", "replayed", "conflict")
_OF_WEBHOOKS: Final = ("taken", "rejected", "not_stored")
_OF_CALLS: Final = tuple(sorted(set(NAMES.values())))
_STARTED: Final = time.time()


@dataclass(slots=True)
class Stored:
    """What the store told last, and when (monotonic)."""

    told: dict[str, Values] = field(default_factory=dict)
    at: float = float("-inf")
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.SendFailure, "description": text}
    for status, text in {
        401: "The token is missing or wrong, or none is configured",
        429: "Too many wrong tokens",
    }.items()
}


@router.get(
    "/metrics", response_class=Response, responses=_FAILURES, summary="What there is to measure, for Prometheus"
)
async def show_metrics(request: Request) -> Response:
    """Return every metric as Prometheus reads it. It takes the `metrics_token`, else the `admin_token`."""
    admit_watcher(request.app.state.edge, request.scope)
    settings: Settings | None = request.app.state.console.settings
    assert settings is not None, "the gateway told them"  # noqa: S101 - narrows the type
    stored = await _stored(request.app.state)
    found: dict[str, Values] = {
        **metrics.counted(_expected(request.app.state)),
        **stored,
        "kurir_store_read": [((), float(bool(stored)))],
        **_of_accounts(request.app.state),
        **_of_process(request.app.state, settings),
        **await asyncio.to_thread(_of_machine, settings.data_folder),
        "kurir_ready": [((), float(not await request.app.state.readiness()))],
    }
    many = settings.processes > 1
    content = metrics.text(found, {"process": str(os.getpid())} if many else None)
    # Behind a shared port another process is to be met the next time.
    return Response(content, headers={"Content-Type": metrics.CONTENT_TYPE} | ({"Connection": "close"} if many else {}))


def _expected(state: Any) -> dict[str, list[Labels]]:
    """Return what may be counted of the channels that accounts are on, and of the accounts that this process owns."""
    directory: Directory = state.directory
    operator: Operator = state.operator()
    accounts = [(name, entry.account.channel) for name, entry in directory.accounts().items()]
    channels = sorted({channel for _, channel in accounts})
    return {
        "kurir_sends_total": [(channel, result) for channel in channels for result in _OF_SENDS],
        "kurir_webhooks_total": [(channel, result) for channel in channels for result in _OF_WEBHOOKS],
        "kurir_calls_total": [(*one, result) for one in accounts if operator.owns(one[0]) for result in _OF_CALLS],
    }


async def _stored(state: Any) -> dict[str, Values]:
    """Return what the store tells, {} where it does not."""
    kept: Stored = state.stored_metrics
    async with kept.asking:
        if time.monotonic() - kept.at >= KEPT_SECONDS:
            told: dict[str, Values] = {}
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(STORE_SECONDS):
                    found = {**await _of_queues(state), **await _of_endpoints(state)}
                    told = {**found, "kurir_nodes": [((), float(len(await state.nodes())))]}
            kept.told, kept.at = told, time.monotonic()
        return kept.told


async def _of_queues(state: Any) -> dict[str, Values]:
    """Every enabled account has its queue told, an empty one too: what is absent raises no alert."""
    directory: Directory = state.directory
    store: GatewayStore = state.store
    now: datetime = state.clock.now()
    depths = {one.account_id: one for one in await store.depths()}
    messages, oldest = [], []
    for name, entry in directory.accounts().items():
        labels, depth = (name, entry.account.channel), depths.get(name)
        messages.append((labels, float(depth.messages if depth else 0)))
        oldest.append((labels, _age(depth.oldest_at if depth else None, now)))
    return {"kurir_queue_messages": messages, "kurir_queue_oldest_seconds": oldest}


async def _of_endpoints(state: Any) -> dict[str, Values]:
    store: GatewayStore = state.store
    now: datetime = state.clock.now()
    names = ("callbacks_owed", "callbacks_failed", "callbacks_oldest_seconds", "endpoint_standing")
    found: dict[str, list[tuple[Labels, float]]] = {f"kurir_{name}": [] for name in names}
    for listed in await store.all_endpoints():
        endpoint = await store.endpoint(listed.id) if listed.record.enabled else None
        if endpoint is None:
            continue
        labels = (endpoint.id, endpoint.record.client_id)
        found["kurir_callbacks_owed"].append((labels, float(endpoint.pending)))
        found["kurir_callbacks_failed"].append((labels, float(endpoint.failed)))
        found["kurir_callbacks_oldest_seconds"].append((labels, _age(endpoint.oldest_at, now)))
        standing, _, _ = ladder.standing(state.endpoints().standing(endpoint), enabled=True)
        found["kurir_endpoint_standing"] += metrics.one_of(labels, _ENDPOINT_STANDINGS, standing)
    return dict(found)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _of_accounts(state: Any) -> dict[str, Values]:
    """What the owner of an account knows of it, so that no two nodes contradict each other."""
    directory: Directory = state.directory
    operator: Operator = state.operator()
    heard: LastWebhooks = state.heard
    standing, in_flight, window, share, last = [], [], [], [], []
    for name, entry in directory.accounts().items():
        labels = (name, entry.account.channel)
        at = heard.last(name)
        if at is not None:
            last.append((labels, at.timestamp()))
        if not operator.owns(name):
            continue
        now = operator.state(name)
        standing += metrics.one_of(labels, _STANDINGS, now.standing)
        in_flight.append((labels, float(now.in_flight)))
        window.append((labels, float(now.window)))
        share.append((labels, now.rate_share))
    return {
        "kurir_account_standing": standing,
        "kurir_account_in_flight": in_flight,
        "kurir_account_window": window,
        "kurir_account_rate_share": share,
        "kurir_webhook_last_timestamp_seconds": last,
    }


def _of_process(state: Any, settings: Settings) -> dict[str, Values]:
    store: GatewayStore = state.store
    engine = "PostgreSQL" if isinstance(settings.database, PostgresUrl) else "SQLite"
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "kurir_info": [((__version__, engine, settings.role), 1.0)],
        "kurir_store_ok": [((), float(store.health() is None))],
        "process_cpu_seconds_total": [((), round(used.ru_utime + used.ru_stime, 2))],
        "process_start_time_seconds": [((), round(_STARTED, 2))],
    }


def _of_machine(folder: Path) -> dict[str, Values]:
    """Look at the disk and at /proc; what is not there is not told."""
    found: dict[str, Iterable[tuple[Labels, float]]] = {}
    with suppress(OSError):
        usage = shutil.disk_usage(folder)
        found["kurir_disk_free_bytes"] = [((), float(usage.free))]
        found["kurir_disk_size_bytes"] = [((), float(usage.total))]
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        found["process_resident_memory_bytes"] = [((), float(pages * os.sysconf("SC_PAGE_SIZE")))]
        found["process_open_fds"] = [((), float(len(list(Path("/proc/self/fd").iterdir()))))]
    return found
