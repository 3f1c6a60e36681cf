"""Who a request names, by the form of its ``recipient`` alone.

Checked at accept; who is meant is resolved when the message is sent (``kurir.intake.identity``). The forms are those of
``contract.md``, "Recipient": explicit (``tg:1001``), bare and unmistakable (``@name``, ``U…``, a PSID, a business-scoped
id), else a phone.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kurir.domain import channel
from kurir.domain.problem import Problem
from kurir.quick import quick


class Form(StrEnum):
    """How the recipient was named."""

    ADDRESS = "address"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Addresses:
    """How people are named on a channel that another package brings.

    ``address`` is what may follow ``prefix`` and a colon. ``bare`` is what needs no prefix, since nobody could take it for a
    phone; None where nothing is so. ``wanted`` says for a sentence what is expected.
    """

    prefix: str
    address: re.Pattern[str]
    wanted: str
    bare: re.Pattern[str] | None = None


@quick
@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient read: an address of the channel, or a phone's digits.

    A phone holds 7 to 15 digits with country code and without ``+``, or digits and ``x`` as the seed's sample prints
    them. On Telegram a phone's digits may be a chat id too; resolving decides.
    """

    form: Form
    value: str


#: The prefix of an explicit address → the channel it belongs to.
PREFIXES: Final[dict[str, str]] = {
    "tg": channel.TELEGRAM,
    "line": channel.LINE,
    "fb": channel.MESSENGER,
    "psid": channel.MESSENGER,
    "wa": channel.WHATSAPP,
}

#: The prefix that the gateway itself writes for a channel.
PREFIX_OF: Final[dict[str, str]] = {
    channel.TELEGRAM: "tg",
    channel.LINE: "line",
    channel.MESSENGER: "fb",
    channel.WHATSAPP: "wa",
}

#: Characters of a recipient, with all that stands between the digits of a phone; the longest address has 135.
MAXIMUM_LENGTH: Final = 256

_BSUID: Final = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_ADDRESS: Final[dict[str, re.Pattern[str]]] = {
    channel.TELEGRAM: re.compile(r"-?[1-9][0-9]{0,15}|@[A-Za-z][A-Za-z0-9_]{3,31}"),
    channel.LINE: re.compile(r"[UCR][0-9a-f]{32}"),
    channel.MESSENGER: re.compile(r"[0-9]{5,20}"),
    channel.WHATSAPP: re.compile(r"[1-9][0-9x]{6,14}|" + _BSUID.pattern),
}
_BARE: Final[dict[str, re.Pattern[str]]] = {
    channel.TELEGRAM: re.compile(r"-[1-9][0-9]{0,15}|@[A-Za-z][A-Za-z0-9_]{3,31}"),
    channel.LINE: re.compile(r"[UCR][0-9a-f]{32}"),
    channel.MESSENGER: re.compile(r"[0-9]{16,20}"),
    channel.WHATSAPP: _BSUID,
}
_WANTED: Final[dict[str, str]] = {
    channel.TELEGRAM: "a chat id (tg:1001), a group's negative id or an @name",
    channel.LINE: "U, C or R and 32 lower-case hex digits",
    channel.MESSENGER: "a page-scoped id of 16 to 20 digits",
    channel.WHATSAPP: "a phone number or a business-scoped id such as US.1349…",
}
_PREFIX: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
#: What stands between digits, and the invisible marks of direction and width that are copied along with a number.
_SEPARATORS: Final = re.compile(
    r"[\s().\-/\u2010-\u2015\u00a0\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]+"
)
#: «+44 (0)20 7946 0958»: a 0 that is dialled at home only, written into the international form.
_TRUNK_ZERO: Final = re.compile(r"\(0\)")
#: More signs than a number has that phonenumbers should look at.
_LONGEST_SPELLING: Final = 40
_PHONE: Final = re.compile(r"[1-9][0-9]{6,14}")
_MASKED: Final = re.compile(r"[1-9][0-9x]{6,14}")

#: The other spelling of a phone (:func:`variants`). Each pattern has its inverse.
_VARIANTS: Final = (
    (re.compile(r"(55[1-9][1-9])9([6-9][0-9]{7})"), r"\1\2"),
    (re.compile(r"(55[1-9][1-9])([6-9][0-9]{7})"), r"\g<1>9\2"),
    (re.compile(r"521([2-9][0-9]{9})"), r"52\1"),
    (re.compile(r"52([2-9][0-9]{9})"), r"521\1"),
    (re.compile(r"549([1-3][0-9]{9})"), r"54\1"),
    (re.compile(r"54([1-3][0-9]{9})"), r"549\1"),
)


def learn(channel_name: str, forms: Addresses) -> None:
    """Take the forms of a channel's addresses that another package brings; the same again changes nothing.

    Raises ValueError for a built-in channel, and for a prefix that cannot stand before a colon or is another channel's.
    """
    if channel_name in channel.BUILT_IN:
        raise ValueError(f"the forms of addresses on {channel_name} are the gateway's own")
    if not _PREFIX.fullmatch(forms.prefix):
        raise ValueError(f"«{forms.prefix[:20]}» is no prefix: lower-case letters, digits, _ and -, a letter first")
    if PREFIXES.get(forms.prefix, channel_name) != channel_name:
        raise ValueError(f"the prefix «{forms.prefix}:» is taken by {PREFIXES[forms.prefix]}")
    forget(channel_name)
    PREFIXES[forms.prefix] = channel_name
    PREFIX_OF[channel_name] = forms.prefix
    _ADDRESS[channel_name] = forms.address
    _WANTED[channel_name] = forms.wanted
    if forms.bare is not None:
        _BARE[channel_name] = forms.bare


def forget(channel_name: str) -> None:
    """Know the forms that were learned for a channel no more: for tests, whose process lives on."""
    if channel_name in channel.BUILT_IN or channel_name not in PREFIX_OF:
        return
    del PREFIXES[PREFIX_OF.pop(channel_name)], _ADDRESS[channel_name], _WANTED[channel_name]
    _BARE.pop(channel_name, None)


def read(channel_name: str, text: str, default_region: str = "") -> Recipient | Problem:
    """Return who *text* names on *channel_name*, or the problem with it.

    *default_region* is the client's two-letter region (``ID``): only with it may a phone begin with 0.
    """
    given = text.strip()
    if len(given) > MAXIMUM_LENGTH:
        return _problem(f"{len(given)} characters are no address and no phone number: {MAXIMUM_LENGTH} are the most")
    head, colon, rest = given.partition(":")
    if colon:
        owner = PREFIXES.get(head.lower())
        if owner is None:
            return _problem(f"«{head[:20]}:» is no prefix of an address; use {PREFIX_OF.get(channel_name, 'none')}:…")
        if owner != channel_name:
            return _problem(f"«{head}:» names somebody on {owner}, and this request goes to {channel_name}")
        if channel_name == channel.WHATSAPP:
            rest = _SEPARATORS.sub("", rest).removeprefix("+") if not _BSUID.fullmatch(rest) else rest
        if channel_name in _ADDRESS and _ADDRESS[channel_name].fullmatch(rest):
            return Recipient(Form.ADDRESS, rest)
        return _problem(f"after «{head}:» {channel_name} needs {_WANTED[channel_name]}")
    bare = _BARE.get(channel_name)
    if bare is not None and bare.fullmatch(given):
        return Recipient(Form.ADDRESS, given)
    return _phone(channel_name, given, default_region)


def _phone(channel_name: str, given: str, default_region: str) -> Recipient | Problem:
    digits = _SEPARATORS.sub("", given)
    plus = digits.startswith("+")
    if plus and _TRUNK_ZERO.search(given) and len(digits) < _LONGEST_SPELLING:
        return _with_trunk_zero(given, digits)
    digits = digits.removeprefix("+")
    if digits.startswith("0") and not plus:
        if not default_region:
            return _problem(
                "a phone that begins with 0 needs the client's default_region; else write it with its country code "
                "(628…)"
            )
        if digits.startswith("00"):
            digits = digits[2:]
        else:
            national = with_country_code(digits, default_region)
            if national is None:
                return _problem(f"«{given[:40]}» is no phone number of the region {default_region}")
            digits = national
    # A minus is a separator between digits; before them it makes the id of a Telegram group, which is nobody's phone.
    group = given.startswith("-")
    if not group and (_PHONE.fullmatch(digits) or (_MASKED.fullmatch(digits) and "x" in digits)):
        return Recipient(Form.PHONE, digits)
    return _problem(
        f"a phone has 7 to 15 digits with its country code (628…, + optional); or give {_WANTED.get(channel_name, '')}"
    )


def _with_trunk_zero(given: str, digits: str) -> Recipient | Problem:
    """Read an international number with «(0)» in it: most countries drop this 0, Italy dials it from abroad too."""
    national = with_country_code(digits, "")
    if national is None:
        return _problem(f"«{given[:40]}» is no phone number; leave the «(0)» out (+44 20 …)")
    return Recipient(Form.PHONE, national)


def variants(digits: str) -> tuple[str, ...]:
    """Return every spelling of the phone *digits* that WhatsApp is known to take for the same person, *digits* first.

    Three countries have two spellings of a mobile number, and WhatsApp knows a person by the one of their registration,
    which may be the other than the one that was dialled. All are written with the country code and without plus.

    - Brazil: ``55``, two digits of the area, and 8 or 9 digits: mobile numbers got a 9 in front from 2012 to 2016, which
      WhatsApp leaves out in many areas. What begins with 2 to 5 after the area is a landline and has one spelling.
    - Mexico: ``52`` or ``521`` and 10 digits: the 1 of mobile numbers was abolished in August 2019.
    - Argentina: ``54`` or ``549`` and 10 digits: a mobile number is called from abroad with the 9.

    Sources: Meta's Cloud API page on sending messages, on ``input`` and ``wa_id`` (Brazil and Mexico are rewritten, which it
    calls normal); WhatsApp's help page "About international phone number format" (Argentina's 9, Mexico's 1); users' reports
    (chatwoot, issue 11053, pull requests 14174 and 14277). Which of two spellings WhatsApp uses cannot be computed: it is
    learned from the ``wa_id`` of answers and from what comes in.
    """
    found = ((pattern.fullmatch(digits), written) for pattern, written in _VARIANTS)
    return (digits, *(match.expand(written) for match, written in found if match is not None))


def with_country_code(digits: str, region: str) -> str | None:
    """Return national *digits* of *region* with the country code, or None when they cannot be a number there."""
    import phonenumbers  # costs 20 ms and is needed by clients with a default region only

    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _problem(detail: str) -> Problem:
    return Problem("/recipient", "invalid_recipient", detail)
