"""Providers that work are found by asking them, run what they can, and give way to the CPU, which is said."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.agent.provider_plugins import AUTO, CPU, OPENVINO, bring, bring_openvino, needs_openvino
from tests.agent.variants import linear_model

from edgefleet_agent.providers import NOT_THERE, TINY_MODEL, computes, probe
from edgefleet_agent.status import show_status
from edgefleet_agent.worker_handle import Worker, WorkerSpec
from edgefleet_protocol.ran_on import ProviderState
from edgefleet_protocol.runtime_options import with_providers


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages the workers of this test find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Starts workers on a model; all end with the test."""
    workers: list[Worker] = []

    def start(model: bytes, *providers: str, **spec: Any) -> Worker:
        (tmp_path / "model.onnx").write_bytes(model)
        workers.append(Worker(WorkerSpec(tmp_path / "model.onnx", {}, providers=providers, **spec)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


def state(name: str, *asked: str) -> ProviderState:
    return next(one for one in probe(asked, 1) if one.name == name)


def test_every_provider_of_the_runtime_is_asked_to_compute() -> None:
    cpu, azure = state(CPU), state("AzureExecutionProvider")
    assert (cpu.works, cpu.why) == (True, None) and cpu.version
    assert not azure.works and "takes no node" in (azure.why or "")


def test_one_that_is_asked_for_and_not_there_is_told() -> None:
    found = probe(("QNNExecutionProvider", CPU), 1)
    assert [one.name for one in found[:2]] == [CPU, "QNNExecutionProvider"]
    assert found[1].why == NOT_THERE


@pytest.mark.parametrize(
    ("row", "modules", "told"),
    [
        ("'no row'", {}, "brings no row of that name"),
        ("1 / 0", {}, "does not load (ZeroDivisionError"),
        ("ProviderRow('NewExecutionProvider', module='json')", {}, "its library does not load (AttributeError"),
        (
            "ProviderRow('NewExecutionProvider', module='lib')",
            {"lib": f"def get_library_path(): return {__file__!r}\n"},
            "its library does not load (Fail",
        ),
        (
            "ProviderRow('NewExecutionProvider', module='lib')",
            {"lib": "import os\ndef get_library_path(): os.abort()\n"},
            "the worker ended with status",
        ),
        ("ProviderRow('NewExecutionProvider')", {}, "the installed onnxruntime does not have it"),
    ],
)
def test_a_row_that_a_package_brings_is_tried_and_harms_no_other(
    site: Path, row: str, modules: dict[str, str], told: str
) -> None:
    bring(site, "NewExecutionProvider", row, **modules)
    found = {one.name: one for one in probe(("NewExecutionProvider",), 1)}
    assert not found["NewExecutionProvider"].works and told in (found["NewExecutionProvider"].why or ""), found
    assert found[CPU].works


@needs_openvino
def test_a_plug_in_works_where_its_device_is(site: Path) -> None:
    bring_openvino(site)
    found = state(OPENVINO)
    assert (found.works, found.why, found.device_type) == (True, None, "CPU"), found
    assert found.version.startswith("1.") and found.vendor


@needs_openvino
def test_a_plug_in_runs_every_node_in_fp32_on_the_threads_it_may_have(site: Path, load: Any) -> None:
    bring_openvino(site)
    model, x = linear_model(3, 0, False), np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    answers = []
    for asked in ((OPENVINO, CPU), (CPU,)):
        worker = load(model, *asked)
        assert list(worker.ran_on.nodes) == [asked[0]] and worker.ran_on.why is None, worker.ran_on
        asks = [{"name": "x", "datatype": "FP32", "shape": [4, 16]}]
        answers.append(np.frombuffer(worker.ask(asks, x.tobytes()).data, np.float32))
        threads = len(list(Path(f"/proc/{worker.pid}/task").iterdir()))
        assert threads <= 6
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-5)


ROOM = 100 * 2**20
"""Less than a library takes that is loaded under the limit, and more than the model then needs."""


@needs_openvino
@pytest.mark.parametrize("headroom", [0, ROOM])
def test_a_library_is_loaded_before_the_memory_is_limited_and_its_headroom_is_granted(
    site: Path, load: Any, headroom: int
) -> None:
    bring_openvino(site)
    bring(site, AUTO, f"ProviderRow({AUTO!r}, module='onnxruntime_ep_openvino', address_bytes={headroom})")
    worker = load(TINY_MODEL, AUTO, CPU)
    assert worker.providers == (AUTO,) and computes(worker)
    assert worker.granted_bytes - load(TINY_MODEL, CPU).granted_bytes == headroom
    limit = next(line for line in Path(f"/proc/{worker.pid}/limits").read_text().splitlines() if "address" in line)
    assert limit.split()[3] != "unlimited"


def network(*nodes: onnx.NodeProto, shape: tuple[int, ...] = (4, 4)) -> bytes:
    """A graph of x [4, 4] to w."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    gives = helper.make_tensor_value_info("w", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "of a test", [given], [gives])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


NODE = helper.make_node
PARTLY = network(NODE("Relu", ["x"], ["z"]), NODE("Det", ["z"], ["d"]), NODE("Abs", ["d"], ["w"]))
"""OpenVINO has no determinant."""
FAILS = network(NODE("Cast", ["x"], ["s"], to=TensorProto.STRING), NODE("Cast", ["s"], ["w"], to=TensorProto.FLOAT))
"""It takes texts, and then fails to compile them."""


@needs_openvino
def test_what_a_provider_does_not_take_runs_on_the_cpu_and_that_is_said(site: Path, load: Any) -> None:
    bring_openvino(site)
    worker = load(PARTLY, OPENVINO, CPU)
    assert worker.ran_on.nodes == {OPENVINO: 2, CPU: 1}
    assert worker.ran_on.why == f"{OPENVINO} leaves 1 of 3 nodes to the CPU"
    x = np.eye(4, dtype=np.float32) * 2
    answer = worker.ask([{"name": "x", "datatype": "FP32", "shape": [4, 4]}], x.tobytes())
    assert answer.data == np.float32(16).tobytes()


@needs_openvino
def test_a_model_that_a_provider_fails_on_runs_on_the_cpu_and_that_is_said(site: Path, load: Any) -> None:
    bring_openvino(site)
    worker = load(FAILS, OPENVINO, CPU)
    assert worker.ran_on.nodes == {CPU: 2}
    assert worker.ran_on.why == f"{OPENVINO} does not run the model (EPFail)"


NOT_KNOWN = "the installed onnxruntime does not have it, and no plug-in for it is known"


def overflowing() -> bytes:
    """The linear model of `variants`, by way of whole numbers of 64 bits, which OpenVINO computes in 32."""
    model = onnx.load_from_string(linear_model(5, 0, False))
    nodes = model.graph.node
    nodes[-1].output[0] = "right"
    factor = {"big": 1e10, "small": 1e-10}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.float32(v), k) for k, v in factor.items())
    nodes.extend(
        [
            NODE("Mul", ["right", "big"], ["wide"]),
            NODE("Cast", ["wide"], ["whole_number"], to=TensorProto.INT64),
            NODE("Cast", ["whole_number"], ["back"], to=TensorProto.FLOAT),
            NODE("Mul", ["back", "small"], ["logits"]),
        ]
    )
    return bytes(model.SerializeToString())


def npu_box(folder: Path, *providers: str) -> list[str]:
    """The flags of an agent whose hardware asks for providers."""
    shipped = (files("edgefleet_profiles") / "data" / "hardware" / "x86-avx2.toml").read_text()
    (folder / "hardware").mkdir(parents=True)
    (folder / "hardware" / "npu-box.toml").write_text(f"providers = {list(providers)}\n{shipped}")
    return ["--simulate-hardware", "npu-box", "--catalogue", str(folder)]


@needs_openvino
@pytest.mark.broker
def test_a_device_runs_on_the_provider_of_its_hardware_and_on_the_cpu_what_fails_there(
    broker: Any, start_agent: Any, stand_in: Any, make_variant: Any, site: Path, tmp_path: Path, capsys: Any
) -> None:
    bring_openvino(site)
    agent = start_agent(broker, *npu_box(tmp_path / "catalogue", OPENVINO, CPU))
    agent.start()
    right, named = make_variant(seed=1), make_variant(seed=1, runtime=with_providers((CPU,)))
    stand_in.desire(right.desired(1), right)
    first = stand_in.wait_phase("committed", 1)
    assert list(first.answering.ran_on.nodes) == [OPENVINO] and first.answering.ran_on.why is None
    facts = stand_in.reports[-1].facts
    assert facts.providers == (OPENVINO, CPU) and not facts.lacks_providers
    assert next(one for one in facts.probed if one.name == OPENVINO).works

    stand_in.desire(named.desired(2), named)
    assert list(stand_in.wait_phase("committed", 2).answering.ran_on.nodes) == [CPU]  # as it asks

    wrong = make_variant(onnx=overflowing())
    stand_in.desire(wrong.desired(3), wrong)
    fell = stand_in.wait_phase("committed", 3)
    assert list(fell.answering.ran_on.nodes) == [CPU]
    assert f"with {OPENVINO}, " in fell.answering.ran_on.why and "match the recorded ones" in fell.answering.ran_on.why
    assert agent.infer()[0] == 200

    agent.end()
    agent.start()
    reports = len(stand_in.reports)
    again = stand_in.wait(lambda s: len(s.reports) > reports and s.reports[-1].models["pets"].answering)
    assert again.ran_on == fell.answering.ran_on  # it is not tried again
    assert agent.infer()[0] == 200
    assert show_status(agent.state, 0, as_json=False) == 0
    told = capsys.readouterr().out
    assert re.search(rf"pets: {wrong.id[:12]} runs on {CPU} \d+ nodes \(with {OPENVINO}, ", told), told
    assert re.search(rf"pets: {named.id[:12]} runs on {CPU} \d+ nodes$", told, re.MULTILINE), told


@pytest.mark.broker
def test_a_device_without_what_a_variant_names_runs_it_on_the_cpu_and_says_so(
    agent: Any, stand_in: Any, make_variant: Any
) -> None:
    agent.start()
    variant = make_variant(runtime=with_providers(("QNNExecutionProvider", CPU)))
    stand_in.desire(variant.desired(1), variant)
    answering = stand_in.wait_phase("committed", 1).answering
    assert list(answering.ran_on.nodes) == [CPU]
    assert answering.ran_on.why == "QNNExecutionProvider does not run here: " + NOT_KNOWN
