"""Measuring and cutting text: no piece is too long, no grapheme is torn that could stay whole, and no word is lost."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kurir.channels import text
from support.messages import texts

UNITS = [text.utf16, text.code_points, text.utf8, text.graphemes]
FAMILY = "👨‍👩‍👧‍👦"
ACCENTED = "e\u0301"
FLAG = "🇮🇩"
#: As many accents on one letter as make a cluster longer than the limits below.
FLOOD = "a" + "\u0300" * 40


@pytest.mark.parametrize(
    ("words", "utf16", "code_points", "utf8", "graphemes"),
    [
        ("", 0, 0, 0, 0),
        ("abc", 3, 3, 3, 3),
        ("é", 1, 1, 2, 1),
        (ACCENTED, 2, 2, 3, 1),
        ("😀", 2, 1, 4, 1),
        (FLAG, 4, 2, 8, 1),
        (FAMILY, 11, 7, 25, 1),
        ("\r\n", 2, 2, 2, 1),
    ],
)
def test_units(words: str, utf16: int, code_points: int, utf8: int, graphemes: int) -> None:
    assert [unit(words) for unit in UNITS] == [utf16, code_points, utf8, graphemes]


@pytest.mark.parametrize(
    ("words", "maximum", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        (FAMILY + "x", 11, FAMILY),
        ("x" + FAMILY, 11, "x"),
        (FLAG + FLAG, 7, FLAG),
        (ACCENTED * 3, 5, ACCENTED * 2),
        (FLOOD, 5, FLOOD[:5]),
        ("a\r\nb", 2, "a"),
    ],
)
def test_a_prefix_is_made_of_whole_clusters_while_it_can_be(words: str, maximum: int, expected: str) -> None:
    assert text.prefix(words, maximum) == expected


@pytest.mark.parametrize(
    ("words", "maximum", "expected"),
    [
        (" Yes,\n please ", 20, "Yes, please"),
        ("ABCDEFGHIJKLMNOPQRST", 20, "ABCDEFGHIJKLMNOPQRST"),
        ("ABCDEFGHIJKLMNOPQRSTU", 20, "ABCDEFGHIJKLMNOPQRS…"),
        ("Continue with plan number A", 20, "Continue with plan…"),
        ("😀" * 20, 20, "😀" * 9 + "…"),
        ("a\x1fb", 20, "a b"),
    ],
)
def test_fit(words: str, maximum: int, expected: str) -> None:
    assert text.fit(words, maximum) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [""]),
        (" ", [" "]),
        ("aaaaa bbbb", ["aaaaa bbbb"]),
        ("aaaaaaa bbbb", ["aaaaaaa", "bbbb"]),
        # The white space right behind the window is cut at too.
        ("aaaaaaaaaa bbbb", ["aaaaaaaaaa", "bbbb"]),
        # A blank line before a newline, a newline before a sentence, a sentence before any blank.
        ("aaaaa\n\nb\nc d e", ["aaaaa", "b\nc d e"]),
        ("aaaaa. b\nc ddd", ["aaaaa. b", "c ddd"]),
        ("aaaaa. b c ddd", ["aaaaa.", "b c ddd"]),
        # A blank in the first half of the window does not count.
        ("aa bbbbbbbbbbbb", ["aa bbbbbbb", "bbbbb"]),
        ("a" * 25, ["a" * 10, "a" * 10, "a" * 5]),
        ("         aaaaaaaaaaa", ["aaaaaaaaaa", "a"]),
        ("aaaaaaaaaaaa   ", ["aaaaaaaaaa", "aa   "]),
    ],
)
def test_split_cuts_where_a_reader_would_pause(words: str, expected: list[str]) -> None:
    assert text.split(words, 10) == expected


def test_a_space_that_carries_an_accent_is_no_place_to_cut() -> None:
    words = "aaaaaaa \u0301bbbbb"
    assert text.split(words, 10) == ["aaaaaaa \u0301b", "bbbb"]
    assert text.split("aaaaaaaaaa \u0301b", 10) == ["aaaaaaaaaa", " \u0301b"]


def test_the_tail_stays_short_and_what_stands_before_is_split_as_plain_text() -> None:
    assert text.tail("short", 10, 40) == ([], "short")
    before, last = text.tail(" ".join(["wordy"] * 12), 10, 40)
    assert (before, last) == (["wordy wordy wordy wordy wordy wordy", "wordy wordy wordy wordy wordy"], "wordy")
    assert text.tail("aaaaaaaaaa aaa ", 10, 40) == (["aaaaaaaaaa"], "aaa ")


def test_one_line_has_single_spaces_and_none_outside() -> None:
    assert text.one_line("\u2028 a \t\u00a0 b\r\n") == "a b"


def test_what_is_storable() -> None:
    assert text.storable("a\0b\ud800c\udc00😀\ud83d") == "ab\ufffdc\ufffd😀\ufffd"
    assert text.storable("\ud83d\ude00") == "😀"


WORDS = texts(most_pieces=30, longest=3000)
LIMITS = st.integers(4, 120)


def whole(pieces: list[str]) -> str:
    """Return the pieces without any white space, as nothing but white space may be lost."""
    return "".join("".join(pieces).split())


@settings(deadline=None)
@given(WORDS, LIMITS, st.sampled_from(UNITS))
@example(FLOOD + " " + FLOOD, 10, text.utf16)
@example("a \u0301" * 30, 10, text.utf16)
def test_pieces_are_short_enough_and_lose_nothing_but_white_space(words: str, maximum: int, unit: text.Unit) -> None:
    pieces = text.split(words, maximum, unit)
    assert all(unit(piece) <= maximum for piece in pieces)
    assert all(piece.strip() for piece in pieces)
    assert whole(pieces) == whole([words])


@settings(deadline=None)
@given(WORDS, st.integers(4, 120))
@example("a \u0301" * 30, 10)
@example("\u0600 " * 30, 5)
def test_no_cluster_is_torn_that_fits_into_a_piece(words: str, maximum: int) -> None:
    clusters = text.clusters(words)
    if max(map(text.utf16, clusters)) > maximum:
        return
    pieces = text.split(words, maximum)
    # A blank may be the end of a cluster (after a prepended mark), and one at a cut is dropped there too.
    found = [cluster.rstrip() for piece in pieces for cluster in text.clusters(piece) if cluster.strip()]
    assert found == [cluster.rstrip() for cluster in clusters if cluster.strip()]


@settings(deadline=None)
@given(WORDS, st.integers(1, 120), st.sampled_from([text.utf16, text.code_points, text.graphemes]))
def test_what_fits_is_one_line_and_a_beginning(words: str, maximum: int, unit: text.Unit) -> None:
    line = text.fit(words, maximum, unit)
    assert 0 < unit(line) <= maximum
    assert line == text.one_line(line)
    assert text.one_line(words).startswith(line.removesuffix(text.ELLIPSIS))
    if unit(text.one_line(words)) > maximum:
        assert line.endswith(text.ELLIPSIS)


@settings(deadline=None)
@given(WORDS, st.integers(10, 60), st.integers(60, 200))
def test_the_tail_and_what_stands_before_it_lose_nothing(words: str, maximum: int, plain: int) -> None:
    before, last = text.tail(words, maximum, plain)
    assert text.utf16(last) <= maximum
    assert all(text.utf16(piece) <= plain for piece in before)
    assert whole([*before, last]) == whole([words])


def test_a_text_of_a_whole_request_is_split_quickly() -> None:
    words = FAMILY * 5000 + FLOOD * 3000
    assert whole(text.split(words, 1024)) == words
