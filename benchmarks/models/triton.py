"""Requests to a device by Triton's own client, as anybody's application sends them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from benchmarks.models.reference import FileAnswers
from benchmarks.models.requests import SampleRequest

T = TypeVar("T")
TIMEOUT_S = 60.0


class Triton:
    """A model at an endpoint, through `tritonclient.http`."""

    def __init__(self, endpoint: str, model: str) -> None:
        self._address, self._model = endpoint.removeprefix("http://").rstrip("/"), model

    def outputs(self) -> list[str]:
        """The names of the outputs, in the model's own order."""
        return [one["name"] for one in self.metadata()["outputs"]]

    def metadata(self) -> dict[str, Any]:
        """What the model says it takes and gives."""
        return self._use(lambda client: client.get_model_metadata(self._model))

    def ask(self, requests: Sequence[SampleRequest]) -> list[FileAnswers]:
        """The outputs to each request, in the model's own order.

        Raises:
            Exception: what the client raised at the first that was refused.
        """
        told = self.metadata()
        datatypes = {one["name"]: one["datatype"] for one in told["inputs"]}
        outputs = [one["name"] for one in told["outputs"]]

        def use(client: Any) -> list[FileAnswers]:
            return [self._infer(client, request, datatypes, outputs) for request in requests]

        return self._use(use)

    def _infer(
        self, client: Any, one: SampleRequest, datatypes: Mapping[str, str], names: Sequence[str]
    ) -> FileAnswers:
        import tritonclient.http as http

        given = []
        for name, values in one.inputs.items():
            tensor = http.InferInput(name, list(values.shape), datatypes.get(name, "FP32"))
            tensor.set_data_from_numpy(np.array(values, order="C"), binary_data=True)
            given.append(tensor)
        wanted = [http.InferRequestedOutput(name, binary_data=True) for name in names]
        more: dict[str, Any] = {}
        if one.sequence:
            more = {"sequence_id": one.sequence, "sequence_start": one.first, "sequence_end": one.last}
        found = client.infer(self._model, given, outputs=wanted, request_id=one.id, **more)
        return [np.asarray(found.as_numpy(name)) for name in names]

    def _use(self, use: Callable[[Any], T]) -> T:
        """In a thread of its own, for the client is built on gevent."""
        told: list[T | BaseException] = []

        def run() -> None:
            import tritonclient.http as http

            client = http.InferenceServerClient(self._address, network_timeout=TIMEOUT_S, connection_timeout=TIMEOUT_S)
            try:
                told.append(use(client))
            except BaseException as error:
                told.append(error)
            finally:
                client.close()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(told[0], BaseException):
            raise told[0]
        return told[0]
