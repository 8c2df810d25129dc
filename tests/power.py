"""A folder under which the power is cut at every sync: what was synced is there, and what was not is gone."""

import os
from collections.abc import Callable
from pathlib import Path

Cut = Callable[[], None]


class Disk:
    """Follows one folder by its syncs, and shows what a power cut would leave of it.

    A file has the bytes of its last sync, none if it never was; a folder the names of its last sync. Some file systems
    keep names that were not synced, without the bytes: `names_survive` shows that.

    Args:
        root: the folder; what lies in it now is on the disk.
        cut: called before and after every sync.
    """

    def __init__(self, root: Path, cut: Cut) -> None:
        self._root, self._cut = root, cut
        self._names: dict[int, dict[str, int]] = {}
        self._bytes: dict[int, bytes] = {}
        self._held: dict[int, int] = {}
        for path in (root, *root.rglob("*")):
            self._keep(path)

    def fsync(self, descriptor: int) -> None:
        """Stands in for os.fsync; nothing is written for good."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_relative_to(self._root):
            return
        self._cut()
        self._keep(path)
        self._cut()

    def after_cut(self, target: Path, *, names_survive: bool) -> None:
        """Lay down at `target` what a power cut now would leave."""
        self._restore(self._root.stat().st_ino, target, self._root if names_survive else None)

    def close(self) -> None:
        """Let go of every file."""
        for descriptor in self._held.values():
            os.close(descriptor)

    def _keep(self, path: Path) -> None:
        inode = self._hold(path)
        if path.is_dir():
            self._names[inode] = {child.name: self._hold(child) for child in path.iterdir()}
        else:
            self._bytes[inode] = path.read_bytes()

    def _hold(self, path: Path) -> int:
        """Its inode, which nobody else gets while we hold it."""
        inode = path.stat().st_ino
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_PATH)
        return inode

    def _restore(self, inode: int, target: Path, live: Path | None) -> None:
        is_folder = Path(f"/proc/self/fd/{self._held[inode]}").is_dir()
        if not is_folder:
            target.write_bytes(self._bytes.get(inode, b""))
            return
        target.mkdir()
        names = {p.name: self._hold(p) for p in live.iterdir()} if live else self._names.get(inode, {})
        for name, child in names.items():
            self._restore(child, target / name, live / name if live else None)
