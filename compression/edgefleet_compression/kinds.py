"""The kinds of state that a model takes on its way through a recipe, and what a step may need beside one.

A model comes as a torch module, or as an ONNX file of somebody else's making ("brought"). Two steps take either:
`export` gives an ONNX file as all later steps know it, `distill` a student that is a module. `as_brought` takes a
file alone, and passes it on.
"""

from typing import Literal

SourceKind = Literal["torch", "brought"]
StateKind = Literal[SourceKind, "onnx", "quantized", "packed"]
"""An ONNX file has all of its weights in fp32 (onnx), some in fewer bits (quantized), or is laid out for good (packed).
"""
Need = Literal["train", "calib", "val", "teacher", "scheme"]

MODULE: frozenset[StateKind] = frozenset({"torch"})
BROUGHT: frozenset[StateKind] = frozenset({"brought"})
SOURCE: frozenset[StateKind] = frozenset({"torch", "brought"})
FILE: frozenset[StateKind] = frozenset({"onnx"})
ANY_FILE: frozenset[StateKind] = frozenset({"onnx", "quantized"})
TRAINING: frozenset[Need] = frozenset({"train", "val", "teacher"})
