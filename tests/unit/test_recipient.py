"""Who a request names, by the form of its recipient alone: every form of the contract, and what is refused."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kurir.domain.problem import Problem
from kurir.domain.recipient import PREFIX_OF, PREFIXES, Addresses, Form, Recipient, forget, learn, read, variants

USER = "U" + "0a" * 16
PSID = "24312345678907001"


@pytest.mark.parametrize(
    ("channel", "text", "address"),
    [
        ("telegram", "tg:1001", "1001"),
        ("telegram", "TG:1001", "1001"),
        ("telegram", " tg:1001 ", "1001"),
        ("telegram", "tg:-1001234567890", "-1001234567890"),
        ("telegram", "tg:@some_channel", "@some_channel"),
        ("telegram", "tg:6281234567890", "6281234567890"),
        ("telegram", "@some_channel", "@some_channel"),
        ("telegram", "-1001234567890", "-1001234567890"),
        ("telegram", "-5", "-5"),
        ("line", USER, USER),
        ("line", "line:" + USER, USER),
        ("line", "C" + "1b" * 16, "C" + "1b" * 16),
        ("line", "R" + "2c" * 16, "R" + "2c" * 16),
        ("messenger", PSID, PSID),
        ("messenger", "fb:" + PSID, PSID),
        ("messenger", "psid:" + PSID, PSID),
        ("messenger", "FB:12345", "12345"),
        ("messenger", "1" * 16, "1" * 16),
        ("messenger", "9" * 20, "9" * 20),
        ("whatsapp", "wa:6281234567890", "6281234567890"),
        ("whatsapp", "wa:+62 812-3456-7890", "6281234567890"),
        ("whatsapp", "US.13491208655302741918", "US.13491208655302741918"),
        ("whatsapp", "wa:US.13491208655302741918", "US.13491208655302741918"),
        ("whatsapp", "ID.ENT.aB9", "ID.ENT.aB9"),
    ],
)
def test_an_explicit_or_unmistakable_form_is_an_address(channel, text, address):
    assert read(channel, text) == Recipient(Form.ADDRESS, address)


@pytest.mark.parametrize("channel", ["whatsapp", "telegram", "line", "messenger"])
@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("6281234567890", "6281234567890"),
        ("+6281234567890", "6281234567890"),
        ("+62 812-3456-7890", "6281234567890"),
        ("(62) 812.3456/7890", "6281234567890"),
        ("62\u00a0812\u20113456\u20137890", "6281234567890"),
        ("628xxxxxxxx", "628xxxxxxxx"),
        ("+628xxxxxxxx", "628xxxxxxxx"),
        ("1234567", "1234567"),
        ("123456789012345", "123456789012345"),
        ("+1 (555) 078-3881", "15550783881"),
        ("\u202a+62 812-3456-7890\u202c", "6281234567890"),
        ("\ufeff6281\u200b234567890", "6281234567890"),
        ("+44 (0)20 7946 0958", "442079460958"),
        ("+62 (0)812 3456 7890", "6281234567890"),
        ("+39 (0)6 1234 5678", "390612345678"),
    ],
)
def test_anything_else_is_a_phone_with_its_separators_dropped(channel, text, digits):
    assert read(channel, text) == Recipient(Form.PHONE, digits)


@pytest.mark.parametrize(
    ("text", "region", "digits"),
    [
        ("081234567890", "ID", "6281234567890"),
        ("0812-3456-7890", "ID", "6281234567890"),
        ("040 1234567", "FI", "358401234567"),
        ("020 7946 0958", "GB", "442079460958"),
        ("006281234567890", "DE", "6281234567890"),
        ("6281234567890", "FI", "6281234567890"),
    ],
)
def test_a_leading_zero_is_read_with_the_clients_region(text, region, digits):
    assert read("whatsapp", text, region) == Recipient(Form.PHONE, digits)


@pytest.mark.parametrize(
    ("channel", "text", "region"),
    [
        ("whatsapp", "081234567890", ""),
        ("whatsapp", "006281234567890", ""),
        ("whatsapp", "+081234567890", "ID"),
        ("whatsapp", "0812", "ID"),
        ("whatsapp", "0" * 12, "ID"),
        ("whatsapp", "123456", ""),
        ("whatsapp", "1234567890123456", ""),
        ("whatsapp", "++6281234567890", ""),
        ("whatsapp", "62812345678a", ""),
        ("whatsapp", "xxxxxxxxxx", ""),
        ("whatsapp", "٦٢٨١٢٣٤٥٦٧٨٩٠", ""),
        ("whatsapp", "６２８１２３４５６７８９０", ""),
        ("whatsapp", "us.13491208655302741918", ""),
        ("whatsapp", "wa:", ""),
        ("whatsapp", "wa:abc", ""),
        ("whatsapp", USER, ""),
        ("whatsapp", "@name", ""),
        ("whatsapp", PSID, ""),
        ("telegram", "@ab", ""),
        ("telegram", "@1name", ""),
        ("telegram", "@näme", ""),
        ("telegram", "1001", ""),
        ("telegram", "-0", ""),
        ("telegram", "tg:0", ""),
        ("telegram", "tg:", ""),
        ("telegram", "tg:one", ""),
        ("telegram", USER, ""),
        ("line", "U" + "0a" * 15, ""),
        ("line", "U" + "0A" * 16, ""),
        ("line", "X" + "0a" * 16, ""),
        ("line", "line:6281234567890", ""),
        ("line", "@name", ""),
        ("messenger", "1" * 21, ""),
        ("messenger", "fb:abc", ""),
        ("messenger", "-1001234567890", ""),
        ("telegram", "phone:6281234567890", ""),
        ("telegram", "https://t.me/name", ""),
        ("telegram", ":", ""),
        ("telegram", "a\nb", ""),
        ("telegram", "x" * 100_000, ""),
        ("whatsapp", "0" * 100_000, "ID"),
        ("whatsapp", "+(0)1", ""),
        ("whatsapp", "+" + "(0)1" * 50_000, ""),
        ("whatsapp", "(0)20 7946 0958", ""),
    ],
)
def test_what_is_neither_is_a_problem_of_the_recipient(channel, text, region):
    problem = read(channel, text, region)
    assert isinstance(problem, Problem)
    assert (problem.pointer, problem.code) == ("/recipient", "invalid_recipient")
    assert 20 < len(problem.detail) < 300


@pytest.mark.parametrize("prefix", list(PREFIXES))
@pytest.mark.parametrize("channel", list(PREFIX_OF))
def test_the_prefix_of_another_channel_is_a_problem_that_names_both(prefix, channel):
    address = {"tg": "1001", "line": USER, "fb": PSID, "psid": PSID, "wa": "6281234567890"}[prefix]
    found = read(channel, f"{prefix}:{address}")
    if PREFIXES[prefix] == channel:
        assert found == Recipient(Form.ADDRESS, address)
    else:
        assert isinstance(found, Problem)
        assert PREFIXES[prefix] in found.detail
        assert channel in found.detail


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(PREFIX_OF)), st.text(max_size=40), st.sampled_from(["", "ID", "FI"]))
def test_every_text_is_read_or_refused_and_an_address_reads_as_itself(channel, text, region):
    found = read(channel, text, region)
    if isinstance(found, Recipient) and found.form is Form.ADDRESS:
        assert read(channel, f"{PREFIX_OF[channel]}:{found.value}") == found
    elif isinstance(found, Recipient):
        assert read(channel, found.value) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5531987654321", "553187654321"),  # Belo Horizonte
        ("5511912345678", None),  # 1234… after the 9: no mobile number had 8 digits like these
        ("5511998765432", "551198765432"),
        ("551132654321", None),  # a landline of São Paulo
        ("5500987654321", None),
        ("525512345678", "5215512345678"),
        ("520012345678", None),
        ("5491123456789", "541123456789"),
        ("5492944123456", "542944123456"),
        ("549112345678", None),
        ("6281234567890", None),
        ("628xxxxxxxx", None),
        ("55319876543xx", None),
        ("15550783881", None),
    ],
)
def test_the_two_spellings_of_a_mobile_number_lead_to_each_other(one, other):
    if other is None:
        assert variants(one) == (one,)
    else:
        assert variants(one) == (one, other)
        assert variants(other) == (other, one)


@settings(max_examples=500, deadline=None)
@given(st.from_regex(r"(55|52|521|54|549|[1-9])[0-9]{6,12}", fullmatch=True))
def test_every_spelling_has_the_same_spellings_and_is_a_phone(digits):
    found = variants(digits)
    assert found[0] == digits
    assert len(found) <= 2
    for spelling in found:
        assert set(variants(spelling)) == set(found)
        if len(found) == 2:
            assert read("whatsapp", spelling) == Recipient(Form.PHONE, spelling)


# --- channels of other packages -----------------------------------------------------------------------------------------

NAMES = Addresses("pa", re.compile(r"[a-z]{2,8}"), "a name", bare=re.compile(r"[a-z]{2,8}"))


@pytest.fixture
def parlour():
    learn("parlour", NAMES)
    yield
    forget("parlour")


def test_a_channel_that_is_learned_has_its_own_forms(parlour):
    assert read("parlour", "pa:ani") == read("parlour", "ani") == Recipient(Form.ADDRESS, "ani")
    assert read("parlour", "628123456789") == Recipient(Form.PHONE, "628123456789")
    assert isinstance(read("parlour", "pa:628"), Problem)
    assert isinstance(read("telegram", "pa:ani"), Problem)


def test_what_was_learned_can_be_learned_again_and_is_forgotten(parlour):
    learn("parlour", Addresses("pb", NAMES.address, "a name"))
    assert read("parlour", "pb:ani") == Recipient(Form.ADDRESS, "ani")
    assert isinstance(read("parlour", "pa:ani"), Problem)
    assert isinstance(read("parlour", "ani"), Problem)  # nothing is bare any more
    before = set(PREFIXES)
    forget("parlour")
    assert before - set(PREFIXES) == {"pb"}
    forget("parlour")
    forget("telegram")  # ours stay
    assert PREFIX_OF["telegram"] == "tg"


@pytest.mark.parametrize(
    ("channel", "prefix"),
    [("telegram", "pa"), ("parlour", "tg"), ("parlour", ""), ("parlour", "A"), ("parlour", "a:b")],
)
def test_a_channel_takes_no_prefix_that_is_taken_or_cannot_be_one(channel, prefix):
    with pytest.raises(ValueError, match=r"prefix|own"):
        learn(channel, Addresses(prefix, NAMES.address, "a name"))
    assert "parlour" not in PREFIX_OF
