"""What each step takes, gives and needs: enough to refuse a recipe before anything runs.

A model comes as a torch module, or as an ONNX file of somebody else's making ("brought"). Only two steps take either:
`export` gives an ONNX file as all later steps know it, `distill` a student that is a module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgefleet_compression.recipes import step_configs as configs
from edgefleet_compression.recipes.step_configs import StepConfig

SourceKind = Literal["torch", "brought"]
StateKind = SourceKind | Literal["onnx", "quantized", "packed"]
"""An ONNX file has all of its weights in fp32 (onnx), some in fewer bits (quantized), or is laid out for good (packed).
"""
Need = Literal["train", "calib", "val", "teacher", "scheme"]


@dataclass(frozen=True)
class Signature:
    """A step's declaration; `revision` rises when the same settings come to mean another result.

    `produces` None is the kind that was consumed. `trains` marks the steps that run an optimizer, the costly ones.
    `needs_for` names, by setting, what is needed beside `needs` where that setting is given.
    """

    consumes: frozenset[StateKind]
    produces: StateKind | None
    config: type[StepConfig]
    needs: frozenset[Need] = frozenset()
    revision: int = 1
    trains: bool = False
    needs_for: Mapping[str, frozenset[Need]] = field(default_factory=dict)

    def gives(self, consumed: StateKind) -> StateKind:
        """The kind of state that comes out when `consumed` goes in."""
        return self.produces or consumed

    def needed(self, settings: StepConfig) -> frozenset[Need]:
        """What the step needs with these settings."""
        return self.needs.union(*(needs for name, needs in self.needs_for.items() if getattr(settings, name)))


MODULE: frozenset[StateKind] = frozenset({"torch"})
SOURCE: frozenset[StateKind] = frozenset({"torch", "brought"})
FILE: frozenset[StateKind] = frozenset({"onnx"})
ANY_FILE: frozenset[StateKind] = frozenset({"onnx", "quantized"})
TRAINING: frozenset[Need] = frozenset({"train", "val", "teacher"})

SIGNATURES: dict[str, Signature] = {
    "prune_structured": Signature(MODULE, "torch", configs.PruneStructuredConfig),
    "prune_iterative": Signature(MODULE, "torch", configs.PruneIterativeConfig, TRAINING, revision=2, trains=True),
    "prune_unstructured": Signature(MODULE | FILE, None, configs.PruneUnstructuredConfig),
    "finetune": Signature(MODULE, "torch", configs.FinetuneConfig, TRAINING, revision=2, trains=True),
    "distill": Signature(SOURCE, "torch", configs.DistillConfig, TRAINING, revision=3, trains=True),
    "scale_width": Signature(MODULE, "torch", configs.ScaleWidthConfig, TRAINING, revision=2, trains=True),
    "qat_weights": Signature(MODULE, "torch", configs.QatWeightsConfig, TRAINING | {"calib"}, revision=3, trains=True),
    "qat_int8": Signature(
        MODULE, "torch", configs.QatInt8Config, TRAINING | {"calib", "scheme"}, revision=2, trains=True
    ),
    "tune_norms": Signature(MODULE, "torch", configs.TuneNormsConfig, TRAINING, revision=2, trains=True),
    "reestimate_norms": Signature(MODULE, "torch", configs.ReestimateNormsConfig, frozenset({"train", "val"})),
    "export": Signature(SOURCE, "onnx", configs.ExportConfig, frozenset({"val"}), revision=2),
    "static_int8": Signature(FILE, "quantized", configs.StaticInt8Config, frozenset({"calib", "scheme"}), revision=2),
    "accuracy_int8": Signature(
        FILE, "quantized", configs.AccuracyInt8Config, frozenset({"calib", "val", "scheme"}), revision=3
    ),
    "dynamic_int8": Signature(FILE, "quantized", configs.DynamicInt8Config, frozenset({"val"})),
    "weight_only": Signature(FILE, "quantized", configs.WeightOnlyConfig, frozenset({"val"})),
    "fp16": Signature(ANY_FILE, "quantized", configs.Fp16Config),
    "storage_quant": Signature(
        ANY_FILE, "quantized", configs.StorageQuantConfig, revision=2, needs_for={"mean_bits": frozenset({"calib"})}
    ),
    "pack": Signature(ANY_FILE, "packed", configs.PackConfig),
}
