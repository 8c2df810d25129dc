"""A Python environment for each peer, made when it is first needed: their requirements are none of this project's."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.errors import PeerError

REQUIREMENTS = Path(__file__).parent
STAMP = "installed"
INSTALL_S = 1800.0


def environment_of(peer: str, root: Path, requirements: Path = REQUIREMENTS) -> Path:
    """The Python of a peer's environment, `root`/PEER; made anew where what it requires has changed.

    Args:
        peer: its name; what it requires stands in PEER.txt.
        root: where environments are kept.
        requirements: the folder of these files.

    Raises:
        PeerError: it cannot be installed.
    """
    asked, folder = requirements / f"{peer}.txt", root / peer
    python, stamp = folder / "bin" / "python", folder / STAMP
    wanted = hashlib.sha256(asked.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    try:
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(asked)]
        subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerError(f"{peer} cannot be installed for Python {sys.version.split()[0]}: {_said(error)}") from None
    stamp.write_text(wanted)
    return python


def _said(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    lines = [line for line in (said if isinstance(said, str) else "").splitlines() if line.startswith("ERROR")]
    return lines[-1] if lines else str(error)
