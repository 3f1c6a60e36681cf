"""Links to files that came in: whose they are, until when, and that nobody else can make one."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from kurir.clock import FakeClock
from kurir.intake.links import LIFE, PURPOSE, MediaLinks
from kurir.secretbox import SecretBox, new_key
from kurir.store.feed import EventRecord

OLD, NEW = new_key(), new_key()


def event(clock, position=7, account="acme-wa"):
    return EventRecord(position, "acme", "message.received", account, "whatsapp", "628", clock.now())


def links(clock, *keys):
    box = SecretBox(keys or (NEW,))
    return MediaLinks("https://chat.example.com/kurir/", lambda: box.derive(PURPOSE), clock)


def ticket(url):
    account, position, number, until, signature = urlsplit(url).path.split("/")[-5:]
    return account, int(position), int(number), int(until), signature


def test_a_link_lies_below_the_public_url_and_says_when_it_ends():
    clock = FakeClock()
    url, until = links(clock).link(event(clock), 1)
    assert url.startswith("https://chat.example.com/kurir/media/acme-wa/7/1/")
    assert abs(until - clock.now() - LIFE) < timedelta(seconds=1)
    assert links(clock).good(*ticket(url))


def test_a_link_that_has_ended_is_not_good():
    clock = FakeClock()
    made = links(clock)
    url, _ = made.link(event(clock), 0)
    clock.move(LIFE.total_seconds() - 2)
    assert made.good(*ticket(url))
    clock.move(3)
    assert not made.good(*ticket(url))


@pytest.mark.parametrize("place", range(5))
def test_whatever_is_changed_in_a_link_it_is_not_good_any_more(place):
    clock = FakeClock()
    made = links(clock)
    words = list(ticket(made.link(event(clock), 0)[0]))
    assert made.good(*words)
    words[place] = words[place] + 1 if isinstance(words[place], int) else words[place][:-1] + "é"
    assert not made.good(*words)


def test_a_link_outlives_a_new_key_while_the_old_one_is_still_there():
    clock = FakeClock()
    url, _ = links(clock, OLD).link(event(clock), 0)
    assert links(clock, NEW, OLD).good(*ticket(url))
    assert not links(clock, NEW).good(*ticket(url))


def test_the_signing_key_is_not_the_one_that_seals():
    assert SecretBox((NEW,)).derive(PURPOSE)[0] != NEW
    assert SecretBox((NEW,)).derive(PURPOSE) != SecretBox((NEW,)).derive("something else")
