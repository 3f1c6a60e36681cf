"""A PostgreSQL URL as it may be shown: hosts and database, without user, password and options."""

import re
from typing import Final
from urllib.parse import parse_qs, unquote

_URL: Final = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]*)/(?P<name>[^/?#@]*)(?:\?(?P<query>[^#@]*))?"
)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^:,\[\]]*)(?::[0-9]*)?")


def place_of(url: str) -> str:
    """Return the hosts and the database of *url*, such as ``db.internal:5432/kurir``.

    Raises ValueError for what is no such URL, with a sentence that quotes nothing of it: what a parser takes for a host may
    be the end of a password.
    """
    match = _URL.fullmatch(url)
    hosts = [] if match is None else match["hosts"].split(",")
    if match is None or not match["name"] or not all(map(_HOST.fullmatch, hosts)):
        raise ValueError(
            "that is no postgresql://user:password@host:port/name; in a user name or password write / as %2F, @ as %40, "
            "# as %23, ? as %3F and : as %3A"
        )
    return f"{match['hosts'] or 'localhost'}/{match['name']}"


def hushed(text: str, url: str) -> str:
    """Return *text*, which somebody wrote about *url*, without its password."""
    match = _URL.fullmatch(url)
    if match is None:
        return text
    secrets = {(match["user"] or "").partition(":")[2], *parse_qs(match["query"] or "").get("password", [])}
    for secret in {one for each in secrets for one in (each, unquote(each)) if one}:
        text = text.replace(secret, "…")
    return text
