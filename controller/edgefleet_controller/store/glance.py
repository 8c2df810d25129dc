"""Frequently needed parts of a device's report, which every kind of store keeps beside it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edgefleet_controller.store.contract.devices import OnDevice, RunningVariant
from edgefleet_protocol.messages import MemoryBudget, ReportedModel, ReportedState
from edgefleet_protocol.runtime_versions import features_of

_JSON = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class ModelAtAGlance(NamedTuple):
    """What a device runs of a model, and the phase of its last attempt."""

    generation: int
    version: int | None
    variant: str | None
    manifest: str | None
    phase: str | None


def model_at_a_glance(said: ReportedModel) -> ModelAtAGlance:
    """What a device has committed, even if another variant answers in a trial, or none just after a start."""
    held, attempt = said.committed or said.answering, said.attempt
    version, variant, manifest = (held.model_version, held.variant, held.manifest) if held else (None, None, None)
    return ModelAtAGlance(said.generation, version, variant, manifest, attempt.phase if attempt else None)


def on_device(features: Iterable[str], models: Mapping[str, Any], memory: Mapping[str, int] | None) -> OnDevice:
    """What a plan asks of a report; its parts as JSON has them, as a plan reads those of the whole fleet."""
    held = {name: said.get("committed") or said.get("answering") for name, said in models.items()}
    slots = {name: tuple(slot["manifest"] for slot in said.get("slots") or ()) for name, said in models.items()}
    return OnDevice(
        features=frozenset(features),
        slots={name: manifests for name, manifests in slots.items() if manifests},
        runs={name: RunningVariant(slot["manifest"], slot["model_version"]) for name, slot in held.items() if slot},
        memory=MemoryBudget.model_validate(memory) if memory else None,
    )


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as text; equal labels give equal texts."""
    return _JSON(labels)


def features_text(reported: ReportedState) -> str:
    """The features of a device's agent and its onnxruntime as text; equal features give equal texts."""
    return _JSON(sorted({*reported.features, *features_of(reported.facts.onnxruntime)}))
