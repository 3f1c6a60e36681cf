"""Files of the sandbox: the reserved host's demo files, and what was uploaded.

``https://media.sandbox.invalid/…`` exists nowhere (RFC 6761 reserves ``.invalid``), so a demo URL can never reach a
stranger. A gateway beside a sandbox maps that one host to ``/sandbox/media/…`` here, and the phones show that path.
"""

import mimetypes
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from kurir.sandbox.ids import Ids
from kurir.sandbox.wire import File

RESERVED_HOST = "media.sandbox.invalid"
LOCAL_PATH = "/sandbox/media/"
FOLDER = Path(__file__).with_name("media_files")

#: Uploads are kept in memory, the newest so many and so much; 50 MB is the largest that the Bot API takes.
MAX_UPLOADS = 50
MAX_UPLOAD = 50 * 1024 * 1024
MAX_UPLOADS_TOTAL = 256 * 1024 * 1024

#: What a browser may show from our origin. The rest are downloads: an uploaded page must not run scripts here.
_INLINE = ("image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "audio/")
_NOSNIFF = {"X-Content-Type-Options": "nosniff"}
_UNTRUSTED = _NOSNIFF | {"Content-Security-Policy": "default-src 'none'; sandbox"}

_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True, slots=True)
class Media:
    """A file that the sandbox holds, and the path that shows it."""

    name: str
    mime_type: str
    size: int
    url: str
    duration_ms: int | None = None


class Elsewhere(Enum):
    """What is known of a URL that is no file of ours."""

    MISSING = "missing"
    UNKNOWN = "unknown"


def _demo(name: str, mime_type: str, duration_ms: int | None = None) -> Media:
    return Media(name, mime_type, (FOLDER / name).stat().st_size, LOCAL_PATH + name, duration_ms)


#: Made by tools/make_media.sh.
DEMO_FILES: dict[str, Media] = {
    media.name: media
    for media in (
        _demo("demo.jpg", "image/jpeg"),
        _demo("demo.mp4", "video/mp4", 2000),
        _demo("demo.m4a", "audio/mp4", 3000),
        _demo("demo.ogg", "audio/ogg", 3000),
        _demo("demo.webp", "image/webp"),
        _demo("demo.pdf", "application/pdf"),
        _demo("demo.docx", _DOCX),
    )
}


def look_up(url: str) -> Media | Elsewhere:
    """Return the demo file behind *url*, MISSING on the reserved host without one, UNKNOWN on every other host.

    Only the reserved host is ever looked at: the sandbox fetches nothing from anywhere.
    """
    parts = _split(url)
    if parts is None or parts[0] != RESERVED_HOST:
        return Elsewhere.UNKNOWN
    return DEMO_FILES.get(parts[1].lstrip("/"), Elsewhere.MISSING)


def local(url: str) -> str:
    """Return *url* as a page may load it: the reserved host as a path of ours, anything else as it is."""
    parts = _split(url)
    if parts is None or parts[0] != RESERVED_HOST:
        return url
    return LOCAL_PATH + parts[1].lstrip("/")


def _split(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        return (parts.hostname or ""), parts.path
    except ValueError:
        return None


def is_web_url(url: object, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    """Return whether *url* is an absolute URL with a host and one of *schemes*."""
    if not isinstance(url, str) or any(character.isspace() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in schemes and bool(parts.hostname)
    except ValueError:
        return False


def mime_type_of(file: File) -> str:
    """Return the type that *file* declares, else the one that its name suggests."""
    declared = file.content_type.lower()
    if declared and declared != "application/octet-stream":
        return declared
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


class Uploads:
    """The files that clients sent, by id."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._kept: OrderedDict[str, tuple[Media, bytes]] = OrderedDict()

    def put(self, file: File, upload_id: str = "") -> tuple[str, Media]:
        """Keep *file* and return its id and its facts; the oldest go when there are too many."""
        upload_id = upload_id or self._ids.digits("upload", 16)
        media = Media(file.name, mime_type_of(file), len(file.content), f"{LOCAL_PATH}uploads/{upload_id}")
        self._kept[upload_id] = (media, file.content)
        while len(self._kept) > MAX_UPLOADS or sum(media.size for media, _ in self._kept.values()) > MAX_UPLOADS_TOTAL:
            self._kept.popitem(last=False)
        return upload_id, media

    def get(self, upload_id: str) -> Media | None:
        """Return the facts of an upload that is still kept."""
        found = self._kept.get(upload_id)
        return found[0] if found else None

    def content(self, upload_id: str) -> bytes | None:
        """Return the bytes of an upload that is still kept."""
        found = self._kept.get(upload_id)
        return found[1] if found else None

    def clear(self) -> None:
        """Forget all uploads."""
        self._kept.clear()

    async def serve(self, request: Request) -> Response:
        """Answer GET /sandbox/media/uploads/{id}."""
        found = self._kept.get(request.path_params["upload_id"])
        if found is None:
            return PlainTextResponse("This upload is not kept any more.", 404)
        media, content = found
        if media.mime_type.startswith(_INLINE):
            return Response(content, media_type=media.mime_type, headers=_UNTRUSTED)
        headers = _UNTRUSTED | {"Content-Disposition": "attachment"}
        return Response(content, media_type="application/octet-stream", headers=headers)


async def serve_demo(request: Request) -> Response:
    """Answer GET /sandbox/media/{name}."""
    media = DEMO_FILES.get(request.path_params["name"])
    if media is None:
        return PlainTextResponse("There is no such demo file.", 404)
    return FileResponse(FOLDER / media.name, media_type=media.mime_type, headers=_NOSNIFF)
