"""Every route of a running gateway, and what to put into each place of it where somebody else's thing could be named.

The routes come from the application itself. A route, a place in a path, a parameter of a query or a body that the tables below
do not know makes the walk fail: whoever adds one says here what a stranger would put there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import quote

from fastapi.routing import APIRoute
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kurir.gateway import Gateway

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

#: Names of places, in paths, queries and bodies, that name nobody's thing: one value for all.
PLAIN = {
    "channel": "telegram",
    "tag": "0",
    "code": "missing",
    "path": "nowhere",
    "next": "/console",
    "token": "T" * 43,
    "limit": "50",
    "wait": "0",
    "type": "text",
    "state": "",
    "status": "",
    "standing": "",
    "language": "en_US",
    "act": "text",
    "kind": "message.received",
    "upload_id": "1",
}
#: Places that mean another thing on some routes: the beginning of the path, and the name of the thing.
ELSEWHERE = {
    ("/console/templates/", "name"): "template",
    ("/console/templates/", "account_id"): "whatsapp_account",
    ("/console/contacts", "after"): "people_cursor",
    ("/console/callbacks", "after"): "endpoint_id",
    ("/v1/messages", "after"): "messages_cursor",
    ("/v1/contacts", "after"): "contacts_cursor",
    ("/v1/events", "after"): "position",
    ("/v1/messages", "id"): "message_id",
    ("/v1/messages", "status"): "number_of_status",
    ("/console/callbacks", "before"): "position",
    ("/console/callbacks", "client"): "client_id",
    ("/v1/admin/callbacks", "client"): "client_id",
    ("/console/templates", "account"): "account_id",
    ("/console/contacts", "account"): "account_id",
    ("/v1/contacts", "account"): "account_id",
    ("/media/", "number"): "file_number",
    ("/media/", "position"): "media_position",
    ("/v1/admin/", "after"): "position",
    ("/v1/admin/", "account"): "account_id",
    ("/v1/admin/", "client"): "client_id",
    ("/v1/admin/", "before"): "position",
}
#: What holds nothing of anybody: files, the door, health, the reference. (method, path)
OPEN = frozenset(
    {
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/static/{name}"),
        ("GET", "/errors"),
        ("GET", "/errors/{code}"),
        ("GET", "/console/static/{tag}/{name:path}"),
        ("GET", "/console/bubble/{tag}/static/{name}"),
        ("GET", "/console/sign-in"),
        ("POST", "/console/sign-in"),
        ("GET", "/console/enter"),
        ("POST", "/console/enter"),
        ("POST", "/console/language"),
        ("GET", "/requests/{request_id}"),
    }
)

#: What opens to the administrator's token, and to a client's credentials, by the beginning of the path.
ADMINISTRATORS = ("/v1/admin/", "/metrics")
CLIENTS = ("/v1/", "/{channel}/")

#: What a search of the console may be asked, with the things that it could find.
_SEARCHES = [
    {"q": word}
    for word in (
        "",
        "{tid}",
        "{message_id}",
        "{phone}",
        "{text}",
        "to:{phone}",
        "client:{client_id}",
        "account:{account_id}",
        "id:{message_id}",
        "platform:{platform_id}",
        "status:failed",
    )
]
#: Those of them that each act on what is found in another way; what a search finds is the list's to show.
_FEW = [{"q": word} for word in ("", "{tid}", "to:{phone}", "client:{client_id}")]
#: Queries that a route reads by itself, beside those that it declares.
QUERIES: Mapping[str, Sequence[Mapping[str, str]]] = {
    "/console/messages": [*_SEARCHES, {"before": "{seq}"}, {"client": "{client_id}"}, {"account": "{account_id}"}],
    "/console/messages/new": [{"account": "{account_id}", "recipient": "{address}"}],
    "/console/requests": [{}, {"client": "{client_id}"}, {"client": "-"}, {"code": "invalid_message"}, {"before": "9"}],
    "/console/accounts": [{}, {"client": "{client_id}"}, {"channel": "telegram"}, {"standing": "working"}],
    "/console": [{}, {"range": "7d"}],
    "/console/callbacks/{endpoint_id}/replay": [{}, {"which": "all"}],
}

#: The bodies of the routes that take one: JSON below /v1 and for sends, forms below /console. Each is a list of them.
BODIES: Mapping[tuple[str, str], Sequence[Any]] = {
    ("POST", "/{channel}/send/{client_id}"): [
        {
            "id": "{message_id}",
            "recipient": "tg:{address}",
            "type": "text",
            "body": {"text": "x"},
            "account": "{account_id}",
        }
    ],
    ("POST", "/{channel}/preview/{client_id}"): [
        {
            "id": "{message_id}",
            "recipient": "tg:{address}",
            "type": "text",
            "body": {"text": "x"},
            "account": "{account_id}",
        }
    ],
    ("POST", "/v1/messages/{tid}/cancel"): [None],
    ("POST", "/v1/messages/{tid}/retry"): [None],
    ("PUT", "/v1/contacts/{channel}/{address}"): [
        {"phone": "{phone}", "account": "{account_id}"},
    ],
    ("DELETE", "/v1/contacts/{channel}/{address}/phone"): [None],
    ("DELETE", "/v1/contacts/{channel}/{address}"): [None],
    ("POST", "/v1/contacts/links"): [{"channel": "telegram", "account": "{account_id}", "phone": "{phone}"}],
    ("POST", "/v1/admin/accounts/{account_id}/pause"): [None],
    ("POST", "/v1/admin/accounts/{account_id}/resume"): [None],
    ("POST", "/v1/admin/accounts"): [{"client": "{client_id}", "channel": "telegram", "id": "{account_id}"}],
    ("PATCH", "/v1/admin/accounts/{account_id}"): [{"concurrency": 1}],
    ("POST", "/v1/admin/accounts/{account_id}/disable"): [None],
    ("POST", "/v1/admin/accounts/{account_id}/enable"): [None],
    ("POST", "/v1/admin/clients"): [{"id": "{client_id}"}],
    ("PATCH", "/v1/admin/clients/{client_id}"): [{"max_age": "1h"}],
    ("POST", "/v1/admin/clients/{client_id}/rotate-password"): [None, {"overlap_seconds": 0}],
    ("POST", "/v1/admin/clients/{client_id}/disable"): [None],
    ("POST", "/v1/admin/clients/{client_id}/enable"): [None],
    ("POST", "/v1/admin/console/links"): [{"user": "{user_name}"}],
    ("POST", "/v1/admin/accounts/{account_id}/check"): [None],
    ("POST", "/v1/admin/accounts/{account_id}/connect"): [None],
    ("POST", "/v1/admin/accounts/{account_id}/templates/sync"): [None],
    ("PUT", "/v1/admin/callbacks"): [{"client": "{client_id}", "url": "https://elsewhere.example/hook"}],
    ("DELETE", "/v1/admin/callbacks/{endpoint_id}"): [None],
    ("POST", "/v1/admin/callbacks/{endpoint_id}/pause"): [None],
    ("POST", "/v1/admin/callbacks/{endpoint_id}/resume"): [None],
    ("POST", "/v1/admin/callbacks/{endpoint_id}/rotate"): [None],
    ("POST", "/v1/admin/callbacks/{endpoint_id}/replay"): [{"failed_only": True}],
    ("POST", "/v1/admin/callbacks/{endpoint_id}/test"): [None],
    ("POST", "/v1/admin/webhooks/{number}/replay"): [None],
    ("DELETE", "/v1/admin/webhooks/{number}"): [None],
    ("POST", "/webhooks/{account_id}"): [{"update_id": 1}],
    ("POST", "/console/sign-in"): [{"name": "{user_name}", "password": "not the password"}],
    ("POST", "/console/enter"): [{"token": "{token}"}],
    ("POST", "/console/sign-out"): [{}],
    ("POST", "/console/language"): [{"language": "en"}],
    ("POST", "/console/me/password"): [{"name": "{user_name}", "password": "short"}],
    ("POST", "/console/me/totp"): [{"secret": "A" * 32, "code": "000000"}],
    ("POST", "/console/me/sessions/{session_id}/end"): [{}],
    ("POST", "/console/messages/bulk"): [
        {"action": "retry", "pick": "{tid}"},
        *({"action": "retry", "all": "1", **one} for one in _FEW),
    ],
    ("POST", "/console/messages/bulk/do"): [
        {"action": "retry", "pick": "{tid}"},
        {"action": "cancel", "pick": "{tid}"},
        *({"action": "retry", "all": "1", "up_to": "999999", **one} for one in _FEW),
    ],
    ("POST", "/console/messages/export"): [{"format": "jsonl", "plain": "1", **one} for one in _FEW],
    ("POST", "/console/messages/new"): [
        {"account": "{account_id}", "recipient": "tg:{address}", "type": "text", "text": "x", "id": "x", "preview": "1"}
    ],
    ("POST", "/console/messages/{tid}/retry"): [{}],
    ("POST", "/console/messages/{tid}/cancel"): [{}],
    ("POST", "/console/messages/{tid}/to-sandbox"): [{}],
    ("POST", "/console/callbacks/new"): [
        {"client": "{client_id}", "url": "{endpoint_url}", "dialect": "standard", "events": "*"}
    ],
    ("POST", "/console/callbacks/{endpoint_id}/change"): [{"dialect": "standard", "events": "*"}],
    ("POST", "/console/callbacks/{endpoint_id}/rotate"): [{"overlap": "0"}],
    ("POST", "/console/callbacks/{endpoint_id}/delete"): [{}],
    ("POST", "/console/callbacks/{endpoint_id}/pause"): [{}],
    ("POST", "/console/callbacks/{endpoint_id}/resume"): [{}],
    ("POST", "/console/callbacks/{endpoint_id}/deliveries/{position}/replay"): [{}],
    ("POST", "/console/callbacks/{endpoint_id}/replay"): [{"which": "all"}],
    ("POST", "/console/callbacks/{endpoint_id}/example"): [{"kind": "message.received"}],
    ("POST", "/console/contacts/links"): [
        {"account": "{account_id}", "phone": "6280000000002"},
        {"account": "other-tg", "person": "{reference}"},
    ],
    ("POST", "/console/contacts/{reference}/link"): [{"phone": "6280000000003"}],
    ("POST", "/console/contacts/{reference}/unlink"): [{}],
    ("POST", "/console/contacts/{reference}/erase"): [{}],
    ("POST", "/console/templates/{account_id}/sync"): [{}],
    ("POST", "/console/webhooks/{number}/replay"): [{}],
    ("POST", "/console/webhooks/{number}/drop"): [{}],
    ("POST", "/console/accounts/new/{channel}"): [{"id": "{account_id}", "client": "{client_id}"}],
    ("POST", "/console/accounts/{account_id}/settings"): [{"concurrency": "1"}],
    ("POST", "/console/accounts/{account_id}/pause"): [{}],
    ("POST", "/console/accounts/{account_id}/resume"): [{}],
    ("POST", "/console/accounts/{account_id}/disable"): [{}],
    ("POST", "/console/accounts/{account_id}/enable"): [{}],
    ("POST", "/console/accounts/{account_id}/check"): [{}],
    ("POST", "/console/accounts/{account_id}/connect"): [{}],
    ("POST", "/console/clients/new"): [{"id": "{client_id}"}],
    ("POST", "/console/clients/{client_id}"): [{"max_age": "1h"}],
    ("POST", "/console/clients/{client_id}/rotate"): [{"overlap": "0"}],
    ("POST", "/console/clients/{client_id}/disable"): [{}],
    ("POST", "/console/clients/{client_id}/enable"): [{}],
    ("POST", "/console/reveal"): [
        {"kind": "message", "id": "{tid}", "next": "/console/messages/{tid}"},
        {"kind": "contact", "id": "{reference}", "next": "/console/contacts/{reference}"},
    ],
    ("POST", "/console/users"): [{"name": "{user_name}", "role": "owner"}],
    ("POST", "/console/users/{user_id}"): [{"name": "{user_name}", "role": "owner"}],
    ("POST", "/console/users/{user_id}/disable"): [{}],
    ("POST", "/console/users/{user_id}/enable"): [{}],
    ("POST", "/console/users/{user_id}/remove"): [{}],
    ("POST", "/console/users/{user_id}/link"): [{}],
    ("POST", "/console/users/{user_id}/sessions/end"): [{}],
    ("POST", "/console/users/{user_id}/totp/reset"): [{}],
}

#: The sandbox inside the console is one thing as a whole, behind one guard: a request of each route, whatever its body.
_PLACE = re.compile(r"\{([a-z_]+)(?::[a-z]+)?\}")


class Unknown(Exception):
    """The tables do not say what to put somewhere."""


@dataclass(frozen=True)
class Door:
    """A route of the application, as it stands in its table. ``right`` is what the console asks for, "" elsewhere."""

    method: str
    path: str
    queries: tuple[str, ...] = ()
    right: str = ""
    mounted: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Ask:
    """One request: to a door, with values for the places in it."""

    door: Door
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any


def doors(gateway: Gateway) -> Iterator[Door]:
    """Yield every route of the application, those of the routers that it includes and of what is mounted in it too."""
    yield from _doors(gateway.app.routes, "")


def _doors(routes: Sequence[Any], place: str) -> Iterator[Door]:
    for one in routes:
        router = getattr(one, "original_router", None)  # as FastAPI keeps a router that was included
        if router is not None:
            yield from _doors(router.routes, place)
        elif isinstance(one, Mount) and isinstance(one.app, StaticFiles):
            yield Door("GET", f"{place}{one.path}/{{path:path}}", mounted=bool(place))
        elif isinstance(one, Mount):
            yield from _doors(_inside(one.app), place + one.path)
        elif isinstance(one, APIRoute | Route):
            right = getattr(one.endpoint, "right", None)
            queries = tuple(field.name for field in one.dependant.query_params) if isinstance(one, APIRoute) else ()
            for method in sorted((one.methods or set()) - {"HEAD"}):
                yield Door(method, place + one.path, queries, right.value if right else "", bool(place))
        else:
            raise Unknown(f"a route of a new kind: {one!r}")


def _inside(mounted: Any) -> Sequence[Any]:
    """Return the routes of a mounted application, behind whatever guards it."""
    while not hasattr(mounted, "routes"):
        mounted = mounted._control  # the guard of the sandbox
    return list(mounted.routes)


def asks(door: Door, names: Mapping[str, str]) -> Iterator[Ask]:
    """Yield the requests to a door in which each place has its value of *names*. Raises Unknown."""

    def thing(found: str) -> str:
        for (begin, name), other in ELSEWHERE.items():
            if found == name and door.path.startswith(begin):
                return other
        return found

    def value(found: str) -> str:
        known = {**PLAIN, **names}
        if (what := thing(found)) not in known:
            raise Unknown(f"{door} has a place {{{found}}} that support/walking.py does not know")
        return known[what]

    def filled(given: Any) -> Any:
        if isinstance(given, str):
            return _PLACE.sub(lambda place: value(place[1]), given)
        if isinstance(given, Mapping):
            return {key: filled(one) for key, one in given.items()}
        return given

    path = _PLACE.sub(lambda place: quote(value(place[1]), safe="/" if ":path" in place[0] else ""), door.path)
    declared = [{name: f"{{{name}}}"} for name in door.queries]
    queries = [*QUERIES.get(door.path, [{}]), *declared] if door.method in SAFE else [{}, *declared]
    if door.method in SAFE or door.mounted:
        bodies: Sequence[Any] = [None]
    elif (door.method, door.path) not in BODIES:
        raise Unknown(f"{door} takes a body that support/walking.py does not know")
    else:
        bodies = BODIES[door.method, door.path]
    for query, body in product(queries, bodies):
        yield Ask(door, path, tuple(filled(query).items()), filled(body))


def places(door: Door) -> frozenset[str]:
    """Return the places of a door in which a name stands that may be somebody's."""
    texts = [door.path, str(BODIES.get((door.method, door.path), "")), str(QUERIES.get(door.path, ""))]
    found = {place for text in texts for place in _PLACE.findall(text)} | set(door.queries)
    return frozenset(found - set(PLAIN))
