"""Messages as lines of a file: CSV for spreadsheets, JSON lines for programs. Pure."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Final

from kurir.console import masking, requested
from kurir.store.base import MessageRecord

#: Messages of one file, at most.
MOST: Final = 50_000
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson; charset=utf-8"}
COLUMNS: Final = (
    "tid",
    "id",
    "client",
    "account",
    "channel",
    "recipient",
    "type",
    "status",
    "status_name",
    "error",
    "provider_code",
    "accepted_at",
    "text",
)
#: What makes a spreadsheet take a text for a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def row(record: MessageRecord, body: bytes, *, masked: bool) -> dict[str, Any]:
    """Return a message as it is exported. *masked*: neither whom it was to nor what it says."""
    message = requested.message_of(body)
    text = message.text if message is not None else ""
    return {
        "tid": record.tid,
        "id": record.message_id,
        "client": record.client_id,
        "account": record.account_id,
        "channel": record.channel,
        "recipient": masking.phone(record.recipient) if masked else record.recipient,
        "type": record.type,
        "status": int(record.status),
        "status_name": record.status.name.lower(),
        "error": record.error.code if record.error else "",
        "provider_code": record.error.provider_code if record.error else "",
        "accepted_at": record.accepted_at.isoformat().replace("+00:00", "Z"),
        "text": masking.words(text) if masked else text,
    }


def head(kind: str) -> str:
    """Return how a file begins. Spreadsheets take a CSV for UTF-8 only where it says so."""
    return "\ufeff" + _csv_line(COLUMNS) if kind == "csv" else ""


def line(kind: str, values: Mapping[str, Any]) -> str:
    """Return a message as a line of a file."""
    if kind == "csv":
        return _csv_line([_plain(values[name]) for name in COLUMNS])
    return json.dumps(values, ensure_ascii=False) + "\n"


def more(kind: str, before: str) -> str:
    """Return the last line of a file that does not have everything: it says so, and down to when it looked."""
    said = f"not everything: at most {MOST} messages are in a file; go on with until:{before}"
    return _csv_line([said]) if kind == "csv" else json.dumps({"not_everything": said}) + "\n"


def _plain(value: Any) -> Any:
    """Return a value that no spreadsheet calculates with: a text that could be a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv_line(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue()
