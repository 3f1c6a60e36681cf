"""Signatures of callbacks, judged by the Standard Webhooks library."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from kurir.callbacks import signing
from kurir.callbacks.keys import Keys, seal, unseal
from kurir.configuration.declared import endpoint_record
from kurir.configuration.model import CallbackConfig
from kurir.configuration.values import webhook_secret
from kurir.secretbox import SealError, SecretBox
from kurir.store.base import EndpointRecord

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://crm.example.com/hook"


@pytest.mark.scorecard(22)
def test_the_vector_of_the_specification():
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [SECRET])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.scorecard(22)
@given(key=st.binary(min_size=24, max_size=64), text=st.text())
def test_the_library_verifies_what_is_signed(key, text):
    secret = "whsec_" + base64.b64encode(key).decode()
    body = text.encode("utf-8", "replace")
    Webhook(secret).verify(body, signing.headers("evt_1", datetime.now(UTC), body, [secret]), json_parse=False)


@pytest.mark.scorecard(22)
def test_during_a_rotation_the_holders_of_both_secrets_can_verify_and_afterwards_only_one():
    keys = Keys(SECRET).rotated(NEW, NOW)
    assert keys.signing(NOW + timedelta(hours=23, minutes=59)) == (NEW, SECRET)
    assert keys.signing(NOW + timedelta(hours=24)) == (NEW,)
    headers = signing.headers("evt_1", datetime.now(UTC), b"{}", keys.signing(NOW))
    for secret in (NEW, SECRET):
        Webhook(secret).verify(b"{}", headers)
    alone = signing.headers("evt_1", datetime.now(UTC), b"{}", keys.signing(NOW + timedelta(days=2)))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{}", alone)


@pytest.mark.scorecard(22)
def test_another_body_and_an_old_moment_are_not_verified():
    headers = signing.headers("evt_1", datetime.now(UTC), b"{}", [SECRET])
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{ }", headers)
    old = signing.headers("evt_1", datetime.now(UTC) - timedelta(minutes=6), b"{}", [SECRET])
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b"{}", old)


def test_a_new_secret_is_one_that_the_configuration_takes_and_no_two_are_the_same():
    made = {signing.new_secret() for _ in range(10)}
    assert len(made) == 10
    assert all(webhook_secret(secret) == secret for secret in made)


def test_what_is_sealed_opens_for_its_own_endpoint_only_and_shows_in_no_repr():
    box = SecretBox([b"k" * 32])
    keys = Keys(SECRET, {"X-Key": "value"}).rotated(NEW, NOW)
    record = EndpointRecord("acme", URL, "compat", ("*",), seal("acme", URL, keys, box))
    assert unseal(record, box) == keys
    assert SECRET not in repr(keys)
    assert NEW not in repr(keys)
    with pytest.raises(SealError):
        unseal(EndpointRecord("other", URL, "compat", ("*",), record.sealed), box)


def test_what_a_configuration_file_sealed_is_read_and_the_other_way_round():
    box = SecretBox([b"k" * 32])
    config = CallbackConfig(URL, "compat", SECRET, headers={"X-Key": "v"})
    declared = endpoint_record("acme", config, box, NOW)
    assert unseal(declared, box) == Keys(SECRET, {"X-Key": "v"})
    ours = EndpointRecord("acme", URL, "compat", ("*",), seal("acme", URL, Keys(SECRET, {"X-Key": "v"}), box))
    assert endpoint_record("acme", config, box, NOW, ours).sealed == ours.sealed  # it says the same, and is kept
