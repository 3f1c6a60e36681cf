"""The administrator's API of the console: who may look at it, and links that let somebody in once."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from kurir.console.access import LINK_LIFE, LONGEST_NAME, Access
from kurir.domain.problem import Problem
from kurir.http import models, shown
from kurir.http.answers import RequestFailed
from kurir.http.console.state import Console
from kurir.http.edge import AdminRoute
from kurir.http.shown import Shown
from kurir.store.access import UserRecord

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.ProblemAnswer, "description": "There is no such user, or it is disabled"},
    422: {"model": models.ProblemAnswer, "description": "Invalid parameters: all of them at once"},
}

router = APIRouter(
    prefix="/v1/admin/console", route_class=AdminRoute, responses=models.ADMIN_FAILURES, tags=["Administration"]
)

UserName = Annotated[
    str | None,
    Field(
        max_length=LONGEST_NAME, description="Whom it lets in. Left out: the first owner, who is made if there is none."
    ),
]


class LinkRequest(BaseModel):
    """Whom a link is for."""

    model_config = ConfigDict(extra="forbid")

    user: UserName = None


class ConsoleLinkBody(BaseModel):
    """A link. It is shown in this answer only."""

    url: str = Field(description="Opened in a browser, it lets in once.")
    user: str | None = Field(description="Whom it lets in; null: the first owner, who is made by it.")
    expires_at: str


class ConsoleLinkAnswer(BaseModel):
    """A link."""

    data: ConsoleLinkBody


class UserBody(BaseModel):
    """A user of the console."""

    id: str
    name: str
    role: str = Field(description="owner, operator, viewer or client")
    client: str | None = Field(description="The client that the user sees; null: all of them.")
    enabled: bool
    has_password: bool
    second_factor: bool
    last_signed_in_at: str | None


class UsersAnswer(BaseModel):
    """Every user of the console, by name."""

    data: list[UserBody]
    next: str | None = None


@router.get("/users", response_model=UsersAnswer, summary="Who may look at the console")
async def list_users(request: Request) -> Shown:
    """Return every user of the console by name, those that are disabled too."""
    return {"data": [_user(one) for one in await _access(request).store.users()], "next": None}


@router.post("/links", response_model=ConsoleLinkAnswer, responses=_NOT_FOUND, summary="Make a link that lets in once")
async def make_link(request: Request, wanted: LinkRequest | None = None) -> Shown:
    """Make a link that lets one browser into the console, once, within a day. Who has it needs no password."""
    access, state = _access(request), _console(request)
    name = wanted.user if wanted is not None else None
    if name is None:
        owner = await access.first_owner()
        token, user = await access.new_link(owner.id if owner else ""), owner
    else:
        user = await _named(access, name)
        token = await access.new_link(user.id)
    public = state.public_url or str(request.base_url).rstrip("/")
    return {
        "data": {
            "url": f"{public}/console/enter?token={token}",
            "user": user.name if user is not None else None,
            "expires_at": shown.time(state.clock.now() + LINK_LIFE),
        }
    }


async def _named(access: Access, name: str) -> UserRecord:
    if "\x00" in name:
        problem = Problem("/user", "invalid_format", "user: a name has no NUL character")
        raise RequestFailed("invalid_parameters", problems=[problem])
    user = await access.store.user_named(name.strip().lower())
    if user is None or not user.enabled:
        detail = f"there is no user «{name[:60]}» who may look; GET /v1/admin/console/users lists them"
        raise RequestFailed("not_found", detail)
    return user


def _user(user: UserRecord) -> Shown:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "client": user.client_id or None,
        "enabled": user.enabled,
        "has_password": bool(user.password_hash),
        "second_factor": bool(user.totp),
        "last_signed_in_at": shown.time(user.signed_in_at),
    }


def _console(request: Request) -> Console:
    found: Console = request.app.state.console
    return found


def _access(request: Request) -> Access:
    return _console(request).access
