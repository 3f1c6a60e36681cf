"""Frozen dataclasses that are made in a third of the time, for what is made many times for each message.

A frozen dataclass guards its attributes by a ``__setattr__`` of its own, and its constructor has to go round that for every
attribute. Where mypy holds the promise that nobody changes one, as everywhere here, that guard only costs.
"""

import dataclasses
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Take the guard from the frozen dataclass *cls*, and give it the constructor of one that is not frozen.

    It stays frozen for mypy, hashable and equal by its values. Raises TypeError for what is no frozen dataclass, and for one
    that does something after its constructor.
    """
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # as the standard library keeps it
        raise TypeError(f"{cls.__name__} is no frozen dataclass")
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} does something after its constructor, which would be left out")
    fields = dataclasses.fields(cls)
    made = dataclasses.make_dataclass(cls.__name__, [(each.name, Any, _again(each)) for each in fields])
    constructor = vars(made)["__init__"]  # of the very same parameters
    constructor.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = constructor  # type: ignore[method-assign]  # that is what it is for
    del cls.__setattr__, cls.__delattr__
    return cls


def _again(field: "dataclasses.Field[Any]") -> Any:
    return dataclasses.field(
        default=field.default, default_factory=field.default_factory, init=field.init, kw_only=bool(field.kw_only)
    )
