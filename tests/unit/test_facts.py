"""Facts frozen with the first mark are the facts of every later rendering."""

from hypothesis import given
from hypothesis import strategies as st

from kurir.channels.base import Again, Facts, MediaFacts, ReplyTarget, ReplyToken
from kurir.delivery.facts import freeze, thaw, with_cures
from kurir.store.base import PartRecord, Phase

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
facts = st.builds(
    Facts,
    tid=st.just("tid"),
    address=texts,
    last_inbound_seconds=st.none() | st.floats(0, 1e9),
    reply=st.none() | st.builds(ReplyTarget, texts, texts, texts),
    reply_token=st.none() | st.builds(ReplyToken, texts, st.floats(0, 1e6)),
    media=st.dictionaries(
        texts, st.builds(MediaFacts, texts, st.none() | st.integers(0, 2**40), st.none() | st.integers(0, 10**9))
    ),
)


@given(facts)
def test_what_was_frozen_thaws_to_the_same(given_facts):
    assert thaw(freeze(given_facts), "tid") == given_facts
    assert freeze(thaw(freeze(given_facts), "tid")) == freeze(given_facts)


@given(facts, st.dictionaries(st.integers(1, 9), st.lists(st.sampled_from(Again), max_size=3, unique=True)))
def test_cures_come_from_the_parts_and_are_not_frozen(given_facts, cures):
    parts = {
        number: PartRecord(number, Phase.WAITING, again=tuple(cure.value for cure in taken))
        for number, taken in cures.items()
    }
    cured = with_cures(given_facts, parts)
    for number, taken in cures.items():
        assert [cure for cure in Again if cured.takes(number, cure)] == [cure for cure in Again if cure in taken]
    assert freeze(cured) == freeze(given_facts)


def test_facts_without_cures_stay_the_very_same():
    plain = Facts("tid", "1001")
    assert with_cures(plain, {1: PartRecord(1, Phase.ANSWERED)}) is plain
