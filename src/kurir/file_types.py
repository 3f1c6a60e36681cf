"""What a file is, by its first bytes: hosts name types wrongly, or ``application/octet-stream``, or send a page to log in at.

The bytes decide where they can: of a container that holds several types (ISO media, Ogg, ZIP) the host's word stands as
long as it is one of them. Sources: the WHATWG MIME Sniffing Standard for what browsers know; ISO/IEC 14496-12 (``ftyp``);
RFC 3533 (Ogg); ISO 32000 (PDF); the ID3v2 specification.
"""

from collections.abc import Callable
from typing import Final

#: First bytes that are enough.
ENOUGH: Final = 512

_Rule = tuple[Callable[[bytes], bool], str, tuple[str, ...]]


def _begins(*first: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(first)


def _is_mp3(head: bytes) -> bool:
    """Return whether a frame of MPEG audio, layer III, begins: its sync, a version, a layer, a bit rate that is one."""
    return len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 not in (0, 0xF0)


def _is_page(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head"))


_M4A: Final = ("audio/m4a", "audio/x-m4a", "audio/aac")
_MP3: Final = ("audio/mp3", "audio/x-mp")
#: Whether a file is of a kind, its type, and what a host may call it as well: a whole type, or how one begins.
_RULES: Final[tuple[_Rule, ...]] = (
    (_begins(b"\xff\xd8\xff"), "image/jpeg", ("image/jpg",)),
    (_begins(b"\x89PNG\r\n\x1a\n"), "image/png", ("image/apng",)),
    (_begins(b"GIF87a", b"GIF89a"), "image/gif", ()),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", "image/webp", ()),
    (lambda head: head[4:12] in (b"ftypM4A ", b"ftypM4B "), "audio/mp4", _M4A),
    (lambda head: head[4:11] == b"ftyp3gp", "video/3gpp", ("audio/3gpp",)),
    (lambda head: head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"), "image/heic", ("image/heif",)),
    (lambda head: head[4:12] == b"ftypavif", "image/avif", ()),
    (lambda head: head[4:8] == b"ftyp", "video/mp4", ("video/quicktime", "video/x-m4v", "audio/mp4", *_M4A)),
    (_begins(b"OggS"), "audio/ogg", ("audio/opus", "audio/vorbis", "video/ogg", "application/ogg")),
    (_begins(b"ID3"), "audio/mpeg", (*_MP3, "audio/aac", "audio/flac")),
    (_begins(b"#!AMR"), "audio/amr", ("audio/3gpp",)),
    (_begins(b"%PDF-"), "application/pdf", ()),
    (
        _begins(b"PK\x03\x04"),
        "application/zip",
        ("application/vnd.", "application/epub", "application/x-zip", "application/java"),
    ),
    (_is_page, "text/html", ("application/xhtml",)),
    (_is_mp3, "audio/mpeg", _MP3),
)


def content_type(head: bytes, declared: str) -> str:
    """Return the type of a file whose first bytes are *head*: *declared*, unless they say that it is another one."""
    said = declared.partition(";")[0].strip().lower()
    for fits, own, also in _RULES:
        if fits(head[:ENOUGH]):
            return declared if said == own or any(said.startswith(one) for one in also) else own
    return declared


def is_a_page_instead(kind: str, filename: str) -> bool:
    """Return whether a file of the type *kind* is a web page though its name ends as something else does."""
    ending = filename.rpartition(".")[2].lower() if "." in filename else ""
    return kind.partition(";")[0].strip().lower() == "text/html" and ending not in ("", "html", "htm", "xhtml")
