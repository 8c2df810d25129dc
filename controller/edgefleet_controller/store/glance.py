"""What is asked of a device's report again and again, kept beside it by every kind of store."""

import json
from typing import NamedTuple

from edgefleet_protocol.messages import ReportedModel, ReportedState

_JSON = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class ModelAtAGlance(NamedTuple):
    """What a device runs of a model, and the phase of its last attempt."""

    generation: int
    version: int | None
    variant: str | None
    manifest: str | None
    phase: str | None


def model_at_a_glance(said: ReportedModel) -> ModelAtAGlance:
    """What a device is committed to, not what answers in a trial, nor the nothing that answers just after its start."""
    held, attempt = said.committed or said.answering, said.attempt
    version, variant, manifest = (held.model_version, held.variant, held.manifest) if held else (None, None, None)
    return ModelAtAGlance(said.generation, version, variant, manifest, attempt.phase if attempt else None)


def labels_text(reported: ReportedState) -> str:
    """A device's own labels; the same text for the same labels."""
    return _JSON(reported.labels)


def features_text(reported: ReportedState) -> str:
    """What a device's agent can do beyond 0.1.0; the same text for the same features."""
    return _JSON(sorted(reported.features))
