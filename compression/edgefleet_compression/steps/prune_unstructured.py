"""Unstructured pruning: single weights become zero, which saves bytes on the wire, but no time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from edgefleet_compression.step import (
    FILE,
    MODULE,
    Context,
    NothingChanged,
    OnnxState,
    Searched,
    Step,
    StepConfig,
    StepResult,
    TorchState,
    copied,
)
from edgefleet_compression.step_settings import Ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = NDArray[np.float32]


class PruneUnstructuredConfig(StepConfig):
    """Set the `sparsity` share of weights that are smallest to zero, over all layers together or in each."""

    sparsity: Ratio = 0.8
    scope: Literal["global", "layer"] = "global"


STEP = Step(
    name="prune_unstructured",
    config=PruneUnstructuredConfig,
    consumes=MODULE | FILE,
    produces=None,
    technique="prune",
    search=Searched(),
    revision=3,
)


def run(state: TorchState | OnnxState, config: PruneUnstructuredConfig, context: Context) -> StepResult:
    """Set the smallest weights of convolutions and linear layers to zero (Han et al. 2015), in a module or a file.

    `finetune` and the other training steps keep these zeros.

    Raises:
        NothingChanged: there is no weight to prune, or the smallest are zero already.
    """
    return _in_module(state, config) if isinstance(state, TorchState) else _in_file(state, config, context)


def _in_module(state: TorchState, config: PruneUnstructuredConfig) -> StepResult:
    import torch

    from edgefleet_compression.networks.layers import weighted

    pruned = copied(state)
    layers = [layer for _, layer in weighted(pruned.module)]
    before = [layer.weight.detach().numpy() for layer in layers]
    after = _pruned(before, config)
    for layer, values in zip(layers, after, strict=True):
        layer.weight = torch.nn.Parameter(torch.from_numpy(values))
    return StepResult(pruned, {**_log(before, after), "parameters": pruned.parameters()})


def _in_file(state: OnnxState, config: PruneUnstructuredConfig, context: Context) -> StepResult:
    import onnx
    from onnx import numpy_helper

    from edgefleet_compression.layer_kinds import LayerKind
    from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes

    model = onnx.load(state.path)
    layers = frozenset(get_args(LayerKind))
    found = [one.weight for one in weighted_nodes(model.graph) if not layers.isdisjoint(one.kinds)]
    before = [numpy_helper.to_array(tensor) for tensor in found]
    after = _pruned(before, config)
    for tensor, values in zip(found, after, strict=True):
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = context.folder / "pruned.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return StepResult(OnnxState(path), {**_log(before, after), "file_bytes": path.stat().st_size})


def _pruned(weights: "Sequence[Weights]", config: PruneUnstructuredConfig) -> "list[Weights]":
    import numpy as np

    if not weights:
        raise NothingChanged("prune_unstructured found no convolution or linear layer with fp32 weights: drop the step")
    sizes = [np.abs(w) for w in weights]
    whole = np.quantile(np.concatenate([s.ravel() for s in sizes]), config.sparsity)
    limits = [whole if config.scope == "global" else np.quantile(s, config.sparsity) for s in sizes]
    after = [np.where(s <= limit, np.float32(0), w) for w, s, limit in zip(weights, sizes, limits, strict=True)]
    if all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True)):
        raise NothingChanged(
            f"prune_unstructured: {config.sparsity:.0%} of the weights are zero already: raise sparsity"
        )
    return after


def _log(before: "Sequence[Weights]", after: "Sequence[Weights]") -> dict[str, float]:
    total = sum(w.size for w in before)
    return {
        "zeros_before": round(sum(int((w == 0).sum()) for w in before) / total, 4),
        "zeros": round(sum(int((w == 0).sum()) for w in after) / total, 4),
    }
