"""What an agent says it can do follows from what is installed."""

from edgefleet_agent import own_features
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.features import FEATURES, OWN_TASKS
from edgefleet_protocol.manifest import BlobRef, Core
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState, StatePair
from edgefleet_tasks import plugins
from edgefleet_tasks.registry import own_names, task_names

ONNX = BlobRef(sha256=digest(b"onnx"), size_bytes=4)


def test_every_task_but_the_first_is_a_feature() -> None:
    told = own_features.own_features()
    assert told - FEATURES == {f"task-{name}" for name in task_names() if name != "classification"}


def test_the_supervisor_knows_the_tasks_and_the_group_by_name() -> None:
    assert own_names() == OWN_TASKS
    assert own_features.TASKS == plugins.GROUP


def test_a_core_needs_what_agents_of_old_cannot_do() -> None:
    signature = Signature((Tensor("x", "BYTES", ("batch",)),), (Tensor("y", "FP32", ("batch", 3)),))
    assert Core(onnx=ONNX).needs == ()
    assert Core(onnx=ONNX, task="detection").needs == ("task-detection",)
    assert Core(onnx=ONNX, task="sequence", signature=signature).needs == ("task-sequence", "tensors")
    state = SequenceState((StatePair("h", "hn"),))
    assert Core(onnx=ONNX, signature=signature, state=state).needs == ("state", "tensors")
