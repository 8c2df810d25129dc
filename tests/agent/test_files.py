"""Files that the agent replaces."""

from pathlib import Path

from edgefleet_agent.files import LateFile


def test_a_file_that_nothing_waits_for_is_written_once_it_can_be(tmp_path: Path) -> None:
    late = LateFile(tmp_path / "folder" / "endpoint", b"http://127.0.0.1:1")
    assert not late.settle()
    (tmp_path / "folder").mkdir()
    assert late.settle()
    assert (tmp_path / "folder" / "endpoint").read_bytes() == b"http://127.0.0.1:1"
