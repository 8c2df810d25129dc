"""One package with damaged metadata hides nothing that others bring."""

from pathlib import Path

import pytest

from edgefleet_process.installed import brought, package_of, said

GROUP = "some.group"


def install(site: Path, name: str, entries: bytes, metadata: str | None = "") -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "entry_points.txt").write_bytes(entries)
    if metadata is not None:
        (folder / "METADATA").write_text(metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "fine", f"[{GROUP}]\ngood = os\n".encode())
    return tmp_path


def names() -> list[str]:
    return [entry.name for entry in brought(GROUP).entries]


def test_entries_that_are_no_text_are_named_and_hide_no_others(site: Path) -> None:
    assert (names(), brought(GROUP).unreadable) == (["good"], ())
    install(site, "latin", f"[{GROUP}]\nb\u00e4d = os\n".encode("latin-1"))
    install(site, "nameless", b"\xff", metadata=None)
    assert names() == ["good"]
    told = sorted(brought(GROUP).unreadable)
    assert told[0].startswith(f"the entry points of a package without a name in {site} cannot be read (UnicodeDecode")
    assert told[1].startswith("the entry points of latin cannot be read (UnicodeDecodeError")


def test_of_two_copies_of_a_package_the_first_counts(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path_factory.mktemp("newer")
    install(newer, "fine", f"[{GROUP}]\nbetter = os\n".encode())
    install(newer, "latin", b"\xff")
    monkeypatch.syspath_prepend(newer)
    assert names() == ["better"]


def test_a_package_without_metadata_goes_by_what_its_entry_refers_to(site: Path) -> None:
    install(site, "bare", f"[{GROUP}]\nodd = os.path:join\n".encode(), metadata=None)
    (odd,) = (entry for entry in brought(GROUP).entries if entry.name == "odd")
    assert str(package_of(odd)) == "os.path:join unknown"


def test_an_error_is_one_line_even_if_it_cannot_say_what_it_is() -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    assert said(Mute()) == "Mute"
    assert said(ValueError("two\nlines")) == "ValueError: two lines"
