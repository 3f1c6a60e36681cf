"""What the four emulators share of HTTP: reading bodies with a cap, refusing in a platform's own words, media types.

The form parser is our own few lines, since kurir has no other use for one; it takes whole bodies, which the caps allow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse

JsonObject: TypeAlias = dict[str, Any]

#: The largest multipart body that is read at all: a file of 50 MB and its fields.
MAX_UPLOAD_BODY = 52 * 1024 * 1024


#: Objects and arrays within each other, so that nothing that walks a body can run out of stack.
MAX_NESTING = 60

#: A key of a request's scope: the recipient blocked the account, so that what is accepted is shown to nobody.
UNSEEN = "kurir.unseen"

#: The longest JSON that a bubble shows as text.
MAX_SHOWN = 4000


class RefusedError(Exception):
    """A request that the emulated platform refuses, with the platform's own status, body and headers."""

    def __init__(self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the refusal as the answer."""
        return JSONResponse(self.body, self.status, self.headers)


class TooLargeError(Exception):
    """A body beyond its cap."""


class UnreadableError(Exception):
    """A body that is not what its content type says."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a multipart body."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files of a body, whatever its encoding was."""

    fields: JsonObject = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of *request*; raises TooLargeError as soon as it passes *limit* bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(raw: bytes | str) -> Any:
    """Return the JSON value in *raw*; raises UnreadableError."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error
    # Nothing is nested deeper than it has brackets, and most bodies have few.
    if text.count("{") + text.count("[") <= MAX_NESTING:
        return value
    level, depth = [value], 0
    while level and depth <= MAX_NESTING:
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    if level:
        raise UnreadableError("nested too deeply")
    return value


async def read_form(request: Request, *, limit: int, upload_limit: int = MAX_UPLOAD_BODY) -> Form:
    """Return the fields of a JSON, urlencoded or multipart body, query parameters first.

    *limit* caps all fields together, *upload_limit* a multipart body with its files.
    """
    content_type = request.headers.get("content-type", "")
    multipart = content_type.lstrip().lower().startswith("multipart/form-data")
    raw = await read_body(request, upload_limit if multipart else limit)
    return parse_form(raw, content_type, dict(request.query_params), limit=limit)


def parse_form(raw: bytes, content_type: str, fields: JsonObject, *, limit: int) -> Form:
    """Return *fields* and those of the body *raw*; raises UnreadableError, TooLargeError beyond *limit* bytes of fields."""
    # Most bodies are plain JSON, and the email parser is slow.
    if content_type == "application/json":
        return Form(fields | _object(raw))
    kind = Message()
    kind["Content-Type"] = content_type
    if kind.get_content_type() == "multipart/form-data":
        return _multipart(raw, str(kind.get_param("boundary", "")), fields, limit)
    if kind.get_content_type() == "application/json":
        return Form(fields | _object(raw))
    if kind.get_content_type() == "application/x-www-form-urlencoded":
        try:
            return Form(fields | dict(parse_qsl(raw.decode(), keep_blank_values=True)))
        except ValueError as error:
            raise UnreadableError(str(error)) from error
    return Form(fields)


def _object(raw: bytes) -> JsonObject:
    value = parse_json(raw) if raw.strip() else {}
    if not isinstance(value, dict):
        raise UnreadableError("an object is expected")
    return value


def _multipart(raw: bytes, boundary: str, fields: JsonObject, limit: int) -> Form:
    """Parse multipart/form-data (RFC 7578)."""
    if not boundary:
        raise UnreadableError("no boundary")
    form = Form(fields)
    size = 0
    for part in (b"\r\n" + raw).split(b"\r\n--" + boundary.encode())[1:]:
        if part.startswith(b"--"):
            return form
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            raise UnreadableError("a part without a head")
        headers = _part_headers(head)
        name = headers.get_param("name", "", header="content-disposition")
        file_name = headers.get_filename()
        if file_name is None:
            size += len(content)
            if size > limit:
                raise TooLargeError
            form.fields[str(name)] = content.decode(errors="replace")
        else:
            declared = headers.get_content_type() if headers["content-type"] else ""
            form.files[str(name)] = File(file_name, declared, content)
    raise UnreadableError("the last boundary is missing")


def _part_headers(head: bytes) -> Message:
    message = Message()
    for line in head.decode(errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            message[name.strip()] = value.strip()
    return message


def shown_json(value: Any) -> str:
    """Return *value* as JSON for a person to read, cut where it gets too long."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " …"


def utf16(text: str) -> int:
    """Return the length of *text* in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
