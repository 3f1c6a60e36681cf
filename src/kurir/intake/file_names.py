"""What a file that came in is called when somebody saves it, and the header that says so (RFC 6266, RFC 8187).

The name is a stranger's: it may be a path, turn its letters round, or be one that a system keeps for itself. What stays of it
is a plain name; without one, or without an ending, the file's type gives it.
"""

import mimetypes
import re
import unicodedata
from pathlib import PurePath
from typing import Final
from urllib.parse import quote

#: Characters of a name. Most file systems take 255 bytes, and a letter may be four; browsers add " (1)" and their own.
LONGEST: Final = 60
#: What the platforms send and Python's table does not know, or knows by another ending than people do.
_ENDINGS: Final = {
    "application/x-tgsticker": ".tgs",
    "audio/3gpp": ".3gp",
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/m4a": ".m4a",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/x-m4a": ".m4a",
    "image/heic": ".heic",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}
#: Python's own table, without the one of the machine that it happens to run on.
_TYPES: Final = mimetypes.MimeTypes()
#: An ending as people write it. What follows a dot elsewhere ("v1. final") is none.
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,10}")
#: What Windows takes for something else, with or without an ending ("Naming Files, Paths, and Namespaces").
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def saved_as(name: str, mime_type: str) -> str:
    """Return the name for a file that the platform calls *name* ("" for not at all) and that is of *mime_type*."""
    plain = "".join("_" if _unseen(sign) else sign for sign in name.replace("\\", "/").rpartition("/")[2])
    plain = _FORBIDDEN.sub("_", plain).strip().lstrip(".").rstrip(". ")
    ending = PurePath(plain).suffix
    if not _ENDING.fullmatch(ending):
        ending = ""
    stem = plain.removesuffix(ending)[: LONGEST - len(ending)].rstrip(". ")
    stem = stem or "file"
    whole = stem + (ending or _ENDINGS.get(mime_type.lower()) or _TYPES.guess_extension(mime_type.lower()) or "")
    return f"_{whole}" if _RESERVED.fullmatch(whole) else whole


def disposition(name: str) -> str:
    """Return the value of ``Content-Disposition`` by which a browser saves a file as *name*, as :func:`saved_as` gave it.

    Whoever knows no ``filename*`` finds the name without what is not ASCII ("Recommendations", appendix D of RFC 6266).
    """
    simple = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    simple = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", simple).strip()
    if not simple.partition(".")[0]:
        simple = "file" + simple
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe='')}"


def _unseen(sign: str) -> bool:
    """Return whether *sign* is a control, turns what follows round, or is no character at all."""
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
