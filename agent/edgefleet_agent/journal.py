"""The journal: one line of JSON per transition, for people and tests; the state file is the truth."""

import errno
import json
import logging
import os
from pathlib import Path

from edgefleet_agent.failpoints import reach
from edgefleet_process.clocks import wall_ms
from edgefleet_protocol.messages import Attempt

log = logging.getLogger("edgefleet.agent")

MAX_BYTES = 1024 * 1024


class Journal:
    """`journal.jsonl` in the state folder; beyond 1 MB it becomes `.1` and a new one starts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.jsonl"

    def append(self, model: str, attempt: Attempt) -> None:
        """Note the current state of an attempt."""
        line = {
            "ms": wall_ms(),
            "model": model,
            "generation": attempt.generation,
            "phase": attempt.phase,
            "reason": attempt.reason,
            "variant": attempt.variant,
        }
        try:
            self._append(json.dumps(line).encode() + b"\n")
        except OSError as error:
            # Nothing acts on the journal: a lost line must not stop the agent.
            log.warning("the journal lost a line: %s", error)
        reach("journaled", attempt.phase)

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before_bytes = os.fstat(descriptor).st_size
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, before_bytes)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        if before_bytes + len(line) > MAX_BYTES:
            self._path.replace(self._path.with_name("journal.jsonl.1"))
