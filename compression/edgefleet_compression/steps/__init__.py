"""The steps, one small file each; importing this package imports torch, so only workers do."""

from edgefleet_compression.step import Run
from edgefleet_compression.steps.accuracy_int8 import accuracy_int8
from edgefleet_compression.steps.distill import distill
from edgefleet_compression.steps.dynamic_int8 import dynamic_int8
from edgefleet_compression.steps.export import export
from edgefleet_compression.steps.finetune import finetune
from edgefleet_compression.steps.fp16 import fp16
from edgefleet_compression.steps.pack import pack
from edgefleet_compression.steps.prune_iterative import prune_iterative
from edgefleet_compression.steps.prune_structured import prune_structured
from edgefleet_compression.steps.prune_unstructured import prune_unstructured
from edgefleet_compression.steps.qat_int8 import qat_int8
from edgefleet_compression.steps.qat_weights import qat_weights
from edgefleet_compression.steps.reestimate_norms import reestimate_norms
from edgefleet_compression.steps.scale_width import scale_width
from edgefleet_compression.steps.static_int8 import static_int8
from edgefleet_compression.steps.storage_quant import storage_quant
from edgefleet_compression.steps.tune_norms import tune_norms
from edgefleet_compression.steps.weight_only import weight_only

STEPS: dict[str, Run] = {
    "prune_structured": prune_structured,
    "prune_iterative": prune_iterative,
    "prune_unstructured": prune_unstructured,
    "finetune": finetune,
    "distill": distill,
    "scale_width": scale_width,
    "qat_int8": qat_int8,
    "qat_weights": qat_weights,
    "tune_norms": tune_norms,
    "reestimate_norms": reestimate_norms,
    "export": export,
    "static_int8": static_int8,
    "accuracy_int8": accuracy_int8,
    "dynamic_int8": dynamic_int8,
    "weight_only": weight_only,
    "fp16": fp16,
    "storage_quant": storage_quant,
    "pack": pack,
}

__all__ = ["STEPS"]
