"""The journal: one line of JSON for every transition, for people and for tests; the state file is the truth."""

import json
import os
import time
from pathlib import Path

from edgefleet_agent.failpoints import reach
from edgefleet_protocol.messages import Attempt

MAX_BYTES = 1024 * 1024


class Journal:
    """`journal.jsonl` in the state folder; beyond 1 MB it starts anew and the old one is kept as `.1`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.jsonl"

    def append(self, model: str, attempt: Attempt) -> None:
        """Write down how an attempt stands now."""
        line = {
            "ms": time.time_ns() // 1_000_000,
            "model": model,
            "generation": attempt.generation,
            "phase": attempt.phase,
            "reason": attempt.reason,
            "variant": attempt.variant,
        }
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
            size_bytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size_bytes > MAX_BYTES:
            self._path.replace(self._path.with_name("journal.jsonl.1"))
        reach("journaled", attempt.phase)
