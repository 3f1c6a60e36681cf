"""The OpenAPI document: what FastAPI makes of the routes, and what it cannot know of them.

That is: who may call an operation, in what form it fails, which failures its body and its parameters alone can bring, and
where an answer leads (OpenAPI's links), so that a reader, or a program that walks the API, sees what belongs together.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kurir.http import answers

#: What every operation with a body may answer to it.
_OF_A_BODY: Final = {
    "400": "Not JSON, not UTF-8, nested too deep",
    "413": "More than 256 KiB",
    "415": "Not JSON",
    "422": "Invalid parameters: all of them at once",
}
_OF_PARAMETERS: Final = {"422": "Invalid parameters: all of them at once"}

_TID: Final = {"tid": "$response.body#/data/tid"}
_SAME_PERSON: Final = {"channel": "$request.path.channel", "address": "$request.path.address"}
#: An operation → where its answer leads: the name of the link, the operation, and the parameters it takes from the answer.
_LINKS: Final[dict[tuple[str, str], tuple[tuple[str, str, str, dict[str, str]], ...]]] = {
    ("post", "/{channel}/send/{client_id}"): (
        ("message", "get", "/v1/messages/{tid}", _TID),
        ("cancel", "post", "/v1/messages/{tid}/cancel", _TID),
        ("retry", "post", "/v1/messages/{tid}/retry", _TID),
    ),
    ("get", "/v1/messages"): (("next", "get", "/v1/messages", {"after": "$response.body#/next"}),),
    ("get", "/v1/events"): (("next", "get", "/v1/events", {"after": "$response.body#/next"}),),
    ("put", "/v1/contacts/{channel}/{address}"): (
        ("contact", "get", "/v1/contacts/{channel}/{address}", _SAME_PERSON),
        ("unlink", "delete", "/v1/contacts/{channel}/{address}/phone", _SAME_PERSON),
        ("erase", "delete", "/v1/contacts/{channel}/{address}", _SAME_PERSON),
    ),
    ("post", "/v1/admin/clients"): tuple(
        (name, method, f"/v1/admin/clients/{{client_id}}{path}", {"client_id": "$response.body#/data/id"})
        for name, method, path in (
            ("client", "get", ""),
            ("change", "patch", ""),
            ("rotate", "post", "/rotate-password"),
            ("disable", "post", "/disable"),
            ("enable", "post", "/enable"),
        )
    ),
    ("post", "/v1/admin/accounts"): tuple(
        (name, method, f"/v1/admin/accounts/{{account_id}}{path}", {"account_id": "$response.body#/data/id"})
        for name, method, path in (
            ("account", "get", ""),
            ("settings", "get", "/settings"),
            ("change", "patch", ""),
            ("check", "post", "/check"),
            ("pause", "post", "/pause"),
            ("resume", "post", "/resume"),
            ("disable", "post", "/disable"),
            ("enable", "post", "/enable"),
        )
    ),
    ("put", "/v1/admin/callbacks"): tuple(
        (name, method, f"/v1/admin/callbacks/{{endpoint_id}}{path}", {"endpoint_id": "$response.body#/data/id"})
        for name, method, path in (
            ("endpoint", "get", ""),
            ("pause", "post", "/pause"),
            ("resume", "post", "/resume"),
            ("rotate", "post", "/rotate"),
            ("deliveries", "get", "/deliveries"),
            ("delete", "delete", ""),
        )
    ),
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of *app*, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["username"] = {"type": "apiKey", "in": "header", "name": "Auth-username"}
        schemes["password"] = {"type": "apiKey", "in": "header", "name": "Auth-password"}
        schemes["basic"] = {"type": "http", "scheme": "basic"}
        schemes["admin"] = {"type": "http", "scheme": "bearer"}
        base = app.state.edge.base
        if base:
            schema["servers"] = [{"url": base}]
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                if path.startswith("/v1/admin/") or path == "/metrics":
                    operation["security"] = [{"admin": []}]
                elif path.startswith("/v1/") or "/{client_id}" in path:
                    operation["security"] = [{"username": [], "password": []}, {"basic": []}]
                _describe_errors(operation, native=path.startswith("/v1/"))
                _link(schema, operation, _LINKS.get((method, path), ()))
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _describe_errors(operation: dict[str, Any], *, native: bool) -> None:
    """Describe errors as they are: none has FastAPI's own shape, and those of the native API are RFC 9457 alone."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, response in responses.items():
        if native and int(status) >= 400:
            response["content"] = {answers.PROBLEM_JSON.decode(): response["content"]["application/json"]}
    if native:
        problem = {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}
        told = _OF_A_BODY if "requestBody" in operation else _OF_PARAMETERS if "parameters" in operation else {}
        for status, words in told.items():
            added = {"description": words, "content": {answers.PROBLEM_JSON.decode(): problem}}
            responses.setdefault(status, added)


def _link(
    schema: dict[str, Any], operation: dict[str, Any], links: tuple[tuple[str, str, str, dict[str, str]], ...]
) -> None:
    """Write into the answer where it leads."""
    if links:
        operation["responses"]["200"]["links"] = {
            name: {"operationId": schema["paths"][path][method]["operationId"], "parameters": parameters}
            for name, method, path, parameters in links
        }
