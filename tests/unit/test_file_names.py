"""Names of files that came in: a stranger's words on their way into a header and onto somebody's disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.intake.file_names import LONGEST, disposition, saved_as


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Invoice 7.pdf", "application/pdf", "Invoice 7.pdf"),
        ("", "application/pdf", "file.pdf"),
        ("", "image/jpeg", "file.jpg"),
        ("", "audio/ogg", "file.ogg"),
        ("", "AUDIO/MP4", "file.m4a"),
        ("", "application/octet-stream", "file.bin"),
        ("", "application/x-nobody-knows", "file"),
        ("photo", "image/png", "photo.png"),
        ("v1. final", "text/plain", "v1. final.txt"),
        ("holiday.JPG", "application/octet-stream", "holiday.JPG"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        ("C:\\temp\\a.txt", "text/plain", "a.txt"),
        (".bashrc", "text/plain", "bashrc.txt"),
        ("...", "image/png", "file.png"),
        ("a.pdf/", "application/pdf", "file.pdf"),
        ('a<b>:"c|?*.txt', "text/plain", "a_b___c___.txt"),
        ("con.txt", "text/plain", "_con.txt"),
        ("LPT1", "text/plain", "_LPT1.txt"),
        ("invoice\u202efdp.exe", "application/pdf", "invoice_fdp.exe"),
        ("a\r\nX-Evil: 1.txt", "text/plain", "a__X-Evil_ 1.txt"),
        ("фото 🍎.jpg", "image/jpeg", "фото 🍎.jpg"),
        ("x" * 300 + ".pdf", "application/pdf", "x" * (LONGEST - 4) + ".pdf"),
        ("notes .pdf ", "application/pdf", "notes.pdf"),
    ],
)
def test_what_stays_of_a_name(name: str, kind: str, expected: str) -> None:
    assert saved_as(name, kind) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.pdf", "attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf"),
        ("résumé 1.pdf", "attachment; filename=\"resume 1.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9%201.pdf"),
        ("фото.jpg", "attachment; filename=\"file.jpg\"; filename*=UTF-8''%D1%84%D0%BE%D1%82%D0%BE.jpg"),
        ("a'b;c.txt", "attachment; filename=\"a_b_c.txt\"; filename*=UTF-8''a%27b%3Bc.txt"),
    ],
)
def test_the_header_says_the_name_twice(name: str, expected: str) -> None:
    assert disposition(name) == expected


@given(st.text(), st.sampled_from(["image/png", "text/html", "x/y", ""]))
def test_whatever_it_is_called_it_is_a_plain_name_and_a_header(name: str, kind: str) -> None:
    saved = saved_as(name, kind)
    assert saved
    assert saved not in (".", "..")
    assert not set(saved) & set('/\\<>:"|?*\r\n\0')
    assert not saved.startswith(".")
    assert not saved.endswith((" ", "."))
    assert len(saved) <= LONGEST + 12
    header = disposition(saved)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
