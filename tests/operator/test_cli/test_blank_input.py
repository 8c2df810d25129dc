"""Blank input changes nothing, whichever command or route it comes by."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from edgefleet_contract.rollouts import RolloutSpec
from edgefleet_operator.cli import app
from edgefleet_operator.client import Client
from edgefleet_operator.errors import OperatorError

BLANKS = ("", " ", "\t")
CHANGES = (
    "rollout start fashion@1 --selector BLANK",
    "rollout plan fashion@1 --selector BLANK",
    "rollout start fashion@1 --segment BLANK",
    "rollout start BLANK --all",
    "rollout pause BLANK",
    "rollout resume BLANK",
    "rollout abort BLANK",
    "rollout rollback BLANK",
    "segment save BLANK region=eu",
    "segment save europe BLANK",
    "device add --profile eu/rpi4/lte --id BLANK",
    "device add --profile BLANK",
    "segment remove BLANK",
    "device accept BLANK",
    "device accept --selector BLANK",
    "device remove BLANK",
    "device label BLANK site=oslo",
    "device label a BLANK",
    "device label a BLANK=oslo",
    "device label a site=BLANK",
    "device label --selector BLANK site=oslo",
    "device label --segment BLANK site=oslo",
    "device note BLANK text",
    "device note a BLANK",
    "model remove BLANK",
    "model add MODEL --data DATA --name BLANK",
    "compress BLANK",
    "compress fashion@1 --profile BLANK",
    "compress fashion@1 --recipe BLANK",
    "compress fashion@1 --budget 1 --class BLANK",
    "variant rebuild BLANK",
    "operation cancel BLANK",
)


def state_of(service) -> dict[str, list[str]]:
    fleet = service.store.fleet
    devices = [f"{d.id} {d.status} {d.annotation}" for d in fleet.devices.all()] + [
        a.device for a in fleet.devices.expected()
    ]
    return {
        "models": [m.ref for m in fleet.registry.models()],
        "operations": [o.id for o in fleet.operations.all()],
        "rollouts": [r.id for r in fleet.rollouts.all()],
        "segments": [f"{s.name} {s.selector}" for s in fleet.segments.all()],
        "devices": devices,
    }


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An ONNX file and its samples."""
    folder = tmp_path_factory.mktemp("brought")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "brought.onnx").write_bytes(made.SerializeToString())
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((40, 4), dtype=np.float32), y=np.arange(40) % 4)
    return {"MODEL": str(folder / "brought.onnx"), "DATA": str(folder / "data.npz")}


@pytest.mark.parametrize("blank", BLANKS, ids=["empty", "a space", "a tab"])
def test_no_command_takes_blank_input_for_everything(
    operator, service, join, published: str, brought: dict[str, str], blank: str
) -> None:
    join("a", "b")
    join("pending", admitted=False)
    rollout = operator.reads("rollout", "start", published, "--selector", "region=eu")["id"]
    before = state_of(service)
    for words in CHANGES:
        given = [brought.get(word, word.replace("BLANK", blank)) for word in words.split()]
        done = CliRunner().invoke(app, given, env={"EDGEFLEET_API": operator.url})
        assert done.exit_code in (1, 2), f"{words}: {done.output}"
        assert done.stderr.count("\n") == 1, words
        assert state_of(service) == before, words
    assert operator.reads("rollout", "show", rollout)["state"] == "running"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("blank", BLANKS, ids=["empty", "a space", "a tab"])
def test_the_client_refuses_blank_input_too(operator, service, join, blank: str) -> None:
    join("a", "b")
    before = state_of(service)
    with Client(operator.url) as client:
        calls = (
            lambda: client.rollouts.start(RolloutSpec(model="fashion", version=1)),
            lambda: client.rollouts.start(RolloutSpec(model="fashion", version=1, selector=blank)),
            lambda: client.segments.save("europe", blank),
            lambda: client.segments.save(blank, "region=eu"),
            lambda: client.devices.add("eu/rpi4/lte", blank),
            lambda: client.devices.remove(blank),
            lambda: client.devices.label(blank, {"site": "oslo"}),
            lambda: client.devices.label("a", {blank: "oslo"}),
            lambda: client.devices.label("a", {"site": blank}),
            lambda: client.devices.note(blank, "text"),
            lambda: client.devices.note("a", blank),
            lambda: client.rollouts.abort(blank),
            lambda: client.models.remove(blank),
            lambda: client.builds.start("fashion@1", profiles=[]),
            lambda: client.builds.start("fashion@1", profiles=[blank]),
            lambda: client.builds.start("fashion@1", recipes=[]),
            lambda: client.builds.start("fashion@1", recipes=[blank]),
        )
        for number, call in enumerate(calls):
            with pytest.raises(OperatorError):
                call()
            assert state_of(service) == before, number
