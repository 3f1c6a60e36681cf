"""The bytes of a body as JSON, or the one sentence that says why they are none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kurir.intake.json_body import MAXIMUM_DEPTH, UnreadableBody, find_comment, read
from support.seed_sample import ANNOTATED, PLAIN

DEEP = MAXIMUM_DEPTH


def refused(body: bytes) -> UnreadableBody:
    with pytest.raises(UnreadableBody) as caught:
        read(body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"   \r\n\t", "invalid_json"),
        (b"\xef\xbb\xbf", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"a":1', "invalid_json"),
        (b'{"a":1}}', "invalid_json"),
        (b'{"a":1} x', "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":1,}', "invalid_json"),
        (b"[1,]", "invalid_json"),
        (b"{a:1}", "invalid_json"),
        (b'{"a":tru}', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":Infinity}', "invalid_json"),
        (b'{"a":-Infinity}', "invalid_json"),
        (b'{"a":1e999}', "invalid_json"),
        (b'{"a":-1E999}', "invalid_json"),
        (b'{"a":[{"b":1e400}]}', "invalid_json"),
        (b'{"a":01}', "invalid_json"),
        (b'{"a":+1}', "invalid_json"),
        (b'{"a":.5}', "invalid_json"),
        (b'{"a":0x10}', "invalid_json"),
        (b'{"a":"\n"}', "invalid_json"),
        (b'{"a":"\x00"}', "invalid_json"),
        (b'{"a":"\\u0000"}', "invalid_json"),
        (b'{"\\u0000":1}', "invalid_json"),
        (b'{"a":["x",{"b":"y\\u0000z"}]}', "invalid_json"),
        (b'{"a":"\\ud800"}', "invalid_json"),
        (b'{"a":"\\udc00\\ud800"}', "invalid_json"),
        (b'{"a":"\\x41"}', "invalid_json"),
        (b"id=1&type=text", "invalid_json"),
        (b"<xml/>", "invalid_json"),
        (b"\x00", "invalid_json"),
        (b"/* no */ {}", "invalid_json"),
        (b"# no\n{}", "invalid_json"),
        (b'{"a":' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"a":"\xc3"}', "not_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
        (b'{"a":"\xc0\x80"}', "not_utf8"),
        (b"\x1f\x8b\x08\x00\x00", "not_utf8"),
        ('{"a":"é"}'.encode("latin-1"), "not_utf8"),
        ('{"a":1}'.encode("utf-16"), "not_utf8"),
        (b"[" * (DEEP + 1) + b"]" * (DEEP + 1), "too_deep"),
        (b'{"a":' * (DEEP + 1) + b"1" + b"}" * (DEEP + 1), "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b"// hello\n{}", "json_comments"),
        (b"{} // hello", "json_comments"),
        (b'{"a": 1, // one\n "b": 2}', "json_comments"),
    ],
)
def test_what_is_no_json_is_refused_with_its_code(body, code):
    error = refused(body)
    assert error.code == code
    assert len(error.detail) < 300
    assert error.detail == error.detail.strip() != ""


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b" \r\n {} \n", {}),
        (b"\xef\xbb\xbf{}", {}),
        (b"null", None),
        (b'"text"', "text"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":"https://x//y"}', {"a": "https://x//y"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":1e5,"b":1E-400}', {"a": 100000.0, "b": 0.0}),
        (b"[" * DEEP + b"]" * DEEP, None),
        ('{"a":"日本\u2028"}'.encode(), {"a": "日本\u2028"}),
    ],
)
def test_what_is_json_is_read(body, value):
    found = read(body)
    assert value is None or found == value


def test_the_annotated_sample_is_refused_with_the_place_of_its_first_comment():
    error = refused(ANNOTATED.encode())
    assert error.code == "json_comments"
    assert "line 8, column 1;" in error.detail
    assert read(PLAIN.encode()) == json.loads(PLAIN)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("// x", (1, 1)),
        ('{"a": 1} // x', (1, 10)),
        ('{\r\n  "a": 1, // x\r\n}', (2, 11)),
        ('{"a": "é//", "b": 1} //', (1, 22)),
        ('{"a": "\\"//", "b": "//"}', None),
        ('{"a": "\\\\"} // x', (1, 13)),
        ('{"a": "broken\n // after', (2, 2)),
        ('{"a": 1 / 2}', None),
        ("", None),
    ],
)
def test_a_comment_is_found_outside_of_strings_only(text, place):
    assert find_comment(text) == place


_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=6), inner, max_size=4),
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_json, st.booleans())
def test_every_json_value_is_read_as_it_is(value, ascii_only):
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def code_of(body: bytes) -> str:
    """Return the code with which *body* is refused, "" when it is read."""
    try:
        read(body)
    except UnreadableBody as error:
        return error.code
    return ""


CODES = {"", "invalid_json", "not_utf8", "too_deep", "json_comments"}


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_never_anything_else(body):
    assert code_of(body) in CODES


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PLAIN)), st.binary(max_size=4))
def test_the_sample_damaged_anywhere_is_read_or_refused(at, noise):
    raw = PLAIN.encode()
    for damaged in (raw[:at], raw[:at] + noise + raw[at:], raw[:at] + noise + raw[at + len(noise) :]):
        assert code_of(damaged) in CODES
