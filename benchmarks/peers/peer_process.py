"""Asking a peer, in a process of its own, for a file; whatever it does instead is a reason."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.errors import PeerError
from benchmarks.peers.peer_request import PeerRequest
from edgefleet_process.onnxruntime_silence import SILENT

ROOT = Path(__file__).parents[2]
MOST_S = 600.0
SILENT_PEERS = {"CI": "true", "OLIVE_DISABLE_TELEMETRY": "1", **SILENT}
"""No peer tells its makers about a run: Olive has a switch for it, nncf keeps still in what it takes for CI."""


@dataclass(frozen=True)
class PeerAnswer:
    """Of a peer that wrote its file: how long the call took, in seconds, and which version did it."""

    seconds: float
    version: str


def ask(python: Path, module: str, request: PeerRequest, most_s: float = MOST_S) -> PeerAnswer:
    """Have a peer write the file of a request.

    Args:
        python: of its environment.
        module: its script.
        request: what to write.
        most_s: how long it may take, its imports included.

    Raises:
        PeerError: it crashed, hung, or wrote none.
    """
    answer = answer_in(last_line_of(python, module, [request.as_json()], most_s))
    if not Path(request.target).is_file():
        raise PeerError("it said that it was done, and wrote no file")
    return answer


def last_line_of(python: Path, module: str, arguments: Sequence[str], most_s: float) -> str:
    """Run a module in an environment of its own; the last line that it prints, after whatever the peer had to say.

    Args:
        python: of that environment.
        module: what to run.
        arguments: of its command line.
        most_s: how long it may take, its imports included.

    Raises:
        PeerError: it does not start, fails, or gives no answer in time.
    """
    around = {**os.environ, **SILENT_PEERS, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=most_s, env=around, check=True)
    except subprocess.CalledProcessError as error:
        raise PeerError(_last(error.stderr) or f"it ended with {error.returncode}, without a word") from None
    except subprocess.TimeoutExpired:
        raise PeerError(f"it gave no answer within {most_s:g} s") from None
    except OSError as error:
        raise PeerError(f"its Python does not start: {error}") from None
    return _last(done.stdout)


def answer_in(output: str) -> PeerAnswer:
    """The answer in what a script printed: its last line, after whatever the peer had to say.

    Raises:
        PeerError: there is none.
    """
    last = _last(output)
    try:
        given = json.loads(last)
        return PeerAnswer(float(given["seconds"]), str(given["version"]))
    except (ValueError, KeyError, TypeError):
        raise PeerError(f"its last line is no answer: {last[:200]!r}") from None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
