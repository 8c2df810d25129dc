"""Triton's own client is answered as Triton answers it: configuration, index, statistics, classes, compression."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.agent.endpoint import INFER, Device, body, get, post

from edgefleet_agent.answering import Answering

triton = pytest.importorskip("tritonclient.http")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

WAY = ["queue", "compute_input", "compute_infer", "compute_output"]


@pytest.fixture
def device(tmp_path_factory: pytest.TempPathFactory, make_variant: Callable[..., Any]) -> Iterator[Device]:
    one = Device(tmp_path_factory.mktemp("device"), make_variant())
    yield one
    one.endpoint.close()
    one.pets.stop()


def ask(device: Device, use: Callable[[Any], Any]) -> Any:
    """What Triton's client makes of this device; built on gevent, it wants a thread of its own."""
    told: list[Any] = []

    def run() -> None:
        client = triton.InferenceServerClient(device.address)
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


def tensor(rows: int = 1, binary: bool = True) -> Any:
    made = triton.InferInput("x", [rows, 16], "FP32")
    values = np.random.default_rng(rows).random((rows, 16), np.float32)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_its_configuration_says_what_a_request_may_look_like(device: Device) -> None:
    for version in ("", "3"):
        told = ask(device, lambda client, version=version: client.get_model_config("pets", version))
        assert (told["name"], told["backend"], told["platform"]) == ("pets", "onnxruntime", "onnxruntime_onnx")
        assert told["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [16]}]
        assert told["output"] == [{"name": "logits", "data_type": "TYPE_FP32", "dims": [3]}]
        assert told["max_batch_size"] == 16 * 2**20 // 64, "as many rows of 64 bytes as a request can carry"
    with pytest.raises(triton.InferenceServerException, match="version 2 does not answer"):
        ask(device, lambda client: client.get_model_config("pets", "2"))


def test_the_index_lists_every_model_with_its_state(device: Device) -> None:
    ready = {"name": "pets", "version": "3", "state": "READY", "reason": ""}
    assert ask(device, lambda client: client.get_model_repository_index()) == [ready]
    device.serving.add("soon", Answering(lambda _: None), lambda: False)
    (_, soon) = ask(device, lambda client: client.get_model_repository_index())
    assert (soon["name"], soon["state"]) == ("soon", "UNAVAILABLE") and "no variant answers yet" in soon["reason"]
    assert post(device.url, "/v2/repository/index", b'{"ready": true}') == (200, [ready])
    for wrong in (b'{"ready": 1}', b'{"reddy": true}', b"[]", b"{"):
        assert post(device.url, "/v2/repository/index", wrong)[0] == 400


def test_statistics_count_requests_samples_and_where_the_time_went(device: Device) -> None:
    def use(client: Any) -> Any:
        for rows in (1, 5):
            client.infer("pets", [tensor(rows)])
        with pytest.raises(triton.InferenceServerException, match="not finite"):
            wrong = triton.InferInput("x", [1, 16], "FP32")
            wrong.set_data_from_numpy(np.full((1, 16), np.nan, np.float32))
            client.infer("pets", [wrong])
        with pytest.raises(triton.InferenceServerException, match="expected FP32"):
            client.infer("pets", [triton.InferInput("x", [1, 16], "INT8")])
        return [
            client.get_inference_statistics(),
            client.get_inference_statistics("pets"),
            client.get_inference_statistics("pets", "3"),
        ]

    everything, *same = ask(device, use)
    assert same == [everything] * 2
    (told,) = everything["model_stats"]
    assert (told["name"], told["version"]) == ("pets", "3")
    assert (told["inference_count"], told["execution_count"]) == (6, 2)
    assert told["last_inference"] > 1_700_000_000_000
    took = told["inference_stats"]
    assert {name: took[name]["count"] for name in took} == {
        "success": 2,
        "fail": 1,
        **dict.fromkeys(WAY, 2),
        "cache_hit": 0,
        "cache_miss": 0,
    }
    assert took["success"]["ns"] == pytest.approx(sum(took[part]["ns"] for part in WAY), abs=10)
    assert took["compute_infer"]["ns"] > 0 and took["fail"]["ns"] > 0
    assert get(device.url, "/v2/models/other/stats")[0] == 404


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_an_output_is_told_as_its_best_classes(device: Device, count: int, binary: bool) -> None:
    def use(client: Any) -> tuple[Any, Any]:
        plain = client.infer("pets", [tensor(4)]).as_numpy("logits")
        wanted = [triton.InferRequestedOutput("logits", binary_data=binary, class_count=count)]
        return plain, client.infer("pets", [tensor(4)], outputs=wanted)

    plain, told = ask(device, use)
    classes = told.as_numpy("logits")
    assert told.get_output("logits")["datatype"] == "BYTES"
    assert classes.shape == (4, min(count, 3))
    for row, expected in zip(classes, plain, strict=True):
        texts = [text.decode() if isinstance(text, bytes) else text for text in row]
        best = np.argsort(-expected)[: min(count, 3)]
        labels = [("cat", "dog", "bird")[at] for at in best]
        wanted = [f"{expected[at]:f}:{at}:{label}" for at, label in zip(best, labels, strict=True)]
        assert texts == wanted


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_compressed_requests_and_answers_say_the_same(
    device: Device, request_coding: str | None, response_coding: str | None, binary: bool
) -> None:
    codings = {
        "request_compression_algorithm": request_coding,
        "response_compression_algorithm": response_coding,
    }

    def use(client: Any) -> tuple[Any, Any]:
        outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
        inputs = [tensor(50, binary)]
        return client.infer("pets", inputs, outputs=outputs), client.infer("pets", inputs, outputs=outputs, **codings)

    plain, packed = ask(device, use)
    assert packed.as_numpy("logits") == pytest.approx(plain.as_numpy("logits"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"priority": 1}, "priority"),
        ({"timeout": 1000}, "timeout"),
        ({"parameters": {"temperature": 0.5}}, "temperature"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(device: Device, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=f"parameter '{named}' of the request is not supported"):
        ask(device, lambda client: client.infer("pets", [tensor()], **changes))


@pytest.mark.parametrize("sequence", [7, "camera-1"])
def test_a_sequence_is_refused_for_a_model_without_state(device: Device, sequence: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="'sequence_id' is of no use: this model keeps no state"):
        ask(device, lambda client: client.infer("pets", [tensor()], sequence_id=sequence, sequence_start=True))


def test_shared_memory_is_refused_for_inputs_and_outputs(device: Device) -> None:
    given, wanted = triton.InferInput("x", [1, 16], "FP32"), triton.InferRequestedOutput("logits")
    given.set_shared_memory("region", 64)
    wanted.set_shared_memory("region", 12)
    with pytest.raises(triton.InferenceServerException, match="'shared_memory_byte_size' of input 'x' is not"):
        ask(device, lambda client: client.infer("pets", [given]))
    with pytest.raises(triton.InferenceServerException, match="'shared_memory_byte_size' of output 'logits' is not"):
        ask(device, lambda client: client.infer("pets", [tensor()], outputs=[wanted]))
    with pytest.raises(triton.InferenceServerException, match=r"these are here: .*classification"):
        ask(device, lambda client: client.get_system_shared_memory_status())
    with pytest.raises(triton.InferenceServerException, match="nothing to POST to at /v2/repository/models/pets/load"):
        ask(device, lambda client: client.load_model("pets"))


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
def test_a_count_of_classes_that_is_none_is_refused(device: Device, count: Any) -> None:
    asked = json.loads(body()) | {"outputs": [{"name": "logits", "parameters": {"classification": count}}]}
    status, told = post(device.url, INFER, json.dumps(asked).encode())
    assert status == 400 and "how many classes" in told["error"]
