"""WhatsApp's templates: what a client gives for one, checked, and written as Graph's ``template`` object.

A template is a text that Meta approved, with variables. It is the only message that WhatsApp takes when the person has not
written for 24 hours. The client names it and gives ``parameters``: what goes into its header, body and buttons. Their form is
checked by :func:`problems`; whether they are what the template wants, by :func:`mismatches` against the components as Meta
lists them, where the gateway has them. What is neither is for Meta to say (132000 and its neighbours).

Sources: Meta's pages "Template components", "Coupon code templates" (2026-05-28), "Copy code authentication templates"
(2026-06-24) and "Media message headers" (2026-07-31), and its Python and Go clients' models of the same objects. A variable
is ``{{1}}`` or ``{{name}}``; a header has at most one, a button's URL at most one, at its end. The one-time password button
of an authentication template is a URL button when it is listed.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kurir.channels.base import JsonObject
from kurir.channels.keys import Keys
from kurir.channels.text import utf16
from kurir.channels.whatsapp.content import Draft, file_name, link
from kurir.channels.whatsapp.fields import objects, string
from kurir.domain.message import Template
from kurir.domain.problem import Problem

#: A template's name: 512 characters of these ("Template components").
NAME: Final = re.compile(r"[a-z0-9_]{1,512}")
#: A language's code as Meta writes it: ``id``, ``en_US``, ``zh_CN``.
LANGUAGE: Final = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
#: A body has at most 1024 characters, and ``{{1}}`` has five: more values no body has a place for.
VALUES: Final = 204
#: A template has at most ten buttons.
BUTTONS: Final = 10
#: A quick reply's payload. The pages name no limit, clients 128 or 256: a longer key travels as a token, which comes back.
PAYLOAD: Final = 128
#: The status of a template that may be sent.
APPROVED: Final = "APPROVED"

_FILES: Final = ("image", "video", "document")
_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,128})\s*\}\}")
#: A variable's name; digits alone are a number. The length is a bound of ours, so that a name fits into a sentence.
_VARIABLE_NAME: Final = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_]{1,128}")
#: Meta refuses a value with these: "Param text cannot have new-line/tab characters or more than 4 consecutive spaces".
_BREAKS: Final = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_BLANKS: Final = re.compile(r"\s+")
_SPACES: Final = re.compile(r" {5,}")


# --- What a client gives ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one variable; ``name`` is "" where the variables are numbered. ``at`` points into the request."""

    text: str
    at: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What goes into the header: a value (``kind`` text), a file by URL, or a place (``content``, as Graph takes it)."""

    kind: str
    at: str
    value: Value | None = None
    content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """What goes into the button ``index``, from 0; ``kind`` is Graph's sub_type."""

    index: int
    kind: str
    text: str
    at: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that is given for a template, readable. ``unknown`` are the names of members that nothing is made of."""

    header: Header | None = None
    body: tuple[Value, ...] = ()
    buttons: tuple[Button, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of button: the member that a client fills in, and Graph's parameter for it."""

    sub_type: str
    type: str
    field: str


_BUTTON_KINDS: Final[Mapping[str, _Kind]] = {
    "key": _Kind("quick_reply", "payload", "payload"),
    "text": _Kind("url", "text", "text"),
    "code": _Kind("copy_code", "coupon_code", "coupon_code"),
}
_GIVEN_AS: Final[Mapping[str, str]] = {kind.sub_type: member for member, kind in _BUTTON_KINDS.items()}


class _Reader:
    """One pass over the parameters of one template. ``problems`` grows; a method returns None where it found one."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.problems: list[Problem] = []

    def problem(self, at: str, code: str, detail: str) -> None:
        self.problems.append(Problem(at, code, f"{_name(at)} {detail}"))

    def read(self, given: JsonObject) -> Parameters:
        readers: Mapping[str, Callable[[Any, str], Any]] = {
            "header": self.header,
            "body": self.body,
            "buttons": self.buttons,
        }
        found = {
            name: reader(given[name], f"{self.at}/{name}")
            for name, reader in readers.items()
            if not absent(given.get(name))
        }
        unknown = tuple(name for name in given if name not in readers and not absent(given[name]))
        return Parameters(**{name: value for name, value in found.items() if value is not None}, unknown=unknown)

    def value(self, given: object, at: str, name: str = "") -> Value | None:
        """Return a variable's value: a text that is not blank, or a number."""
        if isinstance(given, int | float) and not isinstance(given, bool):
            return Value(str(given), at, name)
        if not isinstance(given, str):
            self.problem(at, "wrong_type", f"must be a string (or a number), not {_json_name(given)}")
        elif not given.strip():
            self.problem(at, "blank", "is blank, and WhatsApp takes no empty value; fill it in")
        else:
            return Value(given, at, name)
        return None

    def named(self, given: JsonObject, at: str) -> tuple[Value, ...]:
        found: list[Value] = []
        for name, one in given.items():
            place = _within(at, name[:128])
            if not _VARIABLE_NAME.fullmatch(name):
                detail = "names no variable: names are letters, digits and _; numbered variables are given as a list"
                self.problem(place, "invalid_format", detail)
            elif (value := self.value(one, place, name)) is not None:
                found.append(value)
        return tuple(found)

    def header(self, given: object, at: str) -> Header | None:
        if isinstance(given, str | int | float):
            value = self.value(given, at)
            return Header("text", at, value) if value else None
        if isinstance(given, list) and len(given) == 1:
            value = self.value(given[0], f"{at}/0")
            return Header("text", at, value) if value else None
        if isinstance(given, list):
            self.problem(at, "too_many", f"has {len(given)} values, and a header has one variable")
            return None
        if not isinstance(given, dict):
            detail = f"must be a text, an object by name, or one with a type, not {_json_name(given)}"
            self.problem(at, "wrong_type", detail)
            return None
        kind = given.get("type")
        if kind == "text":
            value = self.value(given.get("text"), f"{at}/text")
            return Header("text", at, value) if value else None
        if kind in _FILES:
            return self.file(given, str(kind), at)
        if kind == "location":
            return self.place(given, at)
        if len(given) != 1:
            detail = (
                "must have one variable by name, or a type: text (text), image, video or document (media_url), "
                "or location (latitude, longitude, name, address)"
            )
            self.problem(at, "unsupported_value", detail)
            return None
        values = self.named(given, at)
        return Header("text", at, values[0]) if values else None

    def file(self, given: JsonObject, kind: str, at: str) -> Header | None:
        url = self.words(given, "media_url", at)
        if url and not re.match(r"https?://[^\s/]", url, re.IGNORECASE):
            detail = "must be an absolute URL that begins with https:// (or http://)"
            self.problem(f"{at}/media_url", "unsupported_scheme", detail)
            return None
        if any(character.isspace() for character in url):
            self.problem(f"{at}/media_url", "invalid_format", "holds white space; percent-encode it (%20)")
            return None
        if not url:
            return None
        content: JsonObject = {"link": link(url)}
        if kind == "document":
            shown = given.get("name")
            name = file_name(url, shown if isinstance(shown, str) and shown.strip() else "")
            content |= {"filename": name} if name else {}
        return Header(kind, at, content=content)

    def place(self, given: JsonObject, at: str) -> Header | None:
        content: JsonObject = {}
        for key, bound in (("latitude", 90), ("longitude", 180)):
            value = given.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.problem(f"{at}/{key}", "missing" if value is None else "wrong_type", "must be a number of degrees")
            elif not -bound <= value <= bound:
                self.problem(f"{at}/{key}", "out_of_range", f"must be between -{bound} and {bound} degrees")
            else:
                content[key] = value
        for key in ("name", "address"):  # a template's place has both
            words = self.words(given, key, at)
            content |= {key: words} if words else {}
        return Header("location", at, content=content) if len(content) == 4 else None

    def words(self, given: JsonObject, key: str, at: str) -> str:
        value = given.get(key)
        place = f"{at}/{key}"
        if value is None:
            self.problem(place, "missing", "is missing; add it as a string")
        elif not isinstance(value, str):
            self.problem(place, "wrong_type", f"must be a string, not {_json_name(value)}")
        elif not value.strip():
            self.problem(place, "blank", "is blank; fill it in")
        else:
            return value
        return ""

    def body(self, given: object, at: str) -> tuple[Value, ...] | None:
        if not isinstance(given, list | dict):
            detail = f"must be a list of values, or an object of values by name, not {_json_name(given)}"
            self.problem(at, "wrong_type", detail)
            return None
        if len(given) > VALUES:
            self.problem(at, "too_many", f"has {len(given)} values, and no body has a place for more than {VALUES}")
            return None
        if isinstance(given, dict):
            return self.named(given, at)
        values = [self.value(one, f"{at}/{index}") for index, one in enumerate(given)]
        return tuple(value for value in values if value is not None)

    def buttons(self, given: object, at: str) -> tuple[Button, ...] | None:
        if isinstance(given, dict):
            given = [given]
        if not isinstance(given, list):
            self.problem(at, "wrong_type", f"must be a list, not {_json_name(given)}")
            return None
        if len(given) > BUTTONS:
            self.problem(at, "too_many", f"has {len(given)} buttons, and a template has at most {BUTTONS}")
            return None
        found: dict[int, Button] = {}
        for position, one in enumerate(given):
            button = self.button(one, f"{at}/{position}", position)
            if button is None:
                continue
            if button.index in found:
                self.problem(f"{button.at}/index", "unsupported_value", "is that of another button in the list")
            found.setdefault(button.index, button)
        return tuple(found[index] for index in sorted(found))

    def button(self, given: object, at: str, position: int) -> Button | None:
        if not isinstance(given, dict):
            self.problem(at, "wrong_type", f"must be an object, not {_json_name(given)}")
            return None
        index = given.get("index", position)
        if isinstance(index, str) and len(index) == 1 and index.isdecimal() and index.isascii():
            index = int(index)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < BUTTONS:
            self.problem(f"{at}/index", "out_of_range", f"must be the button's place: 0 to {BUTTONS - 1}")
            return None
        filled = [member for member in _BUTTON_KINDS if not absent(given.get(member))]
        if len(filled) != 1:
            detail = "needs one of key (a quick reply's), text (the end of a link) and code (a coupon's)"
            self.problem(at, "missing" if not filled else "too_many", detail)
            return None
        value = self.value(given[filled[0]], f"{at}/{filled[0]}")
        return Button(index, _BUTTON_KINDS[filled[0]].sub_type, value.text, at) if value else None


def absent(value: object) -> bool:
    """Return whether *value* counts as not given: null, a blank text, an empty list or object."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def read(template: Template, at: str) -> tuple[Parameters, list[Problem]]:
    """Return what is given for *template*, which stands at *at* in the request, and every problem of its form."""
    reader = _Reader(f"{at}/parameters")
    return reader.read(json.loads(template.parameters)), reader.problems


def problems(template: Template, at: str) -> list[Problem]:
    """Return every problem of the form of *template*, which stands at *at* in the request."""
    found = read(template, at)[1]
    if not NAME.fullmatch(template.name):
        detail = "is no name of a template: those are small letters, digits and _, at most 512"
        found.insert(0, Problem(f"{at}/name", "invalid_format", f"{_name(at)}.name {detail}"))
    if not LANGUAGE.fullmatch(template.language):
        detail = f"{_name(at)}.language is no language code of WhatsApp's; write it as id or en_US"
        found.insert(0, Problem(f"{at}/language", "invalid_format", detail))
    return found


def header_file(template: Template, at: str) -> tuple[str, str, str]:
    """Return kind, URL and place of the file that the header is, or three times ""."""
    header = read(template, at)[0].header
    if header is None or header.kind not in _FILES or header.content is None:
        return "", "", ""
    return header.kind, header.content["link"], f"{header.at}/media_url"


# --- Writing ----------------------------------------------------------------------------------------------------------


def write(draft: Draft, template: Template, at: str) -> None:
    """Add *template*, which stands at *at* in the request, to the draft as a part; note what is lost."""
    given = read(template, at)[0]
    if given.unknown:
        names = ", ".join(f"«{name[:40]}»" for name in given.unknown[:5])
        detail = f"a template has header, body and buttons to fill, and no {names}: left out"
        draft.lose(f"{at}/parameters", "part_ignored", detail)
    components: list[JsonObject] = []
    if given.header is not None:
        components.append({"type": "header", "parameters": [_header(draft, given.header)]})
    if given.body:
        components.append({"type": "body", "parameters": [_text(draft, value) for value in given.body]})
    keys = Keys(draft.client_id, length=utf16, limit=PAYLOAD, strips=True)
    components += [_button(button, keys) for button in given.buttons]
    draft.tokens += keys.tokens()
    content: JsonObject = {"name": template.name, "language": {"code": template.language}}
    draft.add("template", content | ({"components": components} if components else {}))


def _header(draft: Draft, header: Header) -> JsonObject:
    if header.value is not None:
        return _text(draft, header.value)
    return {"type": header.kind, header.kind: dict(header.content or {})}


def _text(draft: Draft, value: Value) -> JsonObject:
    """Return a value as a text parameter, without what Meta refuses in one."""
    flat = _BLANKS.sub(_flattened, value.text)
    if flat != value.text:
        detail = "WhatsApp takes no line breaks, tabs or more than four spaces in a row here: they became spaces"
        draft.lose(value.at, "parameter_flattened", detail)
    named = {"parameter_name": value.name} if value.name else {}
    return {"type": "text", **named, "text": flat}


def _flattened(found: re.Match[str]) -> str:
    """Return what stands for a run of white space: one space for a line break, which within the outer ones is nothing."""
    run = found.group()
    if _BREAKS.isdisjoint(run):
        return _SPACES.sub("    ", run)
    return " " if found.start() > 0 and found.end() < len(found.string) else ""


def _button(button: Button, keys: Keys) -> JsonObject:
    kind = _BUTTON_KINDS[_GIVEN_AS[button.kind]]
    text = keys.field(button.text) if button.kind == "quick_reply" else button.text
    return {
        "type": "button",
        "sub_type": button.kind,
        "index": str(button.index),
        "parameters": [{"type": kind.type, kind.field: text}],
    }


# --- Against the template as it is synced -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slots:
    """What a synced template wants to be filled in. ``header`` is its format in small letters, "" for none to fill."""

    header: str
    header_variables: tuple[str, ...]
    variables: tuple[str, ...]
    buttons: tuple[JsonObject, ...]
    others: tuple[str, ...]


#: Components that need parameters which the gateway has no words for.
_NOT_FILLED: Final = ("CAROUSEL", "LIMITED_TIME_OFFER")


def mismatches(template: Template, status: str, components: str, at: str) -> list[Problem]:
    """Return why *template*, as it is given at *at*, is not what Meta approved; [] when it can be sent.

    *status* and *components* (JSON) are those that Meta lists. Total: components that cannot be read are not compared.
    """
    if status.upper() != APPROVED:
        detail = (
            f"the template «{template.name}» in {template.language} is {status or 'of unknown status'} at WhatsApp, and only "
            "approved ones can be sent; wait for the review, or use another (the gateway knows the state of the last sync)"
        )
        return [Problem(f"{at}/name", "template_refused", detail)]
    wanted = slots_of(components)
    if wanted is None:
        return []
    given, at = read(template, at)[0], f"{at}/parameters"
    found = [*_header_faults(wanted, given, at), *_body_faults(wanted, given, at), *_button_faults(wanted, given, at)]
    for name in wanted.others:
        what = name.lower().replace("_", " ")
        found.append((at, f"cannot be filled in: the template has a {what}, for which there are no parameters"))
    return [Problem(place, "template_refused", f"{_name(place)} {detail}") for place, detail in found]


_Fault = tuple[str, str]


def slots_of(components: str) -> Slots | None:
    """Return what a template of these components (JSON) wants to be filled in; None where they are no components."""
    try:
        listed = json.loads(components)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list):
        return None
    by_type = {string(one, "type").upper(): one for one in objects(listed)}
    header = by_type.get("HEADER", {})
    shape = (string(header, "format") or "TEXT").lower() if header else ""
    header_variables = _variables(string(header, "text")) if shape == "text" else ()
    return Slots(
        header="" if shape == "text" and not header_variables else shape,
        header_variables=header_variables,
        variables=_variables(string(by_type.get("BODY", {}), "text")),
        buttons=tuple(objects(by_type.get("BUTTONS", {}).get("buttons"))),
        others=tuple(name for name in _NOT_FILLED if name in by_type),
    )


def _variables(text: str) -> tuple[str, ...]:
    """Return the variables of a text, each once, as they come; numbered ones by number."""
    names = tuple(dict.fromkeys(_VARIABLE.findall(text)))
    return tuple(sorted(names, key=int)) if names and all(map(str.isdecimal, names)) else names


def _header_faults(wanted: Slots, given: Parameters, at: str) -> Iterable[_Fault]:
    place, header = f"{at}/header", given.header
    if header is None:
        if wanted.header:
            yield place, f"is missing: the template's header wants {_header_wish(wanted)}"
        return
    if not wanted.header:
        yield place, "is not wanted: the template's header has nothing to fill in; leave it out"
    elif header.kind != wanted.header:
        yield place, f"is of the kind {header.kind}, and the template's header wants {_header_wish(wanted)}"
    elif header.value is not None:
        yield from _named_faults(wanted.header_variables, (header.value,), place)


def _header_wish(wanted: Slots) -> str:
    if wanted.header == "text":
        return f"the value of {_listed(wanted.header_variables)}"
    if wanted.header in _FILES:
        return f'a file: {{"type": "{wanted.header}", "media_url": "https://…"}}'
    if wanted.header == "location":
        return 'a place: {"type": "location", "latitude", "longitude", "name", "address"}'
    return f"a {wanted.header}, for which there are no parameters: it cannot be sent"


def _body_faults(wanted: Slots, given: Parameters, at: str) -> Iterable[_Fault]:
    place = f"{at}/body"
    if not given.body and wanted.variables:
        yield place, f"is missing: the template's body wants {_wish(wanted.variables)}"
    elif given.body and not wanted.variables:
        yield place, "is not wanted: the template's body has no variables; leave it out"
    else:
        yield from _named_faults(wanted.variables, given.body, place)


def _named_faults(variables: tuple[str, ...], values: tuple[Value, ...], place: str) -> Iterable[_Fault]:
    """Compare values with the variables that they are for: their number where these are numbered, else their names."""
    numbered = all(map(str.isdecimal, variables))
    by_name = any(value.name for value in values)
    if by_name == numbered and values:
        form = "a list, in their order" if numbered else "an object by name"
        yield place, f"has another form: the template wants {_wish(variables)}, given as {form}"
    elif numbered and len(values) != len(variables):
        yield place, f"has {len(values)} values, and the template wants {_wish(variables)}"
    elif by_name:
        names = {value.name for value in values}
        missing = [name for name in variables if name not in names]
        if missing:
            yield place, f"lacks {_listed(missing)}: the template wants {_wish(variables)}"
        for value in values:
            if value.name not in variables:
                yield value.at, f"is no variable of the template, which wants {_wish(variables)}"


def _button_faults(wanted: Slots, given: Parameters, at: str) -> Iterable[_Fault]:
    by_index = {button.index: button for button in given.buttons}
    for button in given.buttons:
        if button.index >= len(wanted.buttons):
            count = len(wanted.buttons)
            has = "no buttons" if count == 0 else f"{count} button{'s' if count > 1 else ''}, counted from 0"
            yield button.at, f"is for button {button.index}, and the template has {has}"
    for index, listed in enumerate(wanted.buttons):
        kind, known = string(listed, "type").upper() or "?", by_index.get(index)
        member, needed = button_wish(kind, listed)
        if known is None:
            if needed:
                yield f"{at}/buttons", f'lacks {{"index": {index}, "{member}": "…"}}: button {index} ({kind}) wants it'
        elif not member:
            yield known.at, f"is not wanted: button {index} of the template ({kind}) has nothing to fill in"
        elif member != _GIVEN_AS[known.kind]:
            yield known.at, f"has {_GIVEN_AS[known.kind]}, and button {index} of the template ({kind}) wants {member}"


def button_wish(kind: str, listed: JsonObject) -> tuple[str, bool]:
    """Return the member that a button of the template takes ("" for none), and whether it has to be given."""
    if kind == "QUICK_REPLY":
        return "key", False  # without one, its press brings the button's own words
    if kind == "URL":
        return ("text", True) if _variables(string(listed, "url")) else ("", False)
    if kind == "OTP":
        return "text", True
    return ("code", True) if kind == "COPY_CODE" else ("", False)


def _wish(variables: tuple[str, ...]) -> str:
    count = f"{len(variables)} value{'s' if len(variables) != 1 else ''}"
    return count if all(map(str.isdecimal, variables)) else f"{count} by name: {_listed(variables)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in names)


# --- Words ------------------------------------------------------------------------------------------------------------


def _within(at: str, name: str) -> str:
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"


def _name(at: str) -> str:
    return at[1:].replace("/", ".")


def _json_name(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number"}
    return names.get(type(value), "null")
