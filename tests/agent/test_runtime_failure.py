"""What is told of a model's failure: where it was, and no value of an input."""

import pytest

from edgefleet_agent.runtime_failure import RuntimeFailure, failure_of

RUNNING = "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running Gather node. "


class InvalidArgument(Exception):  # noqa: N818 - as onnxruntime names it
    pass


@pytest.mark.parametrize(
    ("text", "loading", "operator", "node"),
    [
        (RUNNING + "Name:'look up' Status Message: idx=-4242424 must be within [-3,2]", False, "Gather", "look up"),
        (RUNNING + "Name:'' Status Message: idx=-4242424", False, "Gather", None),
        (f"-4242424 {RUNNING}Name:'-4242424'", False, None, None),
        ('[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : In Node, ("-4242424", Nope, "", -1)', False, None, None),
        ('[ONNXRuntimeError] : 10 : INVALID_GRAPH : In Node, ("q", Nope, "", -1)', True, "Nope", "q"),
        ("-4242424", True, None, None),
    ],
)
def test_operator_and_node_are_found_where_the_runtime_puts_them(
    text: str, loading: bool, operator: str | None, node: str | None
) -> None:
    found = failure_of(InvalidArgument(text), loading=loading)
    assert found == RuntimeFailure("InvalidArgument", operator, node)
    assert "4242424" not in str(found)


def test_it_reads_as_a_sentence_that_says_where_to_look() -> None:
    told = str(RuntimeFailure("InvalidArgument", "Gather", "look up"))
    assert told.startswith("the model failed with InvalidArgument in operator Gather, node 'look up'; the agent's log")


def test_a_node_with_a_long_name_is_cut() -> None:
    found = failure_of(InvalidArgument(f"{RUNNING}Name:'{'n' * 5000}'"), loading=False)
    assert found.node == "n" * 200
