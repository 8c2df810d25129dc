"""The journal: one line of JSON per transition, for people and tests; the state file is the truth."""

import errno
import logging
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError

from edgefleet_agent.failpoints import reach
from edgefleet_agent.telling import Transition
from edgefleet_protocol.phases import FAILED

log = logging.getLogger("edgefleet.agent")

MAX_BYTES = 1024 * 1024


class Journal:
    """`journal.jsonl` in the state folder; beyond `max_bytes` it becomes `.1` and a new one starts."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._path = folder / "journal.jsonl"
        self._older = folder / "journal.jsonl.1"

    def append(self, told: Transition) -> None:
        """Note a transition here and in the log."""
        log.log(logging.WARNING if told.phase in FAILED else logging.INFO, "%s", told)
        try:
            self._append(told.model_dump_json().encode() + b"\n")
        except OSError as error:
            # Nothing acts on the journal: a lost line must not stop the agent.
            log.warning("the journal lost a line: %s", error)
        reach("journaled", told.phase)

    def last(self, count: int) -> list[Transition]:
        """The last transitions, the oldest of them first; what is no transition is left out.

        Raises:
            OSError: a file cannot be read.
        """
        lines = chain.from_iterable(map(_backwards, (self._path, self._older)))
        return list(islice(filter(None, map(_parsed, lines)), count))[::-1]

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before_bytes = os.fstat(descriptor).st_size
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, before_bytes)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        if before_bytes + len(line) > self._max_bytes:
            self._path.replace(self._older)


def _backwards(path: Path) -> Iterator[bytes]:
    try:
        yield from reversed(path.read_bytes().splitlines())
    except FileNotFoundError:
        return


def _parsed(line: bytes) -> Transition | None:
    try:
        return Transition.model_validate_json(line)
    except ValidationError:
        return None
