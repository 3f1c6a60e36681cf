"""How a change of the configuration is turned down."""

from collections.abc import Sequence

from kurir.domain.problem import Problem


class Refused(Exception):
    """A change was not made, and nothing of it happened.

    ``code`` is one of the registry: invalid_parameters (see ``problems``, all of them at once), not_found,
    configured_in_file.
    """

    def __init__(self, code: str, detail: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail or "; ".join(problem.detail for problem in problems))
        self.code = code
        self.detail = detail
        self.problems = tuple(problems)


def not_found(kind: str, name: str, where: str) -> Refused:
    """Return the refusal for a *kind* of thing that there is none of by this *name*; *where* lists what there is."""
    return Refused("not_found", f"there is no {kind} «{name[:128]}»; {where} lists them")


def in_file(kind: str, name: str) -> Refused:
    """Return the refusal for what the configuration file has."""
    return Refused(
        "configured_in_file",
        f"the {kind} «{name}» stands in the configuration file: change it there and restart, or take it out there to have it "
        f"here",
    )
