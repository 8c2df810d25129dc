"""Our int8 beside onnxruntime's quantizer, nncf and Olive: one fp32 file, one calibration set, one way to measure.

Each peer is asked as its documentation shows, in an environment of its own under `--state`, made on first use.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.latency import latency_to
from benchmarks.peers.bench import opened
from benchmarks.peers.candidates import PeerCandidate, bars, rivals
from benchmarks.peers.environments import environment_of
from benchmarks.peers.errors import PeerError
from benchmarks.peers.settings import OWN_ENVIRONMENT, PEERS, classes_of, settings_for
from benchmarks.result import Result
from benchmarks.timing import spread
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.measuring.host import host
from edgefleet_compression.schemes import NO_SCHEME, scheme_for
from edgefleet_profiles.device_class import InstructionSet


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--state", type=Path, default=Path(".bench/peers"), help="where environments are kept")


def run(options: argparse.Namespace) -> Result:
    """Compress, measure, and time when nothing else runs any more."""
    own = host().instruction_set
    if scheme_for(own) is None:
        raise SystemExit(f"there is no int8 to compare on this machine: {NO_SCHEME[own]}")
    result, classes = Result(), classes_of(own)
    pythons, reasons = _environments(options.state)
    with tempfile.TemporaryDirectory(prefix="edgefleet-peers-") as scratch:
        with WorkerPool(1) as workers:
            bench = opened(Path(scratch), workers)
            teacher = bench.build("fp32", own, None)
            if (fp32 := teacher.path) is None:
                raise SystemExit(f"the teacher gives no fp32 file to start from: {teacher.reason}")
            ours = [*(bench.build("int8", name, name) for name in classes), bench.build("w8", own, None)]
            asked = [(s, pythons.get(s.peer), fp32, reasons.get(s.peer, "")) for s in settings_for(classes)]
            theirs = [bench.asked(*one) for one in asked]
        for candidate in (*ours, *theirs):
            if candidate.path:
                candidate.latency = latency_to(candidate.path, fp32, result)
        beside = _beside(ours[0], theirs, own, result)
    result.rows[:0] = [candidate.row() for candidate in (teacher, *ours, *theirs)]
    result.bars += bars(ours[0], theirs, beside, own)
    return result


def _environments(state: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of each peer, and why another has none."""
    pythons, reasons = {OWN_ENVIRONMENT: Path(sys.executable)}, {}
    for peer in PEERS:
        if peer == OWN_ENVIRONMENT:
            continue
        try:
            pythons[peer] = environment_of(peer, state.absolute())
        except PeerError as error:
            reasons[peer] = str(error)
    return pythons, reasons


# ---- latency -------------------------------------------------------------------------------------------------------


def _beside(
    ours: PeerCandidate, theirs: Sequence[PeerCandidate], own: InstructionSet, result: Result
) -> dict[str, float]:
    """By peer: ours against its fastest, timed in turns with just that."""
    found = {}
    for peer in PEERS:
        fastest = min(rivals(theirs, peer, own), key=_slowness, default=None)
        if ours.path and fastest and fastest.path:
            timed = latency_to(ours.path, fastest.path, result)
            found[peer] = statistics.median(timed.ratios)
            told = {"int8 to the fastest of": peer, "setting": fastest.name, "latency": spread(timed.ratios)}
            result.rows.append(told | {"A/A": timed.aa, "repeats": timed.ratios})
    return found


def _slowness(candidate: PeerCandidate) -> float:
    return statistics.median(candidate.latency.ratios) if candidate.latency else float("inf")
