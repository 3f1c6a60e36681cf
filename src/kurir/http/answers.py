"""The bodies of answers: the seed's envelope, and errors that are that envelope and RFC 9457 at once.

The seed's member names (``meta``, ``data``) and those of RFC 9457 (``type``, ``title``, ``status``, ``detail``, ``errors``)
do not collide at top level, so one body is both. Under ``/v1`` errors are RFC 9457 alone.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json

from kurir.domain.errors import ERRORS
from kurir.domain.problem import Problem

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"

#: How many problems an error lists: enough to mend them, and an answer that stays small.
MAXIMUM_PROBLEMS: Final = 200

_SUCCESS: Final = (
    to_json({"meta": {"status": True, "code": 200, "message": "OK", "errors": None}})[:-1] + b',"data":{"message_id":'
)

Headers = list[tuple[bytes, bytes]]


class RequestFailed(Exception):
    """A request ends with an error of the registry. ``headers`` go with the answer."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        entry = ERRORS[code]
        super().__init__(code)
        self.code = code
        self.status = entry.status or 500
        self.detail = detail or entry.cause
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def success(message_id: str, status: int, tid: str) -> bytes:
    """Return the seed's answer to an accepted send."""
    return b'%b%b,"status":%d,"tid":"%b"}}' % (_SUCCESS, to_json(message_id), status, tid.encode())


def failure(failed: RequestFailed, request_id: str, *, envelope: bool, base: str = "") -> bytes:
    """Return the body of an error. *envelope*: with the seed's ``meta`` and ``data``; *base* is the public URL's path."""
    entry = ERRORS[failed.code]
    phrase = HTTPStatus(failed.status).phrase
    body: dict[str, Any] = {
        "type": f"{base}/errors/{failed.code}",
        "title": entry.title,
        "status": failed.status,
        "detail": failed.detail,
        "instance": f"{base}/requests/{request_id}",
        "code": failed.code,
        "errors": [
            {"pointer": problem.pointer, "code": problem.code, "detail": problem.detail}
            for problem in _listed(failed.problems)
        ],
        **failed.extra,
    }
    if envelope:
        body["meta"] = {"status": False, "code": failed.status, "message": phrase, "errors": sentence(failed)}
        body["data"] = None
    return to_json(body)


def _listed(problems: Sequence[Problem]) -> Sequence[Problem]:
    """Return the problems that an error lists; the last one tells how many it does not."""
    more = len(problems) - MAXIMUM_PROBLEMS
    if more <= 0:
        return problems
    return [*problems[:MAXIMUM_PROBLEMS], Problem("", "more_problems", f"{more} more problems are not listed")]


def sentence(failed: RequestFailed) -> str:
    """Return the whole error as one readable string."""
    if not failed.problems:
        return f"{failed.detail} ({failed.code})"
    shown = "; ".join(f"{problem.detail} ({problem.pointer or '/'})" for problem in failed.problems[:20])
    more = len(failed.problems) - 20
    return shown + (f"; and {more} more" if more > 0 else "")
