"""File URLs as LINE takes them: percent-encoded, and told apart by the kind of file behind them.

LINE wants host, path, query and fragment percent-encoded as UTF-8, and answers 400 to anything else (page "Messaging
API reference", section "Specify URL in request body property"). It shows JPEG and PNG, MP4, MP3 and M4A only (same
page, "Message objects"), and never says when it cannot: a file of another kind is answered with 200 and not shown.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from kurir.channels.base import MediaFacts
from kurir.domain.message import MessageType

#: What LINE shows of each type, by the file's extension and by its content type.
EXTENSIONS: Final = {
    MessageType.IMAGE: frozenset({"jpg", "jpeg", "png"}),
    MessageType.VIDEO: frozenset({"mp4"}),
    MessageType.AUDIO: frozenset({"mp3", "m4a"}),
    MessageType.VOICE: frozenset({"mp3", "m4a"}),
}
CONTENT_TYPES: Final = {
    MessageType.IMAGE: frozenset({"image/jpeg", "image/jpg", "image/png"}),
    MessageType.VIDEO: frozenset({"video/mp4"}),
    MessageType.AUDIO: frozenset({"audio/mpeg", "audio/mp3", "audio/mp4", "audio/m4a", "audio/x-m4a"}),
    MessageType.VOICE: frozenset({"audio/mpeg", "audio/mp3", "audio/mp4", "audio/m4a", "audio/x-m4a"}),
}

#: Extensions that tell a kind of media. Another one (``.php``, ``.1``) tells nothing: then the client's word is taken.
_MEDIA_EXTENSIONS: Final = frozenset().union(
    *EXTENSIONS.values(),
    ("gif", "webp", "bmp", "tif", "tiff", "svg", "heic", "heif", "avif", "ico"),
    ("mov", "avi", "mkv", "webm", "3gp", "wmv", "flv", "mpg", "mpeg", "m4v", "ogv"),
    ("ogg", "oga", "opus", "wav", "aac", "amr", "flac", "wma", "mid"),
)
_RESERVED: Final = "/?#[]@!$&'()*+,;=:%~"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def is_https(url: str) -> bool:
    """Return whether *url* is fetched by https."""
    return url[:8].lower() == "https://"


def encoded(url: str) -> str | None:
    """Return *url* with host, path, query and fragment encoded for LINE; None when its host cannot be one."""
    scheme, _, rest = url.partition("://")
    end = next((index for index, character in enumerate(rest) if character in "/?#\\"), len(rest))
    authority, tail = rest[:end], rest[end:]
    user, at, host = authority.rpartition("@")
    try:
        # Python's codec is IDNA 2003, which gives the same name for every host that both versions of IDNA know.
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return None
    if name.startswith(":") or not name.strip(".[]"):
        return None
    return f"{scheme.lower()}://{_quoted(user)}{at}{_quoted(name)}{_quoted(tail)}"


def _quoted(part: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", part), safe=_RESERVED)


def file_name(url: str) -> str:
    """Return the name of the file behind *url* as a person reads it; the host where the path has none."""
    rest = url.partition("://")[2]
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, _, name = path.partition("/")
    last = unquote(name.rstrip("/").rpartition("/")[2]).strip()
    return last or host.rpartition("@")[2]


def extension(url: str) -> str:
    """Return the extension of the file behind *url* in lower case, "" when it has none."""
    name = file_name(url)
    return name.rpartition(".")[2].lower() if "." in name else ""


def shows(kind: MessageType, url: str, facts: MediaFacts | None) -> bool:
    """Return whether LINE shows the file behind *url* as *kind*: false only where it is known to be something else."""
    given = extension(url)
    if given in _MEDIA_EXTENSIONS:
        return given in EXTENSIONS[kind]
    content_type = facts.content_type.partition(";")[0].strip().lower() if facts else ""
    if content_type.startswith(("image/", "video/", "audio/")):
        return content_type in CONTENT_TYPES[kind]
    return True
