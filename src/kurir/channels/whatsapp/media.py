"""How a file that came in by WhatsApp is fetched: its id gives an address, and the address the file.

Source: Meta's page "Media: retrieve media URL, download media" (2025-12): ``GET /{media-id}`` answers {"messaging_product":
"whatsapp", "url": "https://lookaside.fbsbx.com/…", "mime_type": "image/jpeg", "sha256": "…", "file_size": 3030,
"id": "…"}. The address lives 5 minutes and is asked with the account's token; the id of a webhook lives 7 days. A file has
at most 100 MB, a bigger one comes as an error (131052) without id.
"""

import re
from typing import Final
from urllib.parse import quote

from kurir.channels.base import Answer, Call, InboundMedia
from kurir.channels.whatsapp.fields import string
from kurir.domain.account import WhatsAppSettings

_URL: Final = re.compile(r"(https?://([A-Za-z0-9.-]+)(?::[0-9]{1,5})?)/[!-\[\]-~]*")
#: Where Meta keeps files. Its pages show lookaside.fbsbx.com only; the others are Meta's hosts for files elsewhere.
_HOSTS: Final = ("fbsbx.com", "fbcdn.net", "whatsapp.net")


def next_call(settings: WhatsAppSettings, api_base: str, media: InboundMedia, answer: Answer | None) -> Call | None:
    """Return the call for the address of *media*, then the one for the file, then None.

    The token goes to Meta's hosts and to ``api_base`` only, whatever an answer says: a person may send a file that looks
    like the answer that names an address. For the same reason that answer must name the id that was asked for.
    """
    if answer is None:
        # The webhook's own address may be older than its five minutes; only without an id is there nothing better.
        if not media.id:
            return _file(settings, api_base, media.url)
        return _get(settings, f"{api_base}/{settings.api_version}/{quote(media.id, safe='')}")
    named = answer.json() if answer.status == 200 and media.id else None
    if named is None or string(named, "id") != media.id:
        return None
    return _file(settings, api_base, string(named, "url"))


def _file(settings: WhatsAppSettings, api_base: str, url: str) -> Call | None:
    match = _URL.fullmatch(url)
    if match is None:
        return None
    base, host = match[1].lower(), "." + match[2].lower()
    metas = base.startswith("https:") and any(host.endswith("." + one) for one in _HOSTS)
    return _get(settings, url, file=True) if metas or url.startswith(api_base.rstrip("/") + "/") else None


def _get(settings: WhatsAppSettings, url: str, *, file: bool = False) -> Call:
    return Call(1, "GET", url, (("Authorization", f"Bearer {settings.access_token}"),), {}, file=file)
