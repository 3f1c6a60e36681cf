"""What is at no other route of the console: a page that says so. The last router."""

from fastapi import APIRouter, Response

from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, needs

router = APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)


@router.get("/{path:path}")
@needs(Right.SEE)
async def nowhere(path: str) -> Response:
    """Say that there is nothing here; to a stranger, that he has to sign in."""
    raise RequestFailed("not_found", f"there is nothing at /console/{path[:200]}")
