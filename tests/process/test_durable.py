"""Files that are replaced: whole at every moment, and, where it matters, without ever asking the disk for more room."""

from pathlib import Path

import pytest

from edgefleet_process.durable import BLOCK_BYTES, replace_file, write_blocks
from edgefleet_process.reading import digest_of_file, read_blocks


@pytest.mark.parametrize("keep_room", [False, True])
def test_the_new_takes_the_place_of_the_old(tmp_path: Path, keep_room: bool) -> None:
    path = tmp_path / "state.json"
    for content in (b"one", b"the second", b"3"):
        replace_file(path, content, keep_room=keep_room)
        assert path.read_bytes().rstrip() == content


def test_nothing_else_is_left_lying_about(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"one")
    replace_file(tmp_path / "file", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_room_that_is_kept_is_used_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for content in (b"one", b"two"):
        replace_file(path, content, keep_room=True)
    files = {p.stat().st_ino for p in tmp_path.iterdir()}
    assert len(files) == 2
    for number in range(10):
        replace_file(path, str(number).encode(), keep_room=True)
        assert {p.stat().st_ino for p in tmp_path.iterdir()} == files, "two files, and never another"
        assert {p.stat().st_size for p in tmp_path.iterdir()} == {BLOCK_BYTES}


def test_a_power_cut_within_the_swap_costs_no_room(tmp_path: Path) -> None:
    path, spare = tmp_path / "state.json", tmp_path / "state.json.tmp"
    for content in (b"one", b"two"):
        replace_file(path, content, keep_room=True)
    files = {p.stat().st_ino for p in tmp_path.iterdir()}
    spare.rename(tmp_path / "state.json.old")  # between the two renames
    replace_file(path, b"three", keep_room=True)
    assert path.read_bytes().rstrip() == b"three"
    (tmp_path / "state.json.old").hardlink_to(path)  # before the first
    replace_file(path, b"four", keep_room=True)
    assert path.read_bytes().rstrip() == b"four"
    assert {p.stat().st_ino for p in tmp_path.iterdir()} == files


def test_a_private_file_is_never_open_to_others(tmp_path: Path) -> None:
    path, modes = tmp_path / "credentials.json", []
    path.write_text("old")
    (tmp_path / "credentials.json.tmp").write_text("left by a power cut, and open to everybody")
    written = tmp_path / "credentials.json.tmp"
    replace_file(path, b"new", private=True, before_swap=lambda: modes.append(written.stat().st_mode & 0o777))
    assert (path.read_bytes(), path.stat().st_mode & 0o777, modes) == (b"new", 0o600, [0o600])


def test_what_is_written_block_by_block_is_named_by_its_digest(tmp_path: Path) -> None:
    assert write_blocks(tmp_path / "file", [b"one", b"two"]) == digest_of_file(tmp_path / "file")
    assert b"".join(read_blocks(tmp_path / "file")) == b"onetwo"
