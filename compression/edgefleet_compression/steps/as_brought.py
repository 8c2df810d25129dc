"""As brought: the file is delivered byte for byte, whatever it is."""

import shutil

from edgefleet_compression.step import (
    BROUGHT,
    BroughtState,
    Context,
    NotSearched,
    OnnxState,
    Step,
    StepConfig,
    StepResult,
)


class AsBroughtConfig(StepConfig):
    """Nothing is to be set."""


STEP = Step(
    name="as_brought",
    config=AsBroughtConfig,
    consumes=BROUGHT,
    produces="packed",
    technique=None,
    search=NotSearched("it makes one variant of a file, and every search of a file tries that as well"),
)


def run(state: BroughtState, config: AsBroughtConfig, context: Context) -> StepResult:
    """Copy the file; its IR version alone is lowered, where its opset can be read by older devices than that."""
    from edgefleet_compression.onnx_graphs.domains import opset_of
    from edgefleet_compression.onnx_graphs.skim import skim, with_ir_version
    from edgefleet_protocol.runtime_versions import ir_of

    path, model = context.folder / "brought.onnx", skim(state.path)
    opset, most = opset_of(model), ir_of(opset_of(model))
    if model.ir_version <= most:
        shutil.copyfile(state.path, path)
    else:
        with_ir_version(state.path, path, most)
    log = {"opset": opset, "ir_version": min(model.ir_version, most), "parameters": state.parameters()}
    return StepResult(OnnxState(path), {**log, "file_bytes": path.stat().st_size})
