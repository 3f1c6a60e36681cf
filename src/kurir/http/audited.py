"""What the APIs change is noted in the audit, as what people do in the console is: by whom, from where, with what.

A route of the administrator that is not safe stands in :data:`OF_ADMINISTRATOR`, or the gateway does not start: nobody can
forget one. Of the clients' own routes those stand in :data:`OF_CLIENTS` that cannot be undone; the rest is in the log of
requests.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from fastapi import Request, Response

from kurir.console.auditing import ADMINISTRATOR, API, Audit
from kurir.store.base import StoreUnavailable

log = structlog.get_logger(__name__)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Noted:
    """How a route is noted. ``names`` are the parameters that name what was changed; none: the answer's ``member`` does."""

    action: str
    kind: str
    names: tuple[str, ...] = ()
    member: str = "id"


#: Method and path → how it is noted; None: it changes nothing.
OF_ADMINISTRATOR: Final[Mapping[tuple[str, str], Noted | None]] = {
    ("POST", "/v1/admin/accounts"): Noted("account_added", "account"),
    ("PATCH", "/v1/admin/accounts/{account_id}"): Noted("account_changed", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/pause"): Noted("account_paused", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/resume"): Noted("account_resumed", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/disable"): Noted("account_disabled", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/enable"): Noted("account_enabled", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/check"): None,
    ("POST", "/v1/admin/accounts/{account_id}/connect"): Noted("account_connected", "account", ("account_id",)),
    ("POST", "/v1/admin/accounts/{account_id}/templates/sync"): Noted("templates_read", "account", ("account_id",)),
    ("POST", "/v1/admin/clients"): Noted("client_added", "client"),
    ("PATCH", "/v1/admin/clients/{client_id}"): Noted("client_changed", "client", ("client_id",)),
    ("POST", "/v1/admin/clients/{client_id}/rotate-password"): Noted("password_rotated", "client", ("client_id",)),
    ("POST", "/v1/admin/clients/{client_id}/disable"): Noted("client_disabled", "client", ("client_id",)),
    ("POST", "/v1/admin/clients/{client_id}/enable"): Noted("client_enabled", "client", ("client_id",)),
    ("PUT", "/v1/admin/callbacks"): Noted("endpoint_changed", "endpoint"),
    ("DELETE", "/v1/admin/callbacks/{endpoint_id}"): Noted("endpoint_removed", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/callbacks/{endpoint_id}/pause"): Noted("endpoint_paused", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/callbacks/{endpoint_id}/resume"): Noted("endpoint_resumed", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/callbacks/{endpoint_id}/rotate"): Noted("secret_rotated", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/callbacks/{endpoint_id}/replay"): Noted("callback_replayed", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/callbacks/{endpoint_id}/test"): Noted("example_sent", "endpoint", ("endpoint_id",)),
    ("POST", "/v1/admin/webhooks/{number}/replay"): Noted("webhook_replayed", "webhook", ("number",)),
    ("DELETE", "/v1/admin/webhooks/{number}"): Noted("webhook_dropped", "webhook", ("number",)),
    ("POST", "/v1/admin/console/links"): Noted("link_made", "user", member="user"),
}
OF_CLIENTS: Final[Mapping[tuple[str, str], Noted]] = {
    ("DELETE", "/v1/contacts/{channel}/{address}"): Noted("contact_erased", "contact", ("channel", "account")),
}


def of_administrator(methods: set[str] | None, path: str) -> Noted | None:
    """Return how a route of the administrator is noted. Raises KeyError for one that is not safe and stands nowhere."""
    unsafe = [method for method in methods or () if method not in _SAFE]
    return OF_ADMINISTRATOR[unsafe[0], path] if unsafe else None


def of_client(methods: set[str] | None, path: str) -> Noted | None:
    """Return how a route of a client is noted; None: in the log of requests alone."""
    return next((OF_CLIENTS[one, path] for one in methods or () if (one, path) in OF_CLIENTS), None)


async def note(request: Request, response: Response, how: Noted, client_id: str = "") -> None:
    """Note what *request* did, by the administrator or by the client *client_id*. What failed is not noted.

    The change is durable already: where the audit cannot be written any more, that is said in the log, and the caller hears
    what became of the change.
    """
    if response.status_code >= 400:
        return
    audit: Audit = request.app.state.console.audit
    answer = _object(bytes(getattr(response, "body", b""))).get("data")
    data: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    given = dict(request.path_params) | dict(request.query_params)
    named = [str(given[name]) for name in how.names if given.get(name)]
    subject = "/".join(named) or str(data.get(how.member) or "")
    whose = client_id or str(data.get("client") or (subject if how.kind == "client" else ""))
    actor = client_id or ADMINISTRATOR
    address = request.client.host if request.client else ""
    after = _object(request.scope.get("state", {}).get("body", b""))
    try:
        await audit.note_by(actor, API, address, how.action, (how.kind, subject), client_id=whose, after=after)
    except StoreUnavailable as error:
        log.error("audit_not_written", action=how.action, subject=subject, error=str(error))  # noqa: TRY400 - a sentence


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
