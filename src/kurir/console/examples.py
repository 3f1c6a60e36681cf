"""Commands that can be copied and run as they are, but for what stands in capitals. Pure."""

import json
import shlex

#: The example's recipient: no phone has it.
RECIPIENT = "628…"


def send(
    url: str, channel: str, client_id: str, *, username: str = "", password: str = "", account_id: str = ""
) -> str:
    """Return a command that sends a text, with every member that a request must have. Without a login, it names variables."""
    body = {
        "id": "1",
        "times": 0,
        "timestamp": "2026-01-01T12:00:00+07:00",
        **({"account": account_id} if account_id else {}),
        "recipient": RECIPIENT,
        "type": "text",
        "body": {"text": "Hello"},
    }
    name = shlex.quote(f"Auth-username: {username}") if username else '"Auth-username: $KURIR_USERNAME"'
    word = shlex.quote(f"Auth-password: {password}") if password else '"Auth-password: $KURIR_PASSWORD"'
    sent = shlex.quote(json.dumps(body, ensure_ascii=False))
    return (
        f"curl -s {url}/{channel}/send/{client_id} \\\n  -H {name} \\\n  -H {word} \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d {sent}"
    )
