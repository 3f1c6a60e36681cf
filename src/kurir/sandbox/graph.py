"""What WhatsApp and Messenger share as parts of Meta's Graph API: tokens, versions, the error object, strict objects.

The error shape and the codes are those of https://developers.facebook.com/docs/graph-api/guides/error-handling.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request

from kurir.sandbox.ids import Ids
from kurir.sandbox.wire import JsonObject, RefusedError, TooLargeError, UnreadableError, parse_json, read_body, utf16

#: Graph refuses longer JSON bodies; every message of the two platforms fits many times.
MAX_JSON = 1024 * 1024


class GraphErrors:
    """Makes refusals in Graph's shape."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def refusal(
        self,
        code: int,
        message: str,
        *,
        status: int = 400,
        subcode: int | None = None,
        details: str = "",
        product: str = "",
        kind: str = "OAuthException",
    ) -> RefusedError:
        """Return a refusal; *details* and *product* make WhatsApp's ``error_data``."""
        error: JsonObject = {"message": message, "type": kind, "code": code}
        if details:
            error["error_data"] = (
                {"messaging_product": product, "details": details} if product else {"details": details}
            )
        if subcode is not None:
            error["error_subcode"] = subcode
        error["fbtrace_id"] = self._ids.text("trace", 27)
        return RefusedError(status, {"error": error})

    def parameter(self, text: str, subcode: int | None = None) -> RefusedError:
        """Return the refusal of a parameter: code 100."""
        return self.refusal(100, f"(#100) {text}", subcode=subcode)

    def unknown_object(self, method: str, node: str) -> RefusedError:
        """Return the refusal of an object that does not exist or is not the token's: code 100, subcode 33."""
        return self.refusal(
            100,
            f"Unsupported {method.lower()} request. Object with ID '{node}' does not exist, cannot be loaded due to "
            "missing permissions, or does not support this operation. Please read the Graph API documentation at "
            "https://developers.facebook.com/docs/graph-api",
            subcode=33,
            kind="GraphMethodException",
        )

    def unknown_path(self, path: str) -> RefusedError:
        """Return the refusal of a path that Graph does not have: code 2500."""
        return self.refusal(2500, f"Unknown path components: {path}")


def token_of(request: Request, fields: JsonObject | None = None) -> str:
    """Return the access token: the Authorization header, else the parameter ``access_token``."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return str(request.query_params.get("access_token") or (fields or {}).get("access_token") or "")


def authenticate(request: Request, errors: GraphErrors, *, token: str, app_secret: str, given: str) -> None:
    """Refuse a missing or wrong access token (*given*) and a wrong ``appsecret_proof``."""
    if not given:
        message = "An access token is required to request this resource."
        raise errors.refusal(104, message, status=401)
    if not hmac.compare_digest(given.encode(), token.encode()):
        message = "Invalid OAuth access token - Cannot parse access token"
        raise errors.refusal(190, message, status=401)
    proof = request.query_params.get("appsecret_proof")
    expected = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    if proof is not None and not hmac.compare_digest(proof.encode(), expected.encode()):
        raise errors.refusal(100, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException")


async def read_object(request: Request, errors: GraphErrors) -> JsonObject:
    """Return the JSON object of a request."""
    try:
        value = parse_json(await read_body(request, MAX_JSON))
    except TooLargeError:
        raise errors.refusal(1, "Please reduce the amount of data you're asking for, then retry your request") from None
    except UnreadableError:
        raise errors.parameter("The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise errors.parameter("The request body must be a JSON object")
    return value


def selected(request: Request, errors: GraphErrors, node: JsonObject) -> JsonObject:
    """Return of *node* what the parameter ``fields`` names, and its id always; all of it without that parameter."""
    fields = request.query_params.get("fields", "")
    names = [name.strip() for name in fields.split(",") if name.strip()]
    for name in names:
        if name not in node:
            raise errors.refusal(100, f"(#100) Tried accessing nonexisting field ({name})")
    return {name: value for name, value in node.items() if not names or name in names or name == "id"}


def only_keys(errors: GraphErrors, value: JsonObject, allowed: Iterable[str], where: str) -> None:
    """Refuse keys that the API does not have, which is what shows a mapping that guesses."""
    for key in value:
        if key not in set(allowed):
            place = f' on param "{where}"' if where else ""
            raise errors.parameter(f'Unexpected key "{key}"{place}.')


def member(value: Any, name: str) -> JsonObject:
    """Return the object *name* of *value*, {} when there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def members(value: Any, name: str) -> list[Any]:
    """Return the array *name* of *value*, [] when there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def fits(text: object, least: int, most: int) -> bool:
    """Return whether *text* has so many UTF-16 code units, the strictest plausible reading of "characters"."""
    return isinstance(text, str) and least <= utf16(text) <= most
