"""A quick dataclass is the frozen one but for its guard."""

import inspect
import pickle
from dataclasses import dataclass, field, replace

import pytest

from kurir.quick import quick


@dataclass(frozen=True, slots=True)
class Plain:
    number: int
    name: str = "nobody"
    many: list[int] = field(default_factory=list)
    last: bool = field(default=False, kw_only=True)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    number: int
    name: str = "nobody"
    many: list[int] = field(default_factory=list)
    last: bool = field(default=False, kw_only=True)


def test_it_is_made_as_before():
    assert [*inspect.signature(Quick).parameters] == [*inspect.signature(Plain).parameters]
    made, plain = Quick(1, many=[2], last=True), Plain(1, many=[2], last=True)
    assert repr(made) == repr(plain).replace("Plain", "Quick")
    assert Quick(1).many is not Quick(1).many
    with pytest.raises(TypeError, match="number"):
        Quick()
    with pytest.raises(TypeError):
        Quick(1, "a", [], True)


def test_it_is_equal_by_its_values_replaced_hashed_and_pickled_and_has_no_other_attribute():
    assert replace(Quick(1), name="a") == Quick(1, "a") != Quick(1, "b")
    assert pickle.loads(pickle.dumps(Quick(1, "a"))) == Quick(1, "a")
    assert hash(Hashed(1)) == hash(Hashed(1))
    with pytest.raises(AttributeError):
        Quick(1).other = 1


@quick
@dataclass(frozen=True, slots=True)
class Hashed:
    number: int


def test_what_would_lose_something_is_refused():
    @dataclass(frozen=True)
    class Checked:
        number: int

        def __post_init__(self) -> None: ...

    for cls in (Checked, dataclass(type("Open", (), {"__annotations__": {"number": int}})), object):
        with pytest.raises(TypeError):
            quick(cls)
