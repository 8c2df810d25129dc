"""The HTTP endpoint over a real worker: what applications may ask, what they get, and how they are refused."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.agent.endpoint import INFER, Device, body, get, post

from edgefleet_agent.answering import Answering
from edgefleet_agent.endpoint import Endpoint
from edgefleet_agent.recent import MAX_RECENT, Key
from edgefleet_agent.routes import MAX_BODY_BYTES, MAX_FEEDBACK_BYTES
from edgefleet_agent.serving import Serving
from edgefleet_agent.telemetry import Recorder
from edgefleet_agent.worker_handle import NOT_COUNTED, AnswerCount
from edgefleet_protocol.latency import LatencyHistogram


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, make_variant: Callable[..., Any]) -> Iterator[Device]:
    one = Device(tmp_path_factory.mktemp("device"), make_variant())
    yield one
    one.endpoint.close()
    one.pets.stop()


@pytest.fixture
def device(shared: Device) -> Device:
    """The one device of this module, with nothing counted."""
    shared.recorder.close()
    return shared


def test_health_and_metadata_say_what_answers(device: Device) -> None:
    assert get(device.url, "/v2")[1]["name"] == "edgefleet-agent"
    assert get(device.url, "/v2/health/live") == (200, {"live": True})
    assert get(device.url, "/v2/health/ready") == (200, {"ready": True})
    assert get(device.url, "/v2/models/pets/ready") == (200, {"name": "pets", "ready": True})
    for path in ("/v2/models/pets", "/v2/models/pets/versions/3"):
        status, told = get(device.url, path)
        assert (status, told["versions"], told["platform"]) == (200, ["3"], "onnxruntime_onnx")
        assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}]
        assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
        assert told["parameters"] == {
            "variant": device.variant.id,
            "generation": 7,
            "scale": 1 / 255,
            "labels": ["cat", "dog", "bird"],
        }


def test_a_query_parameter_that_nothing_obeys_is_refused_by_name_and_the_connection_goes_on(device: Device) -> None:
    why = "unknown query parameter 'version': nothing here takes any, leave it out"
    connection = http.client.HTTPConnection(device.url.removeprefix("http://"), timeout=30)
    asked = [
        ("GET", "/v2/health/ready", None),
        ("POST", INFER, body()),
        ("POST", "/v2/repository/index", ""),
    ]
    for method, path, sent in asked:
        for target, status in ((f"{path}?version=3&x", 400), (f"{path}?", 200)):
            connection.request(method, target, sent)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert (answer.status, told.get("error") if status == 400 else why) == (status, why), (target, told)
    connection.close()


def test_an_inference_in_json(device: Device) -> None:
    status, told = post(device.url, INFER, body())
    assert status == 200
    assert (told["model_name"], told["model_version"], told["id"]) == ("pets", "3", "r1")
    assert told["parameters"] == {"variant": device.variant.id, "generation": 7}
    (output,) = told["outputs"]
    assert (output["name"], output["datatype"], output["shape"], len(output["data"])) == ("logits", "FP32", [1, 3], 3)


def test_nested_rows_mean_the_same_as_a_flat_list_and_a_batch_is_answered_row_by_row(device: Device) -> None:
    flat = post(device.url, INFER, body())[1]["outputs"][0]["data"]
    assert post(device.url, INFER, body(data=[[1.0] * 16]))[1]["outputs"][0]["data"] == flat
    batch = post(device.url, INFER, body(shape=[2, 16], data=[[1.0] * 16] * 2))[1]["outputs"][0]
    assert batch["shape"] == [2, 3] and batch["data"] == pytest.approx(flat * 2)


BAD = [
    (b"", "not JSON"),
    (b"[]", "not a JSON object"),
    (b"{}", "no inputs"),
    (b'{"inputs": 3}', "must be a list"),
    (b'{"inputs": [{"name": 3}]}', "must be a list"),
    (b"[" * 100_000, "not JSON"),
    (body(name="y"), r"\['y'\], expected \['x'\]"),
    (body(datatype="INT8"), "INT8, expected FP32"),
    (body(shape=[16]), r"\[16\], expected \[-1, 16\]"),
    (body(shape=[0, 16]), "positive integers"),
    (body(shape=[1, 15]), r"expected \[-1, 16\]"),
    (body(shape=[2**40, 16]), "values, its shape needs"),
    (body(data=[1.0] * 15), "15 values, its shape needs 16"),
    (body(data=["a"] * 16), "do not fit FP32"),
    (body(data=[True] * 16), "do not fit FP32"),
    (body(data=[[1.0] * 8] * 2), "not of its shape"),
    (body(data=[[1.0] * 15, [1.0]]), "not of its shape"),
    (body(shape=[2, 16], data=[[1.0] * 17, [1.0] * 15]), "not of its shape"),
    (body(data=[[[1.0]] * 16]), "do not fit FP32"),
    (body(data=None), "no 'data' list"),
    (body(data=[]), "0 values"),
    (body(parameters=3), "must be an object"),
    (body(parameters={"binary_data_size": 64}), "does not fit"),
    (body()[:-1] + b', "id": 5}', "'id' must be"),
    (body()[:-1] + b', "outputs": [{"name": "z"}]}', r"unknown output \['z'\]"),
    (body(data=[float("nan")] * 16), "not finite"),
]


@pytest.mark.parametrize(("data", "why"), BAD, ids=[why for _, why in BAD])
def test_a_wrong_request_is_told_what_is_wrong_and_counts_for_nothing(device: Device, data: bytes, why: str) -> None:
    status, told = post(device.url, INFER, data)
    assert status == 400
    assert re.search(why, told["error"]), told
    assert device.recorder.close() == []


def test_what_is_not_there_is_404_and_what_is_not_there_yet_503(device: Device) -> None:
    assert get(device.url, "/v2/models/other")[0] == 404
    assert get(device.url, "/v2/models/pets/versions/2")[0] == 404
    assert post(device.url, "/v2/models/pets/versions/2/infer", body())[0] == 404
    assert get(device.url, "/nothing")[0] == post(device.url, "/nothing", b"{}")[0] == 404
    serving = Serving(device.recorder, lambda: b"{}")
    serving.add("soon", Answering(lambda _: None), lambda: False)
    soon = Endpoint("127.0.0.1", 0, serving)
    for status, told in (get(soon.url, "/v2/models/soon"), post(soon.url, "/v2/models/soon/infer", body())):
        assert status == 503 and told["error"].startswith("model 'soon' is not ready")
    assert get(soon.url, "/v2/health/ready")[0] == 503
    soon.close()


def test_unknown_codings_are_refused_and_the_connection_lives_on(device: Device) -> None:
    connection = http.client.HTTPConnection(device.address, timeout=10)
    for encoding, status in (("br", 415), ("identity", 200)):
        connection.request("POST", INFER, body(), {"Content-Encoding": encoding})
        reply = connection.getresponse()
        assert (reply.status, bool(json.loads(reply.read()))) == (status, True)
    connection.close()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(device: Device) -> None:
    connection = http.client.HTTPConnection(device.address, timeout=10)
    connection.putrequest("POST", INFER)
    connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_label_that_takes_long_to_score_is_refused_unread(device: Device) -> None:
    body = json.dumps({"model": "m", "id": "r", "label": [1] * MAX_FEEDBACK_BYTES}).encode()
    connection = http.client.HTTPConnection(device.address, timeout=10)
    connection.request("POST", "/edgefleet/v1/feedback", body)
    answer = connection.getresponse()
    assert (answer.status, b"more than the 524,288 allowed" in answer.read()) == (413, True)
    connection.close()


def test_a_request_without_a_length_has_no_body(device: Device) -> None:
    connection = http.client.HTTPConnection(device.address, timeout=10)
    for path, status in ((INFER, 400), ("/v2/repository/index", 200), ("/edgefleet/v1/feedback", 400)):
        connection.putrequest("POST", path)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True), path
    connection.close()


def test_a_client_that_waits_to_be_told_is_told_at_once_whether_its_body_is_wanted(device: Device) -> None:
    host, _, port = device.address.partition(":")
    for size, told in ((len(body()), b"HTTP/1.1 100 Continue"), (MAX_BODY_BYTES + 1, b"HTTP/1.1 413")):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST {INFER} HTTP/1.1\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(told)
            if told.endswith(b"Continue"):
                connection.sendall(body())
                assert connection.recv(100_000).startswith(b"HTTP/1.1 200")


def test_labels_come_back_by_request_id(device: Device) -> None:
    top = int(np.argmax(post(device.url, INFER, body())[1]["outputs"][0]["data"]))
    feedback = "/edgefleet/v1/feedback"
    unknown = post(device.url, feedback, json.dumps({"model": "pest", "id": "r1", "label": 1}).encode())
    assert unknown[0] == 404 and "unknown model 'pest'" in str(unknown[1])

    def label(**fields: Any) -> int:
        return post(device.url, feedback, json.dumps({"model": "pets", "id": "r1"} | fields).encode())[0]

    assert label(id="unknown", label=0) == 404
    assert [label(label=wrong) for wrong in (None, True, 1.5, {}, "fish")] == [400] * 5
    assert label(labels=[1, 2]) == 400
    assert label(label=top, labels=[top]) == 400
    assert label(label=top, weight=3) == 400
    assert label(label=("cat", "dog", "bird")[top]) == 200
    assert label(label=top) == 200
    (window,) = device.recorder.close()
    assert (window.requests, window.labelled, window.correct) == (1, 1, 1)
    assert device.recorder.unknown_ids == 2
    # The window is closed; a late label opens the next one, for the variant that answered.
    post(device.url, INFER, body())
    device.recorder.close()
    assert label(labels=[top]) == 200
    assert [(w.variant, w.requests, w.labelled) for w in device.recorder.close()] == [(device.variant.id, 0, 1)]


@pytest.mark.parametrize("label", [3, -1, 99, "3", "-1", "fish", "1_0", "9" * 5000, 10**400])
def test_a_label_that_is_none_of_the_classes_is_refused_with_what_there_is_and_counted_apart(
    device: Device, label: int | str
) -> None:
    top = int(np.argmax(post(device.url, INFER, body())[1]["outputs"][0]["data"]))

    def feedback(value: int | str) -> tuple[int, Any]:
        asked = json.dumps({"model": "pets", "id": "r1", "label": value})
        return post(device.url, "/edgefleet/v1/feedback", asked.encode())

    status, told = feedback(label)
    assert status == 400
    said = "a class is a whole number from 0 to 2, or one of cat, dog, bird; not "
    assert told["error"].startswith(said) and told["error"].removeprefix(said)[:50] == repr(label)[:50]
    assert len(told["error"]) < 200
    assert feedback(top)[0] == 200, "the right one is still taken"
    (window,) = device.recorder.close()
    assert (window.labelled, window.correct, window.refused_labels, window.labels_checked) == (1, 1, 1, True)


def test_of_a_batch_with_one_impossible_label_none_counts(device: Device) -> None:
    post(device.url, INFER, body(shape=[2, 16], data=[[1.0] * 16] * 2))
    asked = json.dumps({"model": "pets", "id": "r1", "labels": [0, 3]})
    assert post(device.url, "/edgefleet/v1/feedback", asked.encode())[0] == 400
    (window,) = device.recorder.close()
    assert (window.labelled, window.refused_labels) == (0, 1)


def test_an_answer_that_could_not_be_counted_takes_no_label_and_that_is_said(device: Device) -> None:
    key = Key("pets", 3, device.variant.id, 7)
    device.recorder.answered(key, "r1", 0.001, NOT_COUNTED, "{}")
    status, told = post(device.url, "/edgefleet/v1/feedback", b'{"model": "pets", "id": "r1", "label": 0}')
    assert (status, "is not kept" in told["error"]) == (400, True)


def test_latency_and_predictions_are_counted_where_they_happen(device: Device) -> None:
    for _ in range(20):
        post(device.url, INFER, body())
    (window,) = device.recorder.close()
    assert (window.requests, window.errors, sum(window.predicted.values())) == (20, 0, 20)
    assert set(window.predicted) <= {"cat", "dog", "bird"}
    assert window.latency is not None
    histogram = LatencyHistogram.decode(window.latency)
    p50 = histogram.percentile_ms(50)
    assert histogram.count == 20 and p50 is not None and 0.05 < p50 < 500


def test_of_a_model_with_many_classes_the_rest_is_counted_as_others() -> None:
    recorder = Recorder(lambda: 0.0, lambda: 0)
    key = Key("pets", 1, "0" * 64, 1)
    for number in range(1_002):
        recorder.answered(key, str(number), 0.001, AnswerCount((str(number),), b"1"), "")
    (window,) = recorder.close()
    assert (len(window.predicted), window.predicted["(others)"]) == (1_001, 2)


def test_the_map_of_request_ids_is_bounded() -> None:
    recorder = Recorder(lambda: 0.0, lambda: 0)
    key = Key("pets", 1, "0" * 64, 1)
    for number in range(MAX_RECENT + 1):
        recorder.answered(key, str(number), 0.001, AnswerCount(("cat",), b"1"), "")
    assert recorder.find("pets", "0") is None
    found = recorder.find("pets", "1")
    assert found and recorder.scored(found, "1", [1.0]) and not recorder.scored(found, "1", [1.0])


def test_the_status_is_the_report(device: Device) -> None:
    assert get(device.url, "/edgefleet/v1/status") == (200, {"incarnation": "x"})


def test_many_clients_at_once_are_all_answered(device: Device) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(lambda _: post(device.url, INFER, body()), range(200))} == {200}


def test_answers_do_not_wait_for_an_acknowledgement(device: Device) -> None:
    connection = http.client.HTTPConnection(device.address, timeout=10)
    took_s = []
    for _ in range(30):
        began_s = time.perf_counter()
        connection.request("POST", INFER, body())
        connection.getresponse().read()
        took_s.append(time.perf_counter() - began_s)
    connection.close()
    # Nagle against delayed acknowledgement would cost 40 ms each time; a new connection acknowledges at once.
    assert sorted(took_s[10:])[4] < 0.03


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_tritons_client_works(device: Device, binary: bool) -> None:
    triton = pytest.importorskip("tritonclient.http")
    failures: list[BaseException] = []

    def use() -> None:
        try:
            client = triton.InferenceServerClient(device.address)
            assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("pets")
            assert client.get_model_metadata("pets", "3")["inputs"][0]["name"] == "x"
            tensor = triton.InferInput("x", [2, 16], "FP32")
            tensor.set_data_from_numpy(np.ones((2, 16), np.float32), binary_data=binary)
            outputs = [triton.InferRequestedOutput("logits", binary_data=binary)]
            for asked in (outputs, None):
                reply = client.infer("pets", [tensor], request_id="t1", outputs=asked)
                assert reply.as_numpy("logits").shape == (2, 3)
                assert reply.get_response()["id"] == "t1"
            with pytest.raises(triton.InferenceServerException, match="expected FP32"):
                wrong = triton.InferInput("x", [1, 16], "INT32")
                wrong.set_data_from_numpy(np.ones((1, 16), np.int32), binary_data=binary)
                client.infer("pets", [wrong])
            client.close()
        except BaseException as error:
            failures.append(error)

    # The client is built on gevent, which wants a thread of its own.
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert failures == []
