"""Whether a variant fits into a device's memory beside everything else that the device is to hold: pure.

By the rule that the device itself keeps to, see `edgefleet_protocol.memory_budget`.
"""

from typing import NamedTuple

from edgefleet_contract.metrics import Metrics
from edgefleet_protocol.memory_budget import MB, HeldModel, measured_mb, refusal
from edgefleet_protocol.messages import MemoryBudget


class DeviceRoom(NamedTuple):
    """What counts on a device beside a new variant: its other models, and what answers there of the same model.

    `budget` is None if its agent reports none.
    """

    budget: MemoryBudget | None = None
    others: tuple[HeldModel, ...] = ()
    own: HeldModel | None = None

    @property
    def beside(self) -> tuple[HeldModel, ...]:
        """Everything that has a worker while a new variant is tried."""
        return (*((self.own,) if self.own else ()), *self.others)

    def refusal(self, wanted: HeldModel) -> str | None:
        """Why a variant does not fit, with the figures; None if it does, or as far as is known."""
        return refusal(self.budget, wanted, self.beside) if self.budget else None

    def unknown(self, wanted: HeldModel) -> str | None:
        """Why it cannot be told whether a variant fits, in words; None if it can."""
        if self.budget is None:
            return "their agents report no budget of memory"
        lacking = sorted({f"{one.model}@{one.version}" for one in (wanted, *self.beside) if one.mb is None})
        return f"the memory of {', '.join(lacking)} was not measured, and counted as nothing" if lacking else None


UNKNOWN_ROOM = DeviceRoom()


def memory_mb(metrics: Metrics) -> int | None:
    """What a variant counts as, in MB; None if it was not measured."""
    if metrics.peak_rss_mb is None or metrics.peak_address_mb is None:
        return None
    return measured_mb(metrics.peak_rss_mb * MB, metrics.peak_address_mb * MB)
