"""Small disks for tests: one that can be filled to the last byte, one that turns read-only under whoever writes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TRIGGERS = Path("/sys/fs/ext4")


class Disk:
    """A file system of its own, with a file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all of it but `leave_bytes`."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue
        if leave_bytes:
            os.truncate(self._filler, self._filler.stat().st_size - leave_bytes)

    def make_room(self) -> None:
        """Give it all back."""
        self._filler.unlink(missing_ok=True)


def _mount(*words: str) -> None:
    """Mount, as only root may; where that is not permitted the test is skipped, and fails where CI=true."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    missing = f"mounting is not permitted here (run as root, in a container with SYS_ADMIN): {done.stderr.strip()}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Disk]:
    """A tmpfs of so many MB at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(disk: Disk) -> None:
    """Remount a disk on which nobody has a file open for writing."""
    _mount("-o", "remount,ro", str(disk.folder))


def make_writable(disk: Disk) -> None:
    """The way back."""
    _mount("-o", "remount,rw", str(disk.folder))


@contextmanager
def failing_disk(folder: Path, size_mb: int) -> Iterator[Disk]:
    """An ext4 at `folder` that can be broken by `break_down`."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    _mount("-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def break_down(disk: Disk) -> None:
    """What a worn-out flash does: the file system reports an error, and takes no writes from here on."""
    found = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE", str(disk.folder)], capture_output=True, text=True, check=True
    )
    (TRIGGERS / Path(found.stdout.strip()).name / "trigger_fs_error").write_text("1")
