"""What a message's templates lack, by what the platform told of them at the last sync.

The check belongs to accept: a template that WhatsApp would refuse for its parameters ends a message hours later, where
nobody looks, and says «Number of parameters does not match» without saying what is wanted. An account whose templates
were never synced knows nothing, so its templates are tried.
"""

import difflib
from collections.abc import Iterable
from typing import Final, Protocol

from kurir.channels.whatsapp import templates as whatsapp_templates
from kurir.domain.message import Message, MessageType, Template
from kurir.domain.problem import Problem
from kurir.store.inbound import TemplateRecord

#: So many names or languages are offered in the place of one that there is not.
_OFFERED: Final = 5


class Templates(Protocol):
    """The templates of the accounts as they were synced: two methods of the store."""

    async def template(self, account_id: str, name: str, language: str) -> TemplateRecord | None:
        """Return one template of the account."""
        ...

    async def templates(self, account_id: str) -> list[TemplateRecord]:
        """Return the account's templates, [] when none were ever synced."""
        ...


def of(message: Message) -> list[tuple[Template, str]]:
    """Return the templates that *message* carries, each with its place in the request."""
    own = message.template if message.type is MessageType.TEMPLATE else None
    both = ((own, "/body/template"), (message.fallback, "/fallback/template"))
    return [(template, at) for template, at in both if template is not None]


async def problems(store: Templates, account_id: str, message: Message) -> list[Problem]:
    """Return why templates of *message* are not what the platform approved; [] when nothing speaks against them.

    The message's form is to be without problems. Asks the store only about a message that carries a template.
    """
    found: list[Problem] = []
    for template, at in of(message):
        known = await store.template(account_id, template.name, template.language)
        if known is not None:
            found += whatsapp_templates.mismatches(template, known.status, known.components, at)
        else:
            found += unknown(template, await store.templates(account_id), at)
    return found


def unknown(template: Template, synced: Iterable[TemplateRecord], at: str) -> list[Problem]:
    """Return that *template* is none of those *synced*, naming the nearest; [] when none were synced."""
    known = list(synced)
    if not known:
        return []
    languages = [record.language for record in known if record.name == template.name]
    if languages:
        nearest = _nearest(template.language, languages) or languages
        detail = (
            f"the template «{template.name}» is there in {', '.join(nearest[:_OFFERED])}, and not in {template.language}; "
            "use one of these, or sync the templates if it is new"
        )
        return [Problem(f"{at}/language", "template_refused", detail)]
    names = sorted({record.name for record in known})
    near = _nearest(template.name, names)
    shown = (
        f"the nearest: {', '.join(near)}" if near else f"there are {len(names)}, such as {', '.join(names[:_OFFERED])}"
    )
    detail = f"the account has no template «{template.name[:80]}»; {shown}. Sync the templates if it is new"
    return [Problem(f"{at}/name", "template_refused", detail)]


def _nearest(wanted: str, there: list[str]) -> list[str]:
    return difflib.get_close_matches(wanted, there, _OFFERED, cutoff=0.6)
