"""Takes files that a slot holds into an attempt's folder, so that nobody sends them again."""

import os
from pathlib import Path

from edgefleet_agent.slots import Slots
from edgefleet_process.durable import sync, write_blocks
from edgefleet_process.reading import digest_of_file, read_blocks


class HeldFiles:
    """What the slots of a device hold, of all its models, for one attempt.

    Args:
        slots: the slots.
        scratch: the attempt's folder, which exists, on the same disk.
    """

    def __init__(self, slots: Slots, scratch: Path) -> None:
        self._slots, self._scratch = slots, scratch

    def take(self, name: str, sha256: str) -> bool:
        """Whether a file is here: if a slot holds it, it gets a second name in our folder, and outlives its slot.

        Args:
            name: what it is called in a slot, and in our folder.
            sha256: its digest.

        Raises:
            OSError: it cannot be taken.
        """
        mine = self._scratch / name
        if mine.exists() and digest_of_file(mine) == sha256:
            return True
        mine.unlink(missing_ok=True)
        held = self._slots.holding(name, sha256)
        if held is None:
            return False
        try:
            os.link(held, mine)
        except OSError:  # a file system without second names
            write_blocks(mine, read_blocks(held))
        sync(self._scratch)
        return True
