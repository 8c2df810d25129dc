"""What may leave the device: the one filter that every telemetry window passes before it is spooled. Pure."""

from edgefleet_profiles.parts import DataKind
from edgefleet_protocol.messages import TelemetryWindow

KINDS: dict[DataKind, tuple[str, ...]] = {
    "counts": ("requests", "errors", "not_finite"),
    "aggregates": ("latency", "labelled", "correct"),
    "labels": ("predicted",),  # how often each class was seen tells what stood before the camera
}
"""Which fields of a window are of which kind; inputs and single answers are of none and never leave."""


def permitted(window: TelemetryWindow, may_leave: frozenset[DataKind]) -> TelemetryWindow | None:
    """The window without what may not leave; None when nothing is left to tell.

    Args:
        window: what was measured.
        may_leave: the region's permission.
    """
    defaults = {name: field.get_default(call_default_factory=True) for name, field in _FIELDS.items()}
    withheld = [name for kind, names in KINDS.items() if kind not in may_leave for name in names]
    left = window.model_copy(update={name: defaults[name] for name in withheld})
    told = [name for names in KINDS.values() for name in names if getattr(left, name) != defaults[name]]
    return left if told else None


_FIELDS = {name: TelemetryWindow.model_fields[name] for names in KINDS.values() for name in names}
