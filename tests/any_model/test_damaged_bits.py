"""For every task: a file whose bits were damaged after its answers were recorded fails the self-test on a device."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from tests.any_model.small_models import MODELS, SmallModel, samples

from edgefleet_agent.checks import Tolerance, check_golden
from edgefleet_agent.errors import Rejected
from edgefleet_agent.golden_run import GoldenRun
from edgefleet_agent.stepping import SteppedModel
from edgefleet_controller.models.publishing import MAX_DIFFERENCE, MAX_SCALING, SAME_TOP1
from edgefleet_protocol.answers import pack_answers
from edgefleet_tasks.registry import task_named

GOLDEN = samples(count=16)
SECTOR_BYTES = 512
TOLERANCE = Tolerance(SAME_TOP1, MAX_DIFFERENCE, MAX_SCALING)
built = cache(lambda make: make())
every_model = pytest.mark.parametrize("model", [built(make) for make in MODELS], ids=[make.__name__ for make in MODELS])


def damaged(path: Path, seed: int) -> Path:
    """A file in which one sector of the second layer's weights holds other bytes, as of another file."""
    model = onnx.load(str(path))
    [weights] = [one for one in model.graph.initializer if one.name == "w2"]
    data = bytearray(weights.raw_data)
    size = min(SECTOR_BYTES, len(data))
    begin = np.random.default_rng(seed).integers(0, len(data) - size + 1) // 4 * 4
    data[begin : begin + size] = numpy_helper.to_array(weights).ravel()[::-1].tobytes()[:size]
    weights.raw_data = bytes(data)
    onnx.save(model, str(made := path.with_name(f"damaged-{seed}.onnx")))
    return made


def self_test(model: SmallModel, path: Path, golden: Path, spec: Any, recorded: bytes) -> None:
    """What a device does with a new variant, to the verdict."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    order = {
        **{"form": "reduced", "spec": spec.told(), "task": model.task, "labels": []},
        **{"golden": str(golden), "scale": 1.0},
    }
    run = GoldenRun(SteppedModel(session, model.signature, None), order, recorded)
    while (reply := run.go_on()).get("more"):
        pass
    check_golden(TOLERANCE, reply)


@every_model
def test_what_was_recorded_passes_and_a_damaged_sector_fails(tmp_path: Path, model: SmallModel) -> None:
    path, golden, task = model.write(tmp_path / "variant.onnx"), tmp_path / "golden.npz", task_named(model.task)
    np.savez(golden, inputs=GOLDEN)
    spec = task.spec(model.signature, model.answers(path, samples()), model.declared)
    answered = model.answers(path, GOLDEN)
    recorded = pack_answers([one for outputs in answered for one in task.reduce(outputs, spec)])
    self_test(model, path, golden, spec, recorded)
    for seed in range(4):
        with pytest.raises(Rejected):
            self_test(model, damaged(path, seed), golden, spec, recorded)
