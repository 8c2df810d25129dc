"""Removes model versions that nothing needs; their blobs go with the next collection."""

from edgefleet_controller.clock import now_ms
from edgefleet_controller.errors import Refused
from edgefleet_controller.failpoints import reach
from edgefleet_controller.store import FleetStore


def remove_model(fleet: FleetStore, name: str, version: int) -> None:
    """Remove a model version with its variants and choices.

    Raises:
        NotFound: it is not registered.
        Refused: a rollout, a device or a build needs it.
    """
    with fleet.transaction():
        model = fleet.registry.model(name, version)
        if rollout := fleet.references.rollout_of(name, version):
            raise Refused(f"{model.ref} is part of rollout {rollout}, which is in progress: let it end, or abort it")
        if devices := fleet.references.devices_of(name, version):
            more = f" and {len(devices) - 1} more" if len(devices) > 1 else ""
            raise Refused(f"{devices[0]}{more} should run {model.ref}: roll out another version to them first")
        if fleet.references.building(model.ref):
            raise Refused(f"{model.ref} is being compressed: wait until that has ended")
        fleet.references.remove_model(name, version)
        fleet.audit.note(now_ms(), "model removed", model.ref)
        reach("model_removed")
    reach("model_forgotten")
