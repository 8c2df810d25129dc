"""What either side can do beyond earlier versions, by name; a manifest names the features that it needs.

An older agent ignores unknown fields, so a manifest that relies on a new field would run there without what the field
asks for. Such a manifest names a feature that it needs, and is never assigned to a device that lacks it.
"""

from collections.abc import Collection, Iterable

WINDOWS = "windows"
"""Fetches and switches only inside the windows that `desired` names."""
REDUCED_ANSWERS = "reduced-answers"
"""Tests a variant by a blob of reduced answers to its golden set, which the manifest names."""
TENSORS = "tensors"
"""Obeys the signature of a manifest: any number of inputs, any type, and which axis is the batch."""
STATE = "state"
"""Keeps the state of sequences from one step to the next, as the manifest's `state` says."""
HELD_FILES = "held-files"
"""Takes a variant's files from a slot of any model that holds them: only what no slot holds is fetched."""
PROVIDERS = "providers"
"""Asks for the execution providers that a manifest names, and falls back to the CPU where they do not do."""
FIRST_TASK = "classification"
"""The task that every agent knows."""
CREDIT = "credit"
"""Of a controller: it sends to a device no more at once than the device gives credit for, at the pace that it names."""
CONTROLLER_FEATURES: frozenset[str] = frozenset({CREDIT})
"""The features of this version's controller, which it tells in `hello` and `desired`."""
FEATURES: frozenset[str] = frozenset({WINDOWS, REDUCED_ANSWERS, TENSORS, STATE, HELD_FILES, PROVIDERS})
"""The features of this version's agent, besides its tasks; a device that reports none can do what 0.1.0 can."""
OWN_TASKS: tuple[str, ...] = (
    "classification",
    "detection",
    "embedding",
    "multilabel",
    "outputs",
    "regression",
    "segmentation",
    "sequence",
)
"""The tasks that this version brings, by name; plug-ins bring others."""


def task_feature(task: str) -> str:
    """The feature of an agent that scores the answers of a task."""
    return f"task-{task}"


def lacking(needs: Iterable[str], features: Collection[str]) -> tuple[str, ...]:
    """The needed features that are missing, sorted."""
    return tuple(sorted({need for need in needs if need not in features}))
