"""Reading what an administrator gave with the readers of the configuration file.

What is wrong is collected as problems of the request. A reference to a variable or a file is none here: what comes over the
network must not read this machine's secrets.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Final

from kurir.administration.refusal import Refused
from kurir.configuration.problems import Path, WrongValueError, dotted
from kurir.configuration.table import REFERENCE_FORM, Reading
from kurir.domain.problem import Problem, pointer

_SENTENCES: Final = ("is ", "must ", "takes ")


class Fields(Reading):
    """Collects the problems of a request. Keys that are in *inside* stand in its object ``settings``."""

    def __init__(self, inside: Collection[str] = ()) -> None:
        super().__init__("what was given", FilePath(), {})
        self._inside = frozenset(inside)
        self._found: list[Problem] = []

    def report(self, path: Path, detail: str) -> None:
        """Collect a problem."""
        place = ("settings", *path) if path and path[0] in self._inside else path
        code = "invalid_format"
        if detail.startswith("is missing"):
            code = "missing"
        elif detail.startswith("unknown") or " is no channel" in detail:
            code = "unsupported_value"
        detail = detail.replace(REFERENCE_FORM, "a string")
        name = dotted(place)
        if name:
            detail = f"{name} {detail}" if detail.startswith(_SENTENCES) else f"{name}: {detail}"
        self.add(Problem(pointer(*place), code, detail))

    def add(self, problem: Problem) -> None:
        """Collect a problem."""
        self._found.append(problem)

    def resolve(self, value: object) -> object:
        """Return *value*, which must not refer to anything. Raises WrongValueError."""
        if isinstance(value, Mapping):
            raise WrongValueError("expected a string, got an object: only the configuration file may refer to others")
        return value

    @property
    def problems(self) -> Sequence[Problem]:
        """What was found wrong so far."""
        return self._found

    def finish(self) -> None:
        """Raise Refused if there was any problem."""
        if self._found:
            raise Refused("invalid_parameters", problems=self._found)
