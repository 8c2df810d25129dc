"""Whether a folder of wheels is all that a device needs."""

import zipfile
from pathlib import Path

import pytest
from distribution.target import Target
from distribution.wheels import Wheel, missing, wheels_in

PI = Target("aarch64", "3.11")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our own wheel, which needs one for ARM, one on old Pythons, and one for an extra."""
    make(tmp_path, "own-1.0-py3-none-any", "fast>=2", "old; python_version < '3.12'", "web; extra == 'web'")
    return tmp_path


def make(folder: Path, stem: str, *needs: str) -> None:
    name, version = stem.split("-")[:2]
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(folder / f"{stem}.whl", "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines))


def lacking(folder: Path, target: Target = PI) -> list[str]:
    own = Wheel(folder / "own-1.0-py3-none-any.whl")
    return [str(needed) for needed in missing(wheels_in(folder), target, own)]


def test_what_is_needed_there_is_missed_and_extras_are_not(folder: Path) -> None:
    assert lacking(folder) == ["fast>=2", "old"]
    assert lacking(folder, Target("aarch64", "3.13")) == ["fast>=2"]


def test_a_wheel_for_another_machine_or_python_does_not_count(folder: Path) -> None:
    make(folder, "fast-2.0-cp311-cp311-manylinux_2_28_x86_64")
    make(folder, "fast-2.0-cp313-cp313-manylinux_2_28_aarch64")
    make(folder, "fast-2.0-cp311-cp311-manylinux_2_39_aarch64")
    make(folder, "old-1.0-py3-none-any")
    assert lacking(folder) == ["fast>=2"]
    make(folder, "fast-2.0-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64")
    assert lacking(folder) == []


def test_a_version_that_does_not_fit_does_not_count(folder: Path) -> None:
    make(folder, "fast-1.9-py3-none-any")
    assert "fast>=2" in lacking(folder)


def test_what_the_needed_need_in_turn_is_missed_too_by_the_devices_markers(folder: Path) -> None:
    make(folder, "old-1.0-py3-none-any", "deep[x]; platform_machine == 'aarch64'", "windows; sys_platform == 'win32'")
    make(folder, "fast-2.0-cp36-abi3-manylinux_2_17_aarch64", "own")
    make(folder, "deep-1.0-py3-none-any", "extra-of-deep; extra == 'x'", "other; extra == 'y'")
    assert lacking(folder) == ["extra-of-deep"]
