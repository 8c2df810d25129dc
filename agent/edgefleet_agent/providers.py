"""Which execution providers run here: what a session takes of those that the catalogue asks for."""

import base64
import tempfile
from pathlib import Path

from edgefleet_agent.errors import SettingsError, WorkerError
from edgefleet_agent.worker_handle import CPU, Worker, WorkerSpec

# y = x + x for one float (opset 13): the smallest graph that shows that onnxruntime works.
TINY_MODEL = base64.b64decode(
    "CAcSADo1Cg4KAXgKAXgSAXkiA0FkZBIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0="
)


def providers_taken(asked: tuple[str, ...], threads: int) -> tuple[str, ...]:
    """The providers that a session takes here, in its order; every runtime has the CPU, so that needs no worker.

    Args:
        asked: those that the hardware's entry names, the preferred one first.
        threads: how many threads one inference may use.

    Raises:
        SettingsError: onnxruntime fails with these providers.
    """
    if asked == CPU:
        return CPU
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(TINY_MODEL)
        try:
            worker = Worker(WorkerSpec(path, {}, threads, providers=asked))
        except WorkerError as error:
            named = ", ".join(asked)
            raise SettingsError(f"onnxruntime fails with the providers {named}: correct the entry ({error})") from None
        try:
            return worker.providers
        finally:
            worker.kill()
