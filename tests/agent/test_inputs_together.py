"""Inputs of one request go together: what a client gets wrong is a 400, and never counts against a model."""

import json
from typing import Any

import pytest

from edgefleet_agent.errors import RequestError
from edgefleet_agent.inference_protocol import parse
from edgefleet_protocol.signature import Signature, Tensor

SIGNATURE = Signature(
    (Tensor("ids", "INT64", ("n", "t")), Tensor("mask", "INT64", ("n", "t"))), (Tensor("y", "FP32", ("n", 2)),)
)


def given(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": "INT64", "shape": list(shape), "data": [1, 2]}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([given("ids", 2, 1), given("mask", 1, 2)], "as many samples, and there are 'ids' 2, 'mask' 1"),
        ([given("ids", 1, 2), given("ids", 1, 2), given("mask", 1, 2)], "an input is there twice: give each of"),
        ([given("ids", 1, int("9" * 4000)), given("mask", 1, 2)], "its shape needs more than 2,147,483,648"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(inputs: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        parse(json.dumps({"inputs": inputs}).encode(), None, SIGNATURE)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"timeout": 5}, "'timeout' of the request is not known here: leave it out; it has id, inputs, outputs, param"),
        ({"parameters": {"timeout": 5}}, "parameter 'timeout' of the request is not supported here"),
        ({"outputs": [{"name": "y", "datatype": "FP32"}]}, "'datatype' of output 'y' is not known here: leave it out"),
        (
            {"inputs": [given("ids", 2, 1) | {"contents": [1, 2]}, given("mask", 2, 1)]},
            "'contents' of input 'ids' is not known here: leave it out; it has data, datatype, name, parameters, shape",
        ),
        (
            {"inputs": [given("ids", 2, 1) | {"parameters": {"binary_data_size": 0}}, given("mask", 2, 1)]},
            "input 'ids' has both 'data' and binary_data_size: give one of them",
        ),
    ],
)
def test_what_nothing_would_read_is_refused_by_name(request_: dict[str, Any], says: str) -> None:
    body = {"inputs": [given("ids", 2, 1), given("mask", 2, 1)]} | request_
    with pytest.raises(RequestError, match=says) as caught:
        parse(json.dumps(body).encode(), None, SIGNATURE)
    assert caught.value.status == 400


def test_inputs_that_do_are_one_request() -> None:
    request = parse(json.dumps({"inputs": [given("ids", 2, 1), given("mask", 2, 1)]}).encode(), None, SIGNATURE)
    assert request.rows == 2
