"""A message as the platform's app would draw it: from the very request that the platform got, or would get.

The drawing is the sandbox's. Its files are served here, since in production there is no sandbox; the page never loads what a
message links to from anywhere but this origin (the policy of :mod:`kurir.http.console.route`).
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, Response

from kurir.channels.base import Call, Facts
from kurir.console.requested import message_of
from kurir.directory import Entry
from kurir.egress import masked_request
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, open_to_all
from kurir.sandbox import sketching
from kurir.sandbox.pages import BUBBLE_SCRIPT, STATIC, STYLES
from kurir.store.looking import Story

router = APIRouter(prefix="/console/bubble", route_class=ConsoleRoute, include_in_schema=False)

_KINDS: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Drawn:
    """What ``<kurir-bubble>`` draws. ``sent``: it is what a platform was asked for, else what it would be asked for."""

    data: dict[str, Any]
    sent: bool

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.data["bubbles"]


def of_story(story: Story, entry: Entry | None) -> Drawn:
    """Return the bubbles of a message. *entry* is its account, None where that is not enabled any more."""
    requests = {one.part: one.request for one in story.message.attempts if one.request}
    channel, at = story.message.channel, story.message.accepted_at.isoformat()
    if requests:
        bubbles = [each for _, one in sorted(requests.items()) for each in sketching.bubbles_of_request(channel, one)]
        return Drawn(sketching.as_json(tuple(bubbles), at=at), sent=True)
    message = message_of(story.body)
    if message is None or entry is None:
        return Drawn(sketching.as_json(()), sent=False)
    facts = Facts(tid=story.message.tid, address=story.message.address)
    return of_calls(channel, entry.channel.render(message, entry.account, facts).calls, at=at)


def of_calls(channel: str, calls: tuple[Call, ...], *, at: str = "") -> Drawn:
    """Return the bubbles of calls that were not made yet."""
    bubbles = [each for call in calls for each in sketching.bubbles_of_request(channel, masked_request(call))]
    return Drawn(sketching.as_json(tuple(bubbles), at=at), sent=False)


@dataclass(frozen=True, slots=True)
class Files:
    """The addresses of what draws bubbles, below the public URL's path."""

    styles: tuple[str, ...]
    script: str


@cache
def files() -> Files:
    """Return the files that a page with a bubble links to."""
    place = f"/console/bubble/{_tag()}/static"
    return Files(tuple(f"{place}/{name}" for name in STYLES), f"{place}/{BUBBLE_SCRIPT}")


@cache
def _contents() -> dict[str, tuple[bytes, str]]:
    return {
        one.name: (one.read_bytes(), _KINDS[one.suffix]) for one in sorted(STATIC.iterdir()) if one.suffix in _KINDS
    }


@cache
def _tag() -> str:
    """Return a tag that changes with any of the files: they load each other by their names."""
    digest = hashlib.sha256()
    for name, (content, _) in _contents().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:10]


@router.get("/{tag}/static/{name}")
@open_to_all
async def static(tag: str, name: str) -> Response:
    """Serve a file of the sandbox's drawing. Under an old tag the present file is served, and not kept."""
    found = _contents().get(name)
    if found is None:
        raise RequestFailed("not_found", "there is no such file")
    kept = _FOR_EVER if tag == _tag() else "no-cache"
    return Response(found[0], media_type=found[1], headers={"Cache-Control": kept})
