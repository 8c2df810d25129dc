"""Short floats: weights keep few bits of their mantissa; the zeros behind them encode well."""

from typing import Annotated

from pydantic import Field

from edgefleet_compression.step import (
    EXPORT,
    FILE,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepConfig,
    StepResult,
    Tail,
    step,
)


class ShortFloatsConfig(StepConfig):
    """How many `bits` of a mantissa's 23 are kept."""

    bits: Annotated[int, Field(ge=1, le=22)] = 8


STEP = Step(
    name="short_floats",
    config=ShortFloatsConfig,
    consumes=FILE,
    produces=None,
    technique="round",
    search=Searched(tails=(Tail("short8", "8 bits of each weight's mantissa", (EXPORT, step("short_floats"))),)),
)


def run(state: OnnxState, config: ShortFloatsConfig, context: Context) -> StepResult:
    """Clear the last bits of every fp32 weight."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    kept = np.uint32(2**32 - 2 ** (23 - config.bits))
    model = onnx.load(state.path)
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    if not weights:
        raise NothingChanged("short_floats found no fp32 weight: put it after export")
    for tensor in weights:
        shortened = (numpy_helper.to_array(tensor).view(np.uint32) & kept).view(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(shortened, tensor.name))
    path = context.folder / "short.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return StepResult(OnnxState(path), {"weights": len(weights), "file_bytes": path.stat().st_size})
