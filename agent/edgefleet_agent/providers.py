"""Which execution providers work here: each is asked to compute, in a worker, when the agent starts."""

import base64
import tempfile
from collections.abc import Collection
from pathlib import Path

from edgefleet_agent.errors import AgentError
from edgefleet_agent.worker_handle import CPU, Worker, WorkerSpec
from edgefleet_protocol.ran_on import ProviderState

# y = x + x for one float (opset 13): the smallest graph that shows that onnxruntime works.
TINY_MODEL = base64.b64decode(
    "CAcSADo1Cg4KAXgKAXgSAXkiA0FkZBIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0="
)
ONE, TWO = b"\x00\x00\x80\x3f", b"\x00\x00\x00\x40"
NOT_THERE = "the installed onnxruntime does not have it, and no plug-in for it is installed"


def probe(asked: Collection[str], threads: int) -> tuple[ProviderState, ...]:
    """Ask every provider that the runtime has, or that is asked for, to compute; those that are asked for come first.

    A plug-in gets a worker of its own: one that crashes takes no other with it.

    Args:
        asked: those that the hardware's entry names.
        threads: how many threads one inference may use.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(TINY_MODEL)
        try:
            worker = Worker(WorkerSpec(path, {}, threads, offers=True))
        except AgentError as error:
            return (ProviderState(name=CPU[0], works=False, why=str(error)[:2000]),)
        worker.kill()
        plugins = [_plugin(path, name, threads) for name in worker.plugins]
    found = {state.name: state for state in (*worker.offered, *plugins)}
    absent = [ProviderState(name=name, works=False, why=NOT_THERE) for name in asked if name not in found]
    return tuple(sorted((*found.values(), *absent), key=lambda state: (state.name not in asked, state.name)))


def computes(worker: Worker) -> bool:
    """Whether a worker that has loaded the tiny model adds one and one."""
    return worker.ask([{"name": "x", "datatype": "FP32", "shape": [1]}], ONE).data == TWO


def _plugin(path: Path, name: str, threads: int) -> ProviderState:
    try:
        worker = Worker(WorkerSpec(path, {}, threads, providers=(name, *CPU)))
    except AgentError as error:
        return ProviderState(name=name, works=False, why=str(error)[:2000])
    try:
        why = worker.ran_on.why
        if name in worker.ran_on.nodes and not computes(worker):
            why = "it computes 1 + 1 wrong"
    except AgentError as error:
        why = str(error)[:2000]
    finally:
        worker.kill()
    works = name in worker.ran_on.nodes and why is None
    return ProviderState(name=name, works=works, why=why, **worker.devices.get(name, {}))
