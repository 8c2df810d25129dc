"""What of a model's failure may leave the device: its class, operator and node. Pure; the worker uses it.

onnxruntime's text may carry values of the input ("idx=-4242424 must be within ..."), so it stays in the local log.
"""

import re
from dataclasses import dataclass

MAX_NODE = 200
_RUNNING = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : Non-zero status code returned while running (\w{1,64}) node\. "
    r"Name:'([^'\n]*)'"
)
"""Matched at the beginning alone: what follows the node's name may be anything."""
_LOADING = re.compile(r"In Node, \(\"(?P<node>[^\"\n]*)\", (?P<operator>\w{1,64}), ")
"""No input has been seen yet while a model is loaded."""


@dataclass(frozen=True)
class RuntimeFailure:
    """A model's failure: the class of the error and, where the runtime said so, which operator and node it met."""

    error: str
    operator: str | None = None
    node: str | None = None

    def __str__(self) -> str:
        where = f" in operator {self.operator}" if self.operator else ""
        where += f", node '{self.node}'" if self.node else ""
        return f"the model failed with {self.error}{where}; the agent's log on the device has the runtime's own words"


def failure_of(error: Exception, *, loading: bool) -> RuntimeFailure:
    """What may be told of an error that onnxruntime or the code around it raised.

    Args:
        error: the error.
        loading: whether the model was being loaded, not asked.
    """
    text, kind = str(error), type(error).__name__
    if found := _RUNNING.match(text):
        return RuntimeFailure(kind, found[1], found[2][:MAX_NODE] or None)
    if loading and (found := _LOADING.search(text)):
        return RuntimeFailure(kind, found["operator"], found["node"][:MAX_NODE] or None)
    return RuntimeFailure(kind)
