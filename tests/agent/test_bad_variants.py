"""Variants that a device must not take: each ends with its reason, and the old one goes on answering."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.broker

Make = Callable[..., Any]

REFUSALS = [
    ({"wrong_golden": True}, "failed_no_change", "self_test_failed"),
    ({"divided_by": 100.0}, "failed_no_change", "self_test_failed"),
    ({"softmax": True, "divided_by": 100.0}, "failed_no_change", "self_test_failed"),
    ({"onnx": b"junk" * 300}, "failed_no_change", "load_failed"),
    ({"instruction_sets": ("arm-neon",)}, "rejected", "wrong_hardware"),
    ({"min_onnxruntime": "99.0"}, "rejected", "runtime_too_old"),
    ({"runtime": {"ep.cuda.device": "1"}}, "rejected", "manifest_invalid"),
    ({"runtime": {"session.model_external_initializers_file_folder_path": "/"}}, "rejected", "manifest_invalid"),
    ({"model": "other"}, "rejected", "manifest_invalid"),
]


def test_each_bad_variant_ends_with_its_reason_while_the_old_one_answers(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    old = make_variant(seed=1)
    agent.install(old)
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    for generation, (fault, phase, reason) in enumerate(REFUSALS, start=2):
        bad = make_variant(seed=7, **fault)
        stand_in.desire(bad.desired(generation), bad)
        model = stand_in.wait_phase(phase, generation)
        assert (model.attempt.reason, model.answering.variant) == (reason, old.id), fault
        assert agent.infer()[1]["parameters"]["variant"] == old.id
        assert [slot.variant for slot in model.slots] == [old.id]
        if "divided_by" in fault:
            assert "answers are scaled by 100.00, at most 1.10 is allowed" in model.attempt.detail
    assert [path.name for path in (agent.state / "slots").iterdir()] == [old.id]
    good = make_variant(seed=7, softmax=True)
    stand_in.desire(good.desired(generation + 1), good)
    assert stand_in.wait_phase("committed", generation + 1).answering.variant == good.id
