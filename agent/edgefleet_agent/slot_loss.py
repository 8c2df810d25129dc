"""What follows when a slot has rotted. Pure: a record in, a record out."""

from edgefleet_agent.records import InstalledModel, begun
from edgefleet_protocol.messages import Lost


def without(record: InstalledModel, variant: str, lost: Lost) -> InstalledModel:
    """A record after its answering variant was lost: the previous variant answers, if it has a slot."""
    slots = {v: slot for v, slot in record.slots.items() if v != variant}
    answering = record.previous if record.previous in slots else None
    return record.model_copy(update={"answering": answering, "previous": None, "slots": slots, "lost": lost})


def fetched_again(record: InstalledModel) -> InstalledModel | None:
    """A record with a new attempt at the same generation, if its variant is wanted and has no slot."""
    desired, attempt = record.desired, record.attempt
    held = attempt.phase in ("committed", "already_installed") and attempt.manifest == desired.manifest
    if not held or attempt.variant is None or attempt.variant in record.slots:
        return None
    return begun(record, desired.model_copy(update={"activate": True}))  # it had switched before
