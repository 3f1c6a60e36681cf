"""The nodes, for the administrator: which processes work on the database, and what each of them owns."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from kurir.http import models, shown
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.store.postgres.leases import ACCOUNT, ENDPOINT, UPKEEP, NodeRecord

router = APIRouter(
    prefix="/v1/admin/nodes", route_class=AdminRoute, responses=models.ADMIN_FAILURES, tags=["Administration"]
)


class NodeBody(BaseModel):
    """A process of the gateway, and what it owns."""

    id: str
    host: str
    pid: int
    role: Literal["all", "api", "worker"]
    leaving: bool = Field(description="Whether it is handing over what it owns.")
    since: str = Field(description="When it started.")
    seen_at: str = Field(description="When it renewed what it owns last, by the database's clock.")
    accounts: list[str]
    endpoints: list[str] = Field(description="The callback endpoints that it calls, by id.")
    upkeep: bool = Field(description="Whether it ends what is overdue and deletes what retention has outlived.")


class NodesAnswer(BaseModel):
    """Every node, the oldest first."""

    data: list[NodeBody]
    next: str | None = None


@router.get("", response_model=NodesAnswer, summary="Every node, and what it owns")
async def list_nodes(request: Request) -> Shown:
    """Return every process that works on the database. On SQLite that is the one that answers."""
    return {"data": [_node(one) for one in await request.app.state.nodes()], "next": None}


def _node(one: NodeRecord) -> Shown:
    return {
        "id": one.id,
        "host": one.host,
        "pid": one.pid,
        "role": one.role,
        "leaving": one.leaving,
        "since": shown.time(one.since),
        "seen_at": shown.time(one.seen_at),
        "accounts": [name.removeprefix(ACCOUNT) for name in one.names if name.startswith(ACCOUNT)],
        "endpoints": [name.removeprefix(ENDPOINT) for name in one.names if name.startswith(ENDPOINT)],
        "upkeep": UPKEEP in one.names,
    }
