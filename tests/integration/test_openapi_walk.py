"""The whole OpenAPI document, walked by schemathesis: requests that fit it and requests that do not, and along its links.

Whatever is asked, no answer is a 5xx, and each is one that the document describes: status, content type, schema, headers.
Not held here: that what fits the schema is taken (the rest of the rules is in the contract, and a 422 says them), that what
does not fit is refused (unknown fields are ignored, numbers may be strings), and who is let in (``test_native_api.py``).
``KURIR_TIER=N`` asks fifteen times as often.
"""

import contextlib
import copy
import json
import os
import urllib.request
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Flaky, Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from support.bodies import TYPES, body
from support.process import Up, up

NIGHTLY: Final = os.environ.get("KURIR_TIER") == "N"
OF_EACH: Final = 30 if NIGHTLY else 2
ROUNDS: Final = 15 if NIGHTLY else 1
WALKS: Final = 5
STEPS: Final = 8
NOT_HELD: Final = [ignored_auth, negative_data_rejection, positive_data_acceptance]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if NIGHTLY else 240)]

#: What is walked together, by the paths. What is made by a call to a platform's API is left out: it is slow.
WALKED: Final = {
    "messages": r"^/telegram/send|^/v1/(messages|events)",
    "contacts": r"^/v1/contacts",
    "clients": r"^/v1/admin/clients",
    "accounts": r"^/v1/admin/accounts(?!.*/(check|connect|connection|sync))",
    "callbacks": r"^/v1/admin/callbacks",
}
SEND: Final = "/{channel}/send/{client_id}"
CONTACT: Final = "/v1/contacts/{channel}/{address}"


class Asked:
    """A gateway, its document, and what was found: what was asked how often with which answer, and what was wrong."""

    def __init__(self, running: Up) -> None:
        self.running = running
        with urllib.request.urlopen(running.facts["url"] + "/openapi.json", timeout=10) as answer:
            self.document = json.load(answer)
        del self.document["paths"]["/v1/events/stream"]  # it does not end
        self.counted: Counter[tuple[str, int]] = Counter()
        self.wrong: dict[tuple[str, str, int], str] = {}
        self.numbers = iter(range(10**9))

    def schema(self, under: str = "") -> Any:
        """Return the document; or what lies under some paths, with a send without parameters: else no walk begins there."""
        document = copy.deepcopy(self.document)
        if under:
            send = document["paths"].pop(SEND)
            document["paths"]["/telegram/send/demo"] = send
            del send["post"]["parameters"]
        found = schemathesis.openapi.from_dict(document)
        found.config.update(base_url=self.running.facts["url"])
        return found.include(path_regex=under) if under else found

    def login(self, case: Case) -> dict[str, str]:
        """Return the credentials that the document names for the operation."""
        if {"admin": []} in case.operation.definition.raw.get("security", []):
            return {"Authorization": f"Bearer {self.running.facts['admin_token']}"}
        return {"Auth-username": self.running.facts["username"], "Auth-password": self.running.facts["password"]}

    def note(self, case: Case, response: Any) -> None:
        """Hold an answer against the document."""
        label = case.operation.label
        self.counted[label, response.status_code] += 1
        try:
            case.validate_response(response, excluded_checks=NOT_HELD)
        except FailureGroup as failures:
            for one in failures.exceptions:
                words = f"{one}\n{case.as_curl_command()[:2000]}\n{response.text[:500]}"
                self.wrong.setdefault((label, type(one).__name__, response.status_code), words)

    def well(self) -> None:
        """Fail with everything that was wrong; each line has the call that shows it."""
        assert not self.wrong, "\n\n".join(f"{what}\n{words}" for what, words in self.wrong.items())
        status, answer = self.running.call("GET", "/readyz")
        assert status == 200, answer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("walk") / "kurir-data") as started:
        yield started


def impatient(case: Case) -> None:
    """Ask for what there is: a long poll would wait for more."""
    if case.query:
        case.query.pop("wait", None)


def test_every_answer_is_one_that_the_document_describes(running: Up) -> None:
    asked = Asked(running)
    for found in asked.schema().get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:

            @settings(
                max_examples=OF_EACH,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Case) -> None:
                impatient(case)
                asked.note(case, case.call(headers=asked.login(case), timeout=30))

            try:
                ask()
            except Unsatisfiable:  # what has neither parameters nor a body cannot be asked wrongly
                assert mode is GenerationMode.NEGATIVE
    asked.well()
    operations = sum(len(methods) for methods in asked.document["paths"].values())
    assert len({label for label, _ in asked.counted}) == operations
    print(f"{sum(asked.counted.values()):,} requests to {operations} operations, every answer as described")


@pytest.mark.parametrize("what", list(WALKED))
def test_along_the_links_every_answer_is_described_too(running: Up, what: str) -> None:
    asked, random = Asked(running), Random(what)

    class Walk(asked.schema(WALKED[what]).as_state_machine()):  # type: ignore[misc] # the base is made at run time
        def before_call(self, case: Case) -> None:
            impatient(case)
            prepare(case, random, next(asked.numbers))

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": asked.login(case), "timeout": 30}

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            asked.note(case, response)

    for _ in range(ROUNDS):
        with contextlib.suppress(
            Flaky
        ):  # what is there depends on the server, which hypothesis cannot know: a round ends
            Walk.run(
                settings=settings(
                    max_examples=WALKS,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
            )
    asked.well()
    assert sum(asked.counted.values()) > STEPS
    print(f"{sum(asked.counted.values()):,} requests along the links of {what}")


def test_each_link_leads_to_what_was_made(running: Up) -> None:
    asked, random = Asked(running), Random(1)
    schema = asked.schema()
    operations = {found.ok().definition.raw.get("operationId"): found.ok() for found in schema.get_all_operations()}
    made = 0
    for operation in operations.values():
        links = operation.definition.raw["responses"].get("200", {}).get("links", {})
        for name, link in links.items():
            made += 1
            first = operation.Case(path_parameters={}, query={})
            prepare(first, random, 10_000 + made, always=True)
            answer = first.call(headers=asked.login(first), timeout=30)
            asked.note(first, answer)
            assert answer.status_code == 200, (operation.label, answer.text)
            then = operations[link["operationId"]]
            values = {one: value_of(said, first, answer) for one, said in link["parameters"].items()}
            follow(asked, then, {one: value for one, value in values.items() if value is not None}, name)
    asked.well()
    assert made >= 20


def value_of(expression: str, case: Case, answer: Any) -> Any:
    """Return what an expression of a link means (OpenAPI 3.1, «Runtime Expressions»): the two kinds that are used here."""
    if expression.startswith("$request.path."):
        return case.path_parameters[expression.removeprefix("$request.path.")]
    value = answer.json()
    for step in expression.removeprefix("$response.body#/").split("/"):
        value = value[step]
    return value


def follow(asked: Asked, operation: Any, values: dict[str, Any], name: str) -> None:
    """Call what a link leads to. It is there: whatever else it says, it is no 404."""
    in_path = {key: value for key, value in values.items() if f"{{{key}}}" in operation.path}
    body = {"body": {}, "media_type": "application/json"} if "requestBody" in operation.definition.raw else {}
    query = {key: value for key, value in values.items() if key not in in_path}
    case = operation.Case(path_parameters=in_path, query=query, **body)
    answer = case.call(headers=asked.login(case), timeout=30)
    asked.note(case, answer)
    assert answer.status_code in (200, 409, 422), (operation.label, name, answer.text)
    assert answer.status_code == 200 or operation.method.upper() != "GET", (operation.label, answer.text)


def prepare(case: Case, random: Random, number: int, *, always: bool = False) -> None:
    """Give what makes something a body that is taken, three times of four: nothing that is drawn at random would be."""
    place = case.path_parameters
    if place.get("client_id") == "demo":
        place["client_id"] = "somebody-else"  # who asks is not switched off
    made = MADE.get((case.operation.method.upper(), case.operation.path))
    if made is None or (not always and random.random() < 0.25):
        return
    if case.operation.path == SEND:
        place |= {"client_id": "demo", "channel": "telegram"}
    elif case.operation.path == CONTACT:
        place |= {"channel": "telegram", "address": str(1000 + number)}
    case.body, case.media_type = made(random, number), "application/json"


def message(random: Random, number: int) -> Any:
    later = {"send_at": "2099-11-23T10:00:00Z"} if random.random() < 0.5 else {}
    return body(random.choice(TYPES), id=f"walk-{number}", recipient="tg:1001", **later)


#: What is taken, by the operation that makes something of it.
MADE: Final = {
    ("POST", SEND): message,
    ("POST", "/telegram/send/demo"): message,
    ("PUT", CONTACT): lambda _, number: {"phone": f"62811{number:07}"},
    ("POST", "/v1/admin/clients"): lambda _, number: {"id": f"walk-{number}"},
    ("POST", "/v1/admin/accounts"): lambda _, number: {
        "id": f"walk-{number}-tg",
        "client": "demo",
        "channel": "line",
        "settings": {"channel_access_token": f"of the walk {number}", "channel_secret": f"of the walk {number}"},
    },
    ("PUT", "/v1/admin/callbacks"): lambda _, number: {"client": "demo", "url": f"https://127.0.0.1/{number}"},
}
