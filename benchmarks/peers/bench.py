"""Where files are made and looked at: the model as everybody gets it, and the worker that takes all figures."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.fashion import whole
from benchmarks.peers.candidates import OURS, PeerCandidate
from benchmarks.peers.errors import PeerError
from benchmarks.peers.figures import figures, plain_bytes
from benchmarks.peers.peer_process import ask
from benchmarks.peers.peer_request import PeerRequest
from benchmarks.peers.settings import MODULES, Setting
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.measuring.metrics import Metrics
from edgefleet_profiles.device_class import InstructionSet

SHIPPED = resources.files("edgefleet_compression.recipes") / "shipped"


@dataclass(frozen=True)
class Bench:
    """A model's `files` by their names in its folder, and its calibration samples as the model's input takes them."""

    folder: Path
    files: dict[str, str]
    samples: Path
    input_name: str
    workers: WorkerPool

    def build(self, recipe: str, instruction_set: InstructionSet, made_for: InstructionSet | None) -> PeerCandidate:
        """One of our fixed recipes; `made_for` None says that it is alike for every instruction set."""
        request = {
            "files": self.files,
            "recipe": tomllib.loads((SHIPPED / f"{recipe}.toml").read_text()),
            "instruction_set": instruction_set,
            "cache_dir": str(self.folder / "cache"),
            "work_dir": str(self.folder / f"{recipe}-{instruction_set}"),
        }
        made: dict[str, Any] = self.workers.submit(build_variant, request).result()
        candidate = PeerCandidate(OURS, recipe, made_for)
        if not made["ok"]:
            return _told(candidate, made["error"])
        # All start from the export: what that took is in nobody's time.
        steps = [step["seconds"] for step in made["steps"] if step["step"] != "export"]
        candidate.seconds = round(sum(steps), 3) if steps else None
        return self._looked_at(candidate, Path(made["onnx_path"]))

    def asked(self, setting: Setting, python: Path | None, fp32: Path, reason: str = "") -> PeerCandidate:
        """What a peer makes of our fp32 file with our samples.

        Args:
            setting: which peer, and how it is asked.
            python: of its environment; None where there is none, for the `reason`.
            fp32: the file.
            reason: why there is no environment.
        """
        candidate = PeerCandidate(setting.peer, setting.name, setting.instruction_set)
        if python is None:
            return _told(candidate, reason)
        target = self.folder / f"{setting.peer}-{setting.instruction_set or setting.name}.onnx"
        request = PeerRequest(str(fp32), str(self.samples), str(target), self.input_name, setting.options)
        try:
            answer = ask(python, MODULES[setting.peer], request)
        except PeerError as error:
            return _told(candidate, str(error))
        candidate.seconds, candidate.version = answer.seconds, answer.version
        return self._looked_at(candidate, target)

    def _looked_at(self, candidate: PeerCandidate, path: Path) -> PeerCandidate:
        asked = (self.files, str(self.folder / "cache"), str(path))
        found: dict[str, Any] = self.workers.submit(figures, *asked).result()
        if not found["ok"]:
            return _told(candidate, f"its file does not run: {found['error']}")
        candidate.path, candidate.metrics = path, Metrics.model_validate(found["metrics"])
        candidate.plain_bytes = plain_bytes(path)
        return _told(candidate)


def opened(folder: Path, workers: WorkerPool) -> Bench:
    """The example's model with the whole of Fashion-MNIST in `folder`, and what peers calibrate with."""
    model = whole(folder / "model")
    card = tomllib.loads((model / "model.toml").read_text())
    samples = folder / "calib.npy"
    with np.load(model / "data.npz") as data:
        np.save(samples, data["x_calib"].astype(np.float32) * np.float32(card["preprocessing"]["scale"]))
    files = {path.name: str(path) for path in model.iterdir()}
    return Bench(folder, files, samples, card["input"]["name"], workers)


def _told(candidate: PeerCandidate, reason: str = "") -> PeerCandidate:
    candidate.reason = reason
    told = reason or (f"test {candidate.metrics.accuracy_test}" if candidate.metrics else "")
    Console().print(f"  {candidate.side}, {candidate.name}, {candidate.made_for or 'any'}: {told}", highlight=False)
    return candidate
