"""Ends a broker whose controller dies while it starts: nobody would look after it, or know that it is there.

A broker outlives a controller that is killed while it runs, for the devices' sake; until then, it is ours alone.
"""

import contextlib
import subprocess
from pathlib import Path
from typing import Self

# A pipe that ends without a word means that the controller has died. The broker may not have written its id yet.
_SCRIPT = """
read -r word && exit
looks=0
while [ $((looks += 1)) -le 300 ]; do
  { read -r pid || [ -n "$pid" ]; } < "$1" && kill "$pid" && exit
  sleep 0.2
done
"""


class StartGuard:
    """A shell that waits for a word from the controller, or for its death.

    Args:
        pid_file: where the broker, which is about to start, will write its process id; it must not be there yet.
    """

    def __init__(self, pid_file: Path) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "edgefleet-start-guard", str(pid_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let the broker live, whatever becomes of this process; may be called again."""
        pipe = self._shell.stdin
        assert pipe
        if not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(b"kept\n")
                pipe.close()
        self._shell.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
