"""A send as code to copy: curl, Python, JavaScript, PHP and Go, each without a package of anybody. Pure.

The message's text goes into the code as data: what it says can never become code, whatever it holds. Credentials are read
from the environment, and the id is made anew at each run: the same id is one message, however often it is sent.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What stands for the id where the body is text.
_ID: Final = "NEW-ID"


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code that sends a message. ``language`` names it for a highlighter, ``file`` is what it would be saved as."""

    name: str
    language: str
    file: str
    code: str


def snippets(url: str, body: Mapping[str, Any]) -> dict[str, Snippet]:
    """Return code that POSTs *body* to *url*, by a short name of the language."""
    return {
        short: Snippet(name, short, file, write(url, dict(body))) for short, (name, file, write) in _LANGUAGES.items()
    }


def _text(body: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """Return the body as JSON with a placeholder for its id, which stands first."""
    return json.dumps({**body, "id": _ID}, ensure_ascii=False, indent=indent)


def _curl(url: str, body: dict[str, Any]) -> str:
    before, _, after = _text(body).partition(_ID)
    # The id is the first member, so that this is its place whatever the message says.
    data = f'{shlex.quote(before)}"copy-$(date +%s)-$$"{shlex.quote(after)}'
    return "\n".join(
        (
            f"curl -sS {shlex.quote(url)} \\",
            '  -u "$KURIR_USERNAME:$KURIR_PASSWORD" \\',
            "  -H 'Content-Type: application/json' \\",
            f"  -d {data}",
        )
    )


def _python(url: str, body: dict[str, Any]) -> str:
    plain = {name: value for name, value in body.items() if name != "id"}
    return f"""\
import json
import os
import urllib.request
import uuid

message = {_literal(plain)}
message["id"] = str(uuid.uuid4())

request = urllib.request.Request(
    {json.dumps(url)},
    data=json.dumps(message).encode(),
    headers={{
        "Content-Type": "application/json",
        "Auth-username": os.environ["KURIR_USERNAME"],
        "Auth-password": os.environ["KURIR_PASSWORD"],
    }},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["data"])
"""


def _literal(value: Any, indent: str = "") -> str:
    """Return JSON as Python writes it. A string of JSON is one of Python: it has no other escapes."""
    inner = indent + "    "
    if isinstance(value, dict) and value:
        lines = [
            f"{inner}{json.dumps(name, ensure_ascii=False)}: {_literal(one, inner)}," for name, one in value.items()
        ]
        return "\n".join(["{", *lines, indent + "}"])
    if isinstance(value, list) and value:
        return "\n".join(["[", *(f"{inner}{_literal(one, inner)}," for one in value), indent + "]"])
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _javascript(url: str, body: dict[str, Any]) -> str:
    plain = {name: value for name, value in body.items() if name != "id"}
    return f"""\
// node send.mjs (18 or newer)
const message = {json.dumps(plain, ensure_ascii=False, indent=2)};
message.id = crypto.randomUUID();

const answer = await fetch({json.dumps(url)}, {{
  method: "POST",
  headers: {{
    "Content-Type": "application/json",
    "Auth-username": process.env.KURIR_USERNAME,
    "Auth-password": process.env.KURIR_PASSWORD,
  }},
  body: JSON.stringify(message),
}});
console.log(answer.status, await answer.json());
"""


def _php(url: str, body: dict[str, Any]) -> str:
    # No line of the JSON begins with the closing word: its lines begin with blanks, quotes, brackets or numbers.
    return f"""\
<?php
$message = json_decode(<<<'END_OF_MESSAGE'
{_text(body)}
END_OF_MESSAGE);
$message->id = bin2hex(random_bytes(16));

$answer = file_get_contents({_php_text(url)}, false, stream_context_create(['http' => [
    'method' => 'POST',
    'ignore_errors' => true,
    'header' => [
        'Content-Type: application/json',
        'Auth-username: ' . getenv('KURIR_USERNAME'),
        'Auth-password: ' . getenv('KURIR_PASSWORD'),
    ],
    'content' => json_encode($message),
]]));
echo $answer, PHP_EOL;
"""


def _php_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _go(url: str, body: dict[str, Any]) -> str:
    # A raw string may hold anything but the grave accent, which JSON can write in another way.
    text = _text(body).replace("`", "\\u0060")
    return f"""\
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const message = `{text}`

func main() {{
	id := make([]byte, 16)
	rand.Read(id)
	body := strings.Replace(message, "{_ID}", fmt.Sprintf("%x", id), 1)
	request, err := http.NewRequest("POST", {json.dumps(url)}, strings.NewReader(body))
	if err != nil {{
		panic(err)
	}}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Auth-username", os.Getenv("KURIR_USERNAME"))
	request.Header.Set("Auth-password", os.Getenv("KURIR_PASSWORD"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {{
		panic(err)
	}}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	io.Copy(os.Stdout, answer.Body)
}}
"""


_LANGUAGES: Final[dict[str, tuple[str, str, Callable[[str, dict[str, Any]], str]]]] = {
    "curl": ("curl", "send.sh", _curl),
    "python": ("Python", "send.py", _python),
    "javascript": ("JavaScript", "send.mjs", _javascript),
    "php": ("PHP", "send.php", _php),
    "go": ("Go", "main.go", _go),
}
