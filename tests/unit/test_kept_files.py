"""The folder of kept files: what counts as kept, what a process that died leaves, and how much there is room for."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kurir.intake.kept_files import About, NoRoom, Shelf, ShelfTrouble, Shelved, key_of
from kurir.store.feed import EventRecord

ABOUT = About("acme", "acme-line", 7, 0, Shelved.KEPT, "2026-01-01T00:00:00Z", "image/jpeg", "a.jpg", 5)
KEY = "ab" + "c" * 62


def put(shelf: Shelf, key: str = KEY, content: bytes = b"hello") -> None:
    draft = shelf.draft(key)
    draft.write(content)
    draft.put(ABOUT)


def test_a_file_is_kept_when_its_description_is_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "media", 100)
    draft = shelf.draft(KEY)
    draft.write(b"hel")
    assert shelf.find(KEY) is None
    draft.write(b"lo")
    draft.put(ABOUT)
    assert shelf.find(KEY) == ABOUT
    assert shelf.path(KEY).read_bytes() == b"hello"
    assert list(shelf.all()) == [(KEY, ABOUT)]
    assert sorted(path.name for path in shelf.path(KEY).parent.iterdir()) == ["c" * 62, "c" * 62 + ".json"]


def test_bytes_without_a_description_are_replaced_and_counted_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 100)
    put(shelf)
    shelf.path(KEY).with_name("c" * 62 + ".json").unlink()  # it died between the two
    again = Shelf(tmp_path, 100)
    again.open()
    assert (again.used, again.find(KEY)) == (5, None)
    put(again)
    assert (again.used, again.find(KEY)) == (5, ABOUT)


def test_what_was_being_written_is_removed_at_the_next_start(tmp_path: Path) -> None:
    draft = Shelf(tmp_path, 100).draft(KEY)
    draft.write(b"hel")
    shelf = Shelf(tmp_path, 100)
    shelf.open()
    assert shelf.used == 0
    assert list(tmp_path.glob("??/*")) == []
    draft.drop()


def test_there_is_room_for_so_much_and_what_goes_makes_room(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 8)
    put(shelf)
    draft = shelf.draft("cd" + "e" * 62)
    draft.write(b"123")
    with pytest.raises(NoRoom):
        draft.write(b"4")
    draft.drop()
    assert shelf.used == 5
    shelf.delete(KEY)
    shelf.delete(KEY)  # once more changes nothing
    assert (shelf.used, shelf.find(KEY)) == (0, None)
    assert list(tmp_path.glob("??/*")) == []
    put(shelf, content=b"12345678")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"state": "lost"}', b"\xff"])
def test_a_description_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    shelf = Shelf(tmp_path, 100)
    put(shelf)
    shelf.path(KEY).with_name("c" * 62 + ".json").write_bytes(content)
    assert shelf.find(KEY) is None
    assert list(shelf.all()) == []


def test_a_description_that_the_disk_does_not_take_leaves_no_bytes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 100)
    draft = shelf.draft(KEY)
    draft.write(b"hello")
    about = shelf.path(KEY).with_name("c" * 62 + ".json")
    about.mkdir()
    with pytest.raises(ShelfTrouble):
        draft.put(ABOUT)
    draft.drop()
    assert (shelf.used, shelf.path(KEY).exists()) == (0, False)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"a": "x"}', b"{"])
def test_marks_are_none_where_they_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    shelf = Shelf(tmp_path / "media", 100)
    shelf.set_marks({"acme-line": 7})
    assert shelf.marks() == {"acme-line": 7}
    if content is None:
        (tmp_path / "media" / "marks.json").unlink()
    else:
        (tmp_path / "media" / "marks.json").write_bytes(content)
    assert shelf.marks() == {}


def test_a_file_of_another_database_has_another_key() -> None:
    def event(media: bytes) -> EventRecord:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return EventRecord(7, "acme", "message.received", "acme-line", "line", "U1", at, media=media)

    one, other = (event(json.dumps({"files": [{"id": name}]}).encode()) for name in ("1", "2"))
    assert len({key_of(one, 0), key_of(one, 1), key_of(other, 0)}) == 3
    assert key_of(one, 0) == key_of(event(one.media or b""), 0)
