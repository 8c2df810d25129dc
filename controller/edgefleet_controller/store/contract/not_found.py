"""What every kind of store says of what it does not hold."""

from edgefleet_controller.errors import NotFound


def no_device(device: str) -> NotFound:
    """A device that never reported."""
    return NotFound(f"no device {device} has reported yet: `edgefleet device list` shows all")


def stranger(device: str) -> NotFound:
    """A device that nobody knows."""
    return NotFound(f"there is no device {device}: it was never added and never reported")


def no_model(name: str, version: int) -> NotFound:
    """A model version that is not registered."""
    return NotFound(f"no model {name}@{version}: `edgefleet model list` shows all")


def no_operation(operation_id: str) -> NotFound:
    """An operation that never began, or is forgotten."""
    return NotFound(f"no operation {operation_id}: `edgefleet operation list` shows all")


def no_rollout(rollout_id: str) -> NotFound:
    """A rollout that was never started."""
    return NotFound(f"no rollout {rollout_id}: `edgefleet rollout list` shows all")


def no_segment(name: str) -> NotFound:
    """A segment that was not saved."""
    return NotFound(f"no segment '{name}': save it first, with its selector")
