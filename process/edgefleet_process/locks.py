"""State folders and locks between processes; the system releases a lock when its holder dies."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from edgefleet_process.errors import StateInUse, StateNotWritable


class FileLock:
    """A lock file that one holder at a time can lock.

    A child process that inherits `descriptor` holds the lock too, until both have closed it.

    Args:
        path: the file; created if it is missing.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = _open(path)

    def try_take(self) -> bool:
        """Take the lock if it is free; whether it is ours now."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self) -> None:
        """Take the lock; wait while another holder has it."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def close(self) -> None:
        """Release the lock."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def keep_private() -> None:
    """Make whatever this process and its children write readable by their user alone, whatever the shell's umask is."""
    os.umask(0o077)


def make_folder(folder: Path) -> None:
    """Make sure that a state folder is there.

    Raises:
        StateNotWritable: it is a file, or cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StateNotWritable(f"{folder} is not a folder: give another --state") from None
    except OSError as error:
        raise StateNotWritable(f"{folder} cannot be created ({error.strerror}): give another --state") from None


def own_folder(folder: Path, program: str, name: str = "lock") -> FileLock:
    """Take a state folder for this process, until the lock is closed or the process ends.

    Args:
        folder: the state folder.
        program: the program's name, for the message if the folder is taken.
        name: the lock's file.

    Raises:
        StateInUse: another process has it.
        StateNotWritable: there is no lock file yet, and none can be created.
    """
    path = folder / name
    try:
        lock = FileLock(path)
        taken = lock.try_take()
    except OSError as error:
        raise StateNotWritable(f"{path} cannot be locked ({error.strerror}): make room, or check its disk") from None
    if not taken:
        lock.close()
        raise StateInUse(f"another {program} uses {folder}: stop it, or give this one another --state")
    return lock


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        # An earlier start's file can be locked on a disk that has since become read-only.
        if error.errno == errno.EROFS and path.exists():
            return os.open(path, os.O_RDONLY)
        raise
