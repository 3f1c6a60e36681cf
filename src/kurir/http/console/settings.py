"""Settings and the doctor: how this installation is set up, and whether it is well."""

from fastapi import APIRouter, Request, Response

from kurir import doctor
from kurir.console import installation
from kurir.console.requests import KEPT_BODY
from kurir.console.rights import Right
from kurir.http.answers import RequestFailed
from kurir.http.console.route import ConsoleRoute, console_of, needs, page
from kurir.http.doctoring import facts
from kurir.settings import Settings
from kurir.store.access import REQUEST_LIFE

router = APIRouter(prefix="/console/settings", route_class=ConsoleRoute, include_in_schema=False)


@router.get("")
@needs(Right.SEE_ALL)
async def show_settings(request: Request) -> Response:
    """Show every setting, where it came from, and what the doctor finds."""
    settings = _settings(request)
    found = doctor.findings(await facts(request, settings))
    return page(
        request,
        "settings.html",
        rows=installation.rows(settings),
        findings=found,
        report=doctor.text(found),
        third_party=installation.THIRD_PARTY,
        retention=settings.retention,
        request_life=REQUEST_LIFE,
        body_bytes=KEPT_BODY,
    )


def _settings(request: Request) -> Settings:
    settings = console_of(request).settings
    if settings is None:
        raise RequestFailed("not_found", "nobody told the console the settings")
    return settings
