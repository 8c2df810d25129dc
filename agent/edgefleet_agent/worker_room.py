"""Who has a worker on this device, and how much each may take, so that all together stay within the budget."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgefleet_agent.errors import Rejected
from edgefleet_agent.own_memory import WORKER_MB
from edgefleet_agent.placed import Placed
from edgefleet_agent.worker_handle import WorkerSpec
from edgefleet_agent.worker_memory import WEIGHT_COPIES
from edgefleet_protocol.manifest import Manifest
from edgefleet_protocol.memory_budget import MB, HeldModel, measured_mb, needed_mb, refusal
from edgefleet_protocol.messages import MemoryBudget

RETIRING_S = 3.0
"""How long to wait for workers that are ending: one that answers a request may take a moment."""
LOOK_EVERY_S = 0.05


def held_model(manifest: Manifest) -> HeldModel:
    """What a variant counts as here; by its size if it was not measured."""
    weights = max(manifest.core.onnx.size_bytes, manifest.unfolded_bytes or 0)
    memory = manifest.memory
    mb = measured_mb(memory.resident_bytes, memory.address_bytes) if memory else measured_mb(WEIGHT_COPIES * weights, 0)
    return HeldModel(manifest.model, manifest.model_version, mb)


def check_room(budget: MemoryBudget | None, wanted: HeldModel, beside: Iterable[HeldModel]) -> None:
    """Check that a variant fits beside those that have workers while it is tried.

    Raises:
        Rejected: out_of_memory, with the models, what each takes, and the budget.
    """
    if budget and (told := refusal(budget, wanted, beside)):
        raise Rejected("out_of_memory", told)


@dataclass
class Room:
    """The place of one worker: what it is counted as, and the worker once it has started."""

    held: HeldModel
    placed: Placed | None = None
    given_up: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether its process runs, starts, or would be started again."""
        if self.placed is None:
            return not self.given_up
        return not self.placed.retired or self.placed.worker.alive


class WorkerRoom:
    """The places of all workers; any thread may take one.

    Args:
        budget: the device's; None for tests of other things.
    """

    def __init__(self, budget: MemoryBudget | None) -> None:
        self._budget, self._lock = budget, threading.Lock()
        self._rooms: list[Room] = []

    def take(self, manifest: Manifest) -> Room:
        """Take a place for a variant's worker, before it starts; workers that are ending are waited for.

        Raises:
            Rejected: out_of_memory, it does not fit beside what runs.
        """
        room, until_s = Room(held_model(manifest)), time.monotonic() + RETIRING_S
        while True:
            with self._lock:
                self._rooms = [one for one in self._rooms if one.is_taken]
                told = self._budget and refusal(self._budget, room.held, [one.held for one in self._rooms])
                if not told:
                    self._rooms.append(room)
                    return room
                ending = any(one.placed and one.placed.retired for one in self._rooms)
            if not ending or time.monotonic() > until_s:
                raise Rejected("out_of_memory", told)
            time.sleep(LOOK_EVERY_S)

    def limited(self, room: Room, spec: WorkerSpec) -> WorkerSpec:
        """What to start in a place: its worker may use what no other needs, and gives that back when another comes."""
        if self._budget is None:
            return spec
        with self._lock:
            others = [one for one in self._rooms if one is not room]
            for one in others:
                if one.placed:
                    one.placed.limit(self._least_bytes(one))
            left_mb = self._budget.budget_mb - needed_mb(self._budget, [one.held for one in others]) - WORKER_MB
            return replace(spec, room_bytes=left_mb * MB)

    def _least_bytes(self, room: Room) -> int:
        assert self._budget, "there is nothing to keep to without a budget"
        return (self._budget.worker_mb - WORKER_MB + (room.held.mb or 0)) * MB
