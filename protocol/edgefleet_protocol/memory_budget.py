"""Whether models fit into the memory of one device together: pure, the same on the device and before a rollout.

Each model that answers takes a worker. While a version is tried, the worker of the one before it stays warm.
"""

from collections.abc import Iterable
from typing import NamedTuple

from edgefleet_protocol.messages import MemoryBudget

MB = 2**20


class HeldModel(NamedTuple):
    """A variant with a worker: its model and version, and what it takes beside the worker, in MB.

    `mb` is what loading it and answering added at its build; None if that was not measured.
    """

    model: str
    version: int
    mb: int | None


def measured_mb(resident_bytes: float, address_bytes: float) -> int:
    """What a model is counted as, in whole MB: the larger of both, as a worker's limit counts address space."""
    return -(-int(max(resident_bytes, address_bytes, 0)) // MB)


def needed_mb(budget: MemoryBudget, held: Iterable[HeldModel]) -> int:
    """What these take together, in MB, with the supervisor; what was not measured counts as nothing."""
    return budget.agent_mb + sum(budget.worker_mb + (one.mb or 0) for one in held)


def refusal(budget: MemoryBudget, wanted: HeldModel, beside: Iterable[HeldModel]) -> str | None:
    """Why a variant does not fit, with the figures; None if it does.

    Args:
        budget: the device's.
        wanted: what would be tried.
        beside: what has a worker meanwhile: the other models, and what answers of this one.
    """
    held = [wanted, *beside]
    needed = needed_mb(budget, held)
    if needed <= budget.budget_mb:
        return None
    parts = [f"{one.model}@{one.version} {budget.worker_mb + (one.mb or 0)} MB" for one in held]
    return (
        f"the models' memory: {', '.join(parts)} and the agent {budget.agent_mb} MB are {needed} MB, and the budget is "
        f"{budget.budget_mb} MB; remove a model, take a smaller variant, or raise the agent's memory_mb"
    )
