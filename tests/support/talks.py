"""A talk with a platform, held by a test that gives the answers."""

import json
from collections.abc import Callable
from typing import Any

from kurir.channels.base import Answer, Call, NoAnswer, Stage

#: What a test answers to a call: (status, JSON), or None for no answer at all.
Answers = Callable[[Call], tuple[int, Any] | None]


def held(talk: Any, answers: Answers) -> tuple[Any, list[Call]]:
    """Hold *talk* to its end; return what came of it, and the calls that it made."""
    calls: list[Call] = []
    try:
        call = next(talk)
        while True:
            assert len(calls) < 1000, "a talk has an end"
            calls.append(call)
            said = answers(call)
            if said is None:
                call = talk.send(NoAnswer(Stage.BEFORE_SEND, "nothing listens"))
            else:
                status, body = said
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                call = talk.send(Answer(status, {}, raw))
    except StopIteration as ended:
        return ended.value, calls


def table(rows: dict[str, tuple[int, Any] | None]) -> Answers:
    """Return answers by the first key that "METHOD URL" of the call contains; it fails for a call without one."""

    def answer(call: Call) -> tuple[int, Any] | None:
        line = f"{call.method} {call.url}"
        for key, said in rows.items():
            if key in line:
                return said
        raise AssertionError(f"nobody expected {line}")

    return answer


def codes(report: Any) -> list[str]:
    """Return the codes of a report's findings."""
    return [one.code for one in report.findings]
