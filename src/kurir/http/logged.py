"""What goes into the log of requests (:mod:`kurir.console.requests`): each refusal as it leaves, each change that was made.

The id, the beginning, the client and the body of a request are noted in its scope as they become known.
"""

import time
from typing import Final

from starlette.types import Scope

from kurir import counting
from kurir.console.requests import KEPT_PROBLEMS, RequestLog, kept_body
from kurir.http.answers import RequestFailed
from kurir.store.access import RequestRecord

#: What is not logged: probes of the machine room, the browser's own pages, the platforms' calls (they have their quarantine).
_NOT_LOGGED: Final = frozenset(
    {
        "console",
        "livez",
        "readyz",
        "metrics",
        "static",
        "docs",
        "webhooks",
        "media",
        "errors",
        "requests",
        "favicon.ico",
        "",
    }
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST: Final = 300


def refused(scope: Scope, failed: RequestFailed) -> None:
    """Note that a request ends with an error."""
    counting.REFUSED.add(failed.code)
    _note(scope, failed.status, failed)


def done(scope: Scope, status: int) -> None:
    """Note that a request of the native API changed something."""
    if scope["method"] not in _SAFE and scope["path"].startswith("/v1/") and status < 400 and not _erases(scope):
        _note(scope, status, None)


def _erases(scope: Scope) -> bool:
    """Return whether a person is erased: then the log, which was cleared of them, must not name them. The audit has it."""
    parts = str(scope["path"]).strip("/").split("/")
    return scope["method"] == "DELETE" and parts[:2] == ["v1", "contacts"] and len(parts) == 4


def _note(scope: Scope, status: int, failed: RequestFailed | None) -> None:
    console = getattr(getattr(scope.get("app"), "state", None), "console", None)
    path = str(scope["path"])
    if console is None or path.removeprefix("/").partition("/")[0] in _NOT_LOGGED:
        return
    log: RequestLog = console.requests
    state = scope.get("state", {})
    client_id = str(state.get("client_id", ""))
    client = scope.get("client")
    body: bytes = state.get("body", b"") if client_id else b""  # of a stranger nothing is kept: it may hold a password
    log.note(
        RequestRecord(
            at=console.clock.now(),
            request_id=str(state.get("request_id", "")),
            client_id=client_id,
            method=str(scope["method"]),
            path=path.replace("\x00", "�")[:_LONGEST],
            status=status,
            code=failed.code if failed else "",
            detail=failed.detail.replace("\x00", "�")[:_LONGEST] if failed else "",
            problems=failed.problems[:KEPT_PROBLEMS] if failed else (),
            duration_us=round((time.perf_counter() - state.get("began", time.perf_counter())) * 1_000_000),
            address=client[0] if client else "",
            agent=_agent(scope).replace("\x00", "�"),
            body=kept_body(body),
        )
    )


def _agent(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return str(value[:_LONGEST], "latin-1")
    return ""
