"""JSON into frozen dataclasses.

Lenient where a newer gateway may differ: unknown members are passed over, and what is absent or null has the field's default.
A value of another type is an error, never a surprise later.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from kurir.client.errors import UNREADABLE_ANSWER, KurirError

_T = TypeVar("_T")


def read(kind: type[_T], value: object, where: str = "") -> _T:
    """Return *value*, which came as JSON, as a *kind*. Raises KurirError (``unreadable_answer``) naming the member."""
    found: _T = _read(kind, value, where)
    return found


def _read(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [one for one in get_args(kind) if one is not type(None)]
        return None if value is None else _read(inner[0], value, where)
    if origin is tuple:
        _check(isinstance(value, list), where, "a list")
        return tuple(_read(get_args(kind)[0], one, f"{where}/{number}") for number, one in enumerate(value))
    if kind is Any:
        return value
    if origin is not None:  # Mapping[str, …]: kept as it is
        _check(isinstance(value, Mapping), where, "an object")
        return value
    if is_dataclass(kind):
        _check(isinstance(value, Mapping), where, "an object")
        return _dataclass(kind, value, where)
    return _scalar(kind, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is datetime:
        return _time(value, where)
    if kind is float:
        _check(isinstance(value, int | float) and not isinstance(value, bool), where, "a number")
        return float(value)
    if issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise _wrong(where, f"one of {', '.join(str(one.value) for one in kind)}") from None
    _check(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), where, f"a {kind.__name__}")
    return value


def _time(value: Any, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong(where, "an RFC 3339 time") from None
    _check(moment.tzinfo is not None, where, "an RFC 3339 time with its offset")
    return moment


def _dataclass(kind: Any, value: Mapping[str, Any], where: str) -> Any:
    found: dict[str, Any] = {}
    for each, hint in _fields(kind):
        name = each.metadata.get("json", each.name)
        given = value.get(name)
        if hint is datetime and given == "":
            given = None  # the compat dialect's absent time
        if given is not None:
            found[each.name] = _read(hint, given, f"{where}/{name}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise _wrong(f"{where}/{name}", "there")
    return kind(**found)


@lru_cache(maxsize=256)
def _fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((each, _plain(hints[each.name])) for each in fields(kind) if each.init)


def _plain(hint: Any) -> Any:
    """Return the type of a member that is there: ``datetime | None`` is a datetime."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(one for one in get_args(hint) if one is not type(None))
    return hint


def _check(holds: bool, where: str, expected: str) -> None:  # noqa: FBT001 - it is the condition
    if not holds:
        raise _wrong(where, expected)


def _wrong(where: str, expected: str) -> KurirError:
    return KurirError(UNREADABLE_ANSWER, f"what was read at {where or '/'} should be {expected}; is this a kurir?")
