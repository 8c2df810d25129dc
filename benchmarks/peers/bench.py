"""Where files are made and looked at: the model as everybody gets it, and the worker that takes all figures."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.fashion import whole
from benchmarks.peers.candidates import OURS, PeerCandidate
from benchmarks.peers.errors import PeerError
from benchmarks.peers.figures import FiguresRequest, figures, plain_bytes
from benchmarks.peers.peer_process import ask
from benchmarks.peers.peer_request import PeerRequest
from benchmarks.peers.settings import MODULES, Setting
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildRequest, ModelFiles, WorkRefused
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_profiles.device_class import InstructionSet


@dataclass(frozen=True)
class Bench:
    """A model's `files` by their names in its folder, and its calibration samples as the model's input takes them."""

    folder: Path
    files: ModelFiles
    samples: Path
    input_name: str
    workers: WorkerPool

    def build(self, recipe: str, instruction_set: InstructionSet, made_for: InstructionSet | None) -> PeerCandidate:
        """One of our fixed recipes; `made_for` None says that it is alike for every instruction set."""
        request = BuildRequest(
            files=self.files,
            recipe=shipped_recipes()[recipe],
            instruction_set=instruction_set,
            cache_dir=self.folder / "cache",
            work_dir=self.folder / f"{recipe}-{instruction_set}",
        )
        made = self.workers.submit(build_variant, request).result()
        candidate = PeerCandidate(OURS, recipe, made_for)
        if isinstance(made, WorkRefused):
            return _told(candidate, made.sentence)
        # All start from the export: what that took is in nobody's time.
        steps = [step.seconds for step in made.steps if step.step != "export"]
        candidate.seconds = round(sum(steps), 3) if steps else None
        return self._looked_at(candidate, made.onnx_path)

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
        found = self.workers.submit(figures, FiguresRequest(self.files, self.folder / "cache", path)).result()
        if isinstance(found, WorkRefused):
            return _told(candidate, f"its file does not run: {found.sentence}")
        candidate.path, candidate.metrics = path, found
        candidate.plain_bytes = plain_bytes(path)
        return _told(candidate)


def opened(folder: Path, workers: WorkerPool) -> Bench:
    """The example's model with the whole of Fashion-MNIST in `folder`, and what peers calibrate with."""
    model = whole(folder / "model", floats=True)
    card = tomllib.loads((model / "model.toml").read_text())
    samples = folder / "calib.npy"
    with np.load(model / "data.npz") as data:
        np.save(samples, data["x_calib"])
    files = {path.name: path for path in model.iterdir()}
    return Bench(folder, files, samples, card["input"]["name"], workers)


def _told(candidate: PeerCandidate, reason: str = "") -> PeerCandidate:
    candidate.reason = reason
    told = reason or (f"test {candidate.metrics.accuracy_test}" if candidate.metrics else "")
    Console().print(f"  {candidate.side}, {candidate.name}, {candidate.made_for or 'any'}: {told}", highlight=False)
    return candidate
