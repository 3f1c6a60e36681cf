"""Code to copy: whatever a message says stays data in it. Run for real: tests/integration/test_console_snippets.py."""

import ast
import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.console.snippets import snippets

URL = "https://chat.example/whatsapp/send/shop"
#: What ends a string, a quote, a heredoc or a template somewhere.
NASTY = (
    "'; touch /tmp/x; '",
    '"; import os; "',
    "$(touch x) `touch x` ${x} $x \\$",
    "END_OF_MESSAGE);\nEND_OF_MESSAGE",
    "`+`",
    "\\u0060 \\n \\",
    "</script> <?php ?>",
    "NEW-ID",
    "\u2028\u2029\u0000\u007f\r\n\t",
    "ไทย 日本語 👩‍👩‍👧",
    "%s %(x)s {0} {}",
)


def body(text: str) -> dict[str, object]:
    return {"id": "1", "times": 0, "recipient": text, "type": "text", "body": {"text": text, "more": [True, None, 1.5]}}


def python_literal(code: str) -> object:
    (assigned,) = [
        one
        for one in ast.parse(code).body
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name) and one.targets[0].id == "message"
    ]
    return ast.literal_eval(assigned.value)


def shell_data(code: str) -> str:
    words = shlex.split(code.replace("\\\n", " "))
    return words[words.index("-d") + 1]


@pytest.mark.parametrize("text", NASTY)
def test_hostile_text_is_data_in_every_language(text):
    asked = body(text)
    plain = {name: value for name, value in asked.items() if name != "id"}
    made = snippets(URL, asked)
    assert python_literal(made["python"].code) == plain
    assert json.loads(shell_data(made["curl"].code)) == {**asked, "id": "copy-$(date +%s)-$$"}
    javascript = made["javascript"].code.partition("const message = ")[2].partition(";\nmessage.id")[0]
    assert json.loads(javascript) == plain
    php = re.fullmatch(r"(?s).*<<<'END_OF_MESSAGE'\n(.*)\nEND_OF_MESSAGE\);\n\$message->id.*", made["php"].code)
    assert php is not None
    assert json.loads(php.group(1)) == {**asked, "id": "NEW-ID"}
    assert not re.search(r"(?m)^\s*END_OF_MESSAGE", php.group(1))
    raw = made["go"].code.partition("const message = `")[2]
    assert json.loads(raw[: raw.index("`")]) == {**asked, "id": "NEW-ID"}
    assert raw.index('"NEW-ID"') < raw.index('"recipient"'), "the first one is the id"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_data_in_python_and_the_shell(text):
    made = snippets(URL, body(text))
    literal = python_literal(made["python"].code)
    assert isinstance(literal, dict)
    assert literal["recipient"] == text
    assert json.loads(shell_data(made["curl"].code))["recipient"] == text


def test_a_hostile_address_is_data_too():
    made = snippets("https://chat.example/'\"`$(x)\\", body("x"))
    assert "'https://chat.example/'\"'\"'\"`$(x)\\'" in made["curl"].code
    assert "file_get_contents('https://chat.example/\\'\"`$(x)\\\\'" in made["php"].code


def test_no_credentials_stand_in_the_code():
    for one in snippets(URL, body("x")).values():
        assert "KURIR_USERNAME" in one.code
        assert "KURIR_PASSWORD" in one.code
