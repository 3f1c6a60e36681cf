"""Scorecard row 11 on PostgreSQL: the tests of ``integration/test_cancellation.py``, over the other database.

Every commit runs two of them; ``KURIR_TIER=N`` all.
"""

import builtins
import os

import pytest

from integration import test_cancellation as shared
from support import stores
from support.nodes import VERSION

pytestmark = [pytest.mark.slow, pytest.mark.scorecard(11), pytest.mark.timeout(300)]

test_on_hold = shared.test_scorecard_11_on_hold_a_cancelled_sending_is_never_called_twice
test_worker = shared.test_scorecard_11_a_worker_cancelled_at_every_point_leaves_its_queue_to_the_next
if os.environ.get("KURIR_TIER") == "N":
    scene = shared.scene
    test_accept = shared.test_scorecard_11_accept_cancelled_at_every_point_keeps_the_message_whole_or_not_at_all
    test_request = shared.test_scorecard_11_a_request_cancelled_at_every_point_leaves_the_next_one_unharmed
    test_webhook = shared.test_scorecard_11_a_webhook_cancelled_at_every_point_is_taken_when_the_platform_repeats_it
    test_sending = (
        shared.test_scorecard_11_a_sending_cancelled_at_every_point_frees_its_slots_and_is_sent_after_a_restart
    )


@pytest.fixture(autouse=True)
def on_postgres(monkeypatch):
    """Let the stores of these tests be PostgreSQL's, and their figures say so."""
    monkeypatch.setattr(stores, "CHOSEN", f"postgres{VERSION}")

    def say(text: str) -> None:
        builtins.print(text.replace("scorecard 11:", f"scorecard 11: on PostgreSQL {VERSION}:"))

    monkeypatch.setattr(shared, "print", say, raising=False)
