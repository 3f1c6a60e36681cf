"""What a file is by its first bytes, beside what its host says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.file_types import content_type, is_a_page_instead

MP4 = b"\x00\x00\x00\x18ftypisom"


@pytest.mark.parametrize(
    ("head", "declared", "told"),
    [
        (b"\xff\xd8\xff\xe0JFIF", "image/png", "image/jpeg"),
        (b"\xff\xd8\xff\xe0JFIF", "image/jpg", "image/jpg"),
        (b"\x89PNG\r\n\x1a\n", "application/octet-stream", "image/png"),
        (b"GIF89a", "image/jpeg", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/jpeg", "image/webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wav", "audio/wav"),
        (MP4, "video/mp4", "video/mp4"),
        (MP4, "audio/mp4", "audio/mp4"),
        (MP4, "application/octet-stream", "video/mp4"),
        (b"\x00\x00\x00\x18ftypM4A ", "", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypM4A ", "video/mp4", "audio/mp4"),
        (b"\x00\x00\x00\x18ftyp3gp4", "text/plain", "video/3gpp"),
        (b"\x00\x00\x00\x18ftypheic", "image/jpeg", "image/heic"),
        (b"OggS\x00\x02", "application/octet-stream", "audio/ogg"),
        (b"OggS\x00\x02", "audio/ogg; codecs=opus", "audio/ogg; codecs=opus"),
        (b"OggS\x00\x02", "audio/mpeg", "audio/ogg"),
        (b"ID3\x04\x00", "", "audio/mpeg"),
        (b"ID3\x04\x00", "audio/mp3", "audio/mp3"),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", "video/quicktime"),
        (b"\xff\xfb\x90\x00", "application/octet-stream", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac", "audio/aac"),
        (b"%PDF-1.7", "text/html; charset=utf-8", "application/pdf"),
        (b"PK\x03\x04", "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (b"PK\x03\x04", "image/png", "application/zip"),
        (b" \n<!DOCTYPE html><title>Log in</title>", "application/pdf", "text/html"),
        (b"\xef\xbb\xbf<html>", "image/jpeg", "text/html"),
        (b"<?xml version='1.0'?>", "text/xml", "text/xml"),
        (b"plain words", "text/plain", "text/plain"),
        (b"", "image/png", "image/png"),
    ],
)
def test_the_bytes_decide_where_they_can(head, declared, told):
    assert content_type(head, declared) == told


@given(st.binary(max_size=40), st.text(max_size=20))
def test_every_file_has_a_type(head, declared):
    assert content_type(head, declared) in {declared, content_type(head, "")}


@pytest.mark.parametrize(
    ("kind", "name", "instead"),
    [
        ("text/html", "Invoice.pdf", True),
        ("text/html", "voice.OGG", True),
        ("text/html", "page.html", False),
        ("text/html", "PAGE.HTM", False),
        ("text/html", "report", False),
        ("text/html; charset=utf-8", "Invoice.pdf", True),
        ("application/pdf", "Invoice.pdf", False),
    ],
)
def test_a_page_to_log_in_at_is_not_the_file(kind, name, instead):
    assert is_a_page_instead(kind, name) is instead
