"""Arbitrary messages of every type, for the properties that every channel's ``render`` must hold.

``seed_bodies(channel)`` gives request bodies (parsed JSON) that are valid by form: ``wire.decode(body, channel)``
returns a Message. They are nasty where a platform is strict: text of joined emoji, stacked accents, right-to-left
words and blanks; keys far longer than any field; repeated titles; blank optional strings; up to 40 buttons and 15
sections. Files are by URL, mostly of kinds that the channels show, sometimes not: what ``Channel.problems`` refuses is
to be skipped.

    @given(seed_bodies("whatsapp"))
    def test_every_payload_is_within_the_limits(body): ...
"""

from typing import Any

from hypothesis import strategies as st

Body = dict[str, Any]

#: What a recipient may look like on each channel: an address, an explicit one, and a phone.
RECIPIENTS = {
    "whatsapp": ["6281234567890", "+62 812-3456-7890", "wa:6281234567890", "US.13491208655302741918", "628xxxxxxxx"],
    "telegram": ["1001001", "tg:1001", "-1001234567890", "@some_channel", "6281234567890"],
    "line": ["U" + "0a" * 16, "line:C" + "1b" * 16, "R" + "2c" * 16, "6281234567890"],
    "messenger": ["6915551234567890", "fb:6915551234567890", "psid:7001234567890123", "6281234567890"],
}

TYPES = ("text", "image", "video", "audio", "voice", "document", "button", "list", "location")
MEDIA_TYPES = ("image", "video", "audio", "voice", "document")

#: Pieces that break careless counting and cutting. Each is whole as it stands; some are many code points long.
PIECES = (
    *("a", "b c", "word ", "A sentence. ", "Really? ", "Yes! ", "…", "\n", "\n\n", "\t", " ", "   ", "\r\n", "\u00a0"),
    *("<b>", "&amp;", "</b>", "*bold*", "_it_", "`code`", "[a](b)", "\\", '"', "'", "{}", "%s", "{0}", "~t:", "/start"),
    *("é", "e\u0301", "a" + "\u0300" * 12, "ï", "ß", "ı", "ﬁ", "Ａ", "ก็", "न्दी", "கு", "한국", "日本語", "中文。"),
    *("שלום ", "مرحبا ", "\u200f", "\u202e", "\u2066x\u2069", "\ufeff", "\u200b", "\u00ad", "\ufe0f", "\u200d"),
    *("😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇮🇩", "🇮🇩🇫🇮", "1️⃣", "❤️", "🧑🏿‍🚀", "𝒳", "𠮷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
    *("https://example.com/a?b=c&d=%20 ", "http://x.fi ", "\u2028", "\u0085", "x" * 30, "🎉" * 15),
)
BLANKS = ("", " ", "\n\t ", "\u00a0")

_EXTENSIONS = {
    "image": ("jpg", "jpeg", "png", "JPG", ""),
    "video": ("mp4", "MP4", ""),
    "audio": ("mp3", "m4a", "ogg", ""),
    "voice": ("ogg", "mp3", "m4a", ""),
    "document": ("pdf", "docx", "txt", "xlsx", ""),
}
_OTHER_EXTENSIONS = ("gif", "webp", "svg", "heic", "mov", "webm", "wav", "exe", "zip", "bin")
_NAMES = ("a", "photo", "report%20final", "%E6%97%A5%E6%9C%AC", "a.b.c", "UPPER", "%2e%2e%2fetc", "x" * 120)
_HOSTS = (
    "https://example.com",
    "https://media.sandbox.invalid",
    "https://xn--bcher-kva.example:8443",
    "HTTPS://example.com",
)


def visible(text: str) -> bool:
    """Return whether *text* is not blank in the eyes of the decoder."""
    return bool(text.strip())


def texts(most_pieces: int = 12, longest: int = 12_000) -> st.SearchStrategy[str]:
    """Text that is not blank: mostly short, sometimes far beyond every limit (up to about *longest* characters)."""
    piece = st.one_of(
        st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
    )
    short = st.lists(piece, min_size=1, max_size=most_pieces).map("".join)
    long = st.tuples(short, st.sampled_from([5, 40, 200, 1000])).map(lambda pair: (pair[0] * pair[1])[:longest])
    return st.one_of(short, short, long).filter(visible).map(_whole)


def _whole(text: str) -> str:
    return text.encode("utf-8", "ignore").decode()


def blankable(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Text, or one of several ways of giving none."""
    return st.one_of(strategy, st.sampled_from(BLANKS))


def keys() -> st.SearchStrategy[str]:
    """Keys as clients invent them: short, repeated, with outer blanks, like a token, and as long as a document."""
    usual = st.sampled_from(
        ["yes", "no", "order:1", " outer ", "~t:AAAAAAAAAAAAAAAAAAAAAA", "~t:", "ключ", "🔑", "a" * 64, "a" * 65]
    )
    sized = st.sampled_from([200, 201, 256, 257, 300, 301, 1000, 1001, 4000]).flatmap(
        lambda size: st.sampled_from(["k" * size, "é" * size, "🔑" * (size // 2), " " + "k" * (size - 1)])
    )
    return st.one_of(usual, sized, texts(6, 3000))


def titles() -> st.SearchStrategy[str]:
    """Titles: many alike, so that they collide once they are shortened."""
    alike = st.sampled_from(
        ["Yes", "yes", "No", "A very long title that is cut at once", "A very long title that is cut too"]
    )
    return st.one_of(alike, texts(6, 400))


@st.composite
def urls(draw: st.DrawFn, kind: str) -> str:
    """An absolute https URL of a file of *kind*, by its extension; sometimes of another kind, sometimes without one."""
    pool = _EXTENSIONS[kind] if draw(st.integers(0, 9)) else _OTHER_EXTENSIONS
    extension = draw(st.sampled_from(pool))
    path = draw(st.sampled_from(_NAMES)) + ("." + extension if extension else "")
    query = draw(st.sampled_from(["", "", "?v=1&token=a%20b", "#page=2"]))
    return f"{draw(st.sampled_from(_HOSTS))}/{path}{query}"


def _media(kind: str) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({"url": urls(kind)}, optional={"name": blankable(texts(4, 300))})


def _locations() -> st.SearchStrategy[Body]:
    finite = {"allow_nan": False, "allow_infinity": False}
    return st.fixed_dictionaries(
        {
            "latitude": st.one_of(st.sampled_from([0, -90, 90, -6.2]), st.floats(-90, 90, **finite)),
            "longitude": st.one_of(st.sampled_from([0, -180, 180, 106.816666]), st.floats(-180, 180, **finite)),
        }
    )


def _buttons() -> st.SearchStrategy[Any]:
    button = st.fixed_dictionaries({"key": keys(), "title": titles()})
    count = st.one_of(st.integers(1, 3), st.integers(1, 13), st.integers(1, 40))
    several = count.flatmap(lambda size: st.lists(button, min_size=size, max_size=size))
    return st.one_of(button, several, several)


def _lists() -> st.SearchStrategy[Body]:
    action = st.fixed_dictionaries({"key": keys(), "title": titles(), "description": blankable(texts(6, 400))})
    section = st.fixed_dictionaries(
        {
            "title": blankable(titles()),
            "description": blankable(texts(8, 2000)),
            "actions": st.one_of(st.lists(action, min_size=1, max_size=3), st.lists(action, min_size=1, max_size=14)),
        }
    )
    sections = st.one_of(st.lists(section, min_size=1, max_size=3), st.lists(section, min_size=1, max_size=15))
    return st.fixed_dictionaries({"title": blankable(titles()), "sections": sections})


def _headers() -> st.SearchStrategy[Any]:
    text = st.fixed_dictionaries({"type": st.just("text"), "text": texts(8, 1000)})
    media = st.sampled_from(["image", "video", "document"]).flatmap(
        lambda kind: st.fixed_dictionaries({"type": st.just(kind), "media_url": urls(kind)})
    )
    return st.one_of(st.none(), st.just({"type": "", "text": "", "media_url": ""}), text, text, media)


def _footers() -> st.SearchStrategy[Any]:
    text = blankable(texts(6, 800))
    return st.one_of(st.none(), st.fixed_dictionaries({"title": text, "text": text}))


@st.composite
def seed_bodies(draw: st.DrawFn, channel: str, types: tuple[str, ...] = TYPES) -> Body:
    """Request bodies for *channel*, of the seed's *types*, for which ``wire.decode`` returns a Message."""
    kind = draw(st.sampled_from(types))
    content: Body = {"text": draw(texts() if kind == "text" else blankable(texts()))}
    body: Body = {
        "id": draw(st.uuids().map(str)),
        "times": draw(st.sampled_from([0, 1700000000])),
        "timestamp": "2023-11-10T12:38:08.123456789+07:00",
        "recipient": draw(st.sampled_from(RECIPIENTS[channel])),
        "type": kind,
        "body": content,
        "reply_id": draw(st.sampled_from(["", "", "wamid.HBgLMTY1NTU1NTEyMzQVAgASGBQz", "a-client-id", "1001:17"])),
        "reply_token": draw(st.sampled_from(["", "", "opaque-token"])),
    }
    if kind in MEDIA_TYPES:
        content["media"] = draw(_media(kind))
    elif kind == "location":
        content["location"] = draw(_locations())
    elif kind == "button":
        content["button"] = draw(_buttons())
    elif kind == "list":
        content["list"] = draw(_lists())
    if kind in ("button", "list"):
        _surround(draw, body, content)
    return body


def _surround(draw: st.DrawFn, body: Body, content: Body) -> None:
    """Add header and footer, beside or inside the body, and words where there are none yet."""
    header, footer = draw(_headers()), draw(_footers())
    place = body if draw(st.booleans()) else content
    place["header"], place["footer"] = header, footer
    has_words = visible(content["text"]) or bool(header and header.get("text", "").strip())
    if not has_words and not (body["type"] == "list" and visible(content["list"]["title"])):
        content["text"] = draw(texts())
