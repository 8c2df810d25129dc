"""What is made in environments of their own, once, and kept: the network with the crops, and NNCF's file."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import environment_of
from benchmarks.peers.peer_process import last_line_of

HERE = Path(__file__).parent
SCRIPTS = "benchmarks.efficientnet"
NNCF_MOST_S, MAKING_MOST_S = 3600.0, 900.0


@dataclass(frozen=True)
class MadeFiles:
    """The network and its crops, and by split the picture of each crop."""

    network: Path
    crops: Path
    owners: dict[str, list[str]]


def made(state: Path) -> MadeFiles:
    """The network and its crops, from `state` where they are there.

    Raises:
        PeerError: the environment cannot be made, or the script fails.
    """
    folder = state / "made"
    wanted = _digest([HERE / name for name in ("making.py", "pictures.py", "making.txt")])
    if not _is_there(folder, wanted):
        python = environment_of("making", state, HERE)
        last_line_of(python, f"{SCRIPTS}.making", [str(folder)], MAKING_MOST_S)
        (folder / "stamp").write_text(wanted)
    owners: dict[str, list[str]] = json.loads((folder / "owners.json").read_text())
    return MadeFiles(folder / "network.onnx", folder / "crops.npz", owners)


def controlled(of: MadeFiles, state: Path, peers: Path, max_drop: float, preset: str) -> tuple[Path, dict[str, Any]]:
    """NNCF's file and what it says of making it, from `state` where they are there.

    Raises:
        PeerError: the environment cannot be made, or the script fails.
    """
    folder = state / f"nncf-{preset}-{max_drop:g}"
    wanted = _digest([HERE / "control.py", of.network, of.crops])
    path, said = folder / "int8.onnx", folder / "said.json"
    if not _is_there(folder, wanted):
        python = environment_of("nncf", peers)
        folder.mkdir(parents=True, exist_ok=True)
        asked = [str(of.network), str(of.crops), str(path), str(max_drop), preset]
        said.write_text(last_line_of(python, f"{SCRIPTS}.control", asked, NNCF_MOST_S))
        (folder / "stamp").write_text(wanted)
    told: dict[str, Any] = json.loads(said.read_text())
    return path, told


def _is_there(folder: Path, wanted: str) -> bool:
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text() == wanted


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
