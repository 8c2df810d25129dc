"""Executions grouped by phase, once per tick, so that each rule looks only at those it concerns."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from edgefleet_contract.rollouts import ExecutionRecord
from edgefleet_protocol.phases import ENDED, Phase


class Group(Collection[ExecutionRecord]):
    """Executions by phase; within a phase, in the order they were added."""

    def __init__(self, executions: Iterable[ExecutionRecord] = ()) -> None:
        self._by_phase: dict[Phase, list[ExecutionRecord]] = {}
        for execution in executions:
            self.add(execution)

    @classmethod
    def of(cls, executions: Iterable[ExecutionRecord]) -> "Group":
        """A group of these executions; a group is returned as it is."""
        return executions if isinstance(executions, Group) else cls(executions)

    def add(self, execution: ExecutionRecord) -> None:
        """Add an execution."""
        found = self._by_phase.get(execution.phase)
        if found is None:
            found = self._by_phase[execution.phase] = []
        found.append(execution)

    def extend(self, other: "Group") -> None:
        """Add all executions of another group."""
        for phase, executions in other._by_phase.items():
            self._by_phase.setdefault(phase, []).extend(executions)

    def inside(self, *phases: Phase) -> list[ExecutionRecord]:
        """The executions in these phases."""
        return list(chain.from_iterable(found for phase, found in self._by_phase.items() if phase in phases))

    def count(self, *phases: Phase) -> int:
        """The number of executions in these phases."""
        return sum(len(found) for phase, found in self._by_phase.items() if phase in phases)

    @property
    def open(self) -> list[ExecutionRecord]:
        """The executions that have not ended."""
        return list(chain.from_iterable(found for phase, found in self._by_phase.items() if phase not in ENDED))

    def __len__(self) -> int:
        return sum(map(len, self._by_phase.values()))

    def __iter__(self) -> Iterator[ExecutionRecord]:
        return chain.from_iterable(self._by_phase.values())

    def __contains__(self, execution: object) -> bool:
        return any(execution in found for found in self._by_phase.values())


def by_wave(executions: Iterable[ExecutionRecord], number: int) -> tuple[Group, Group]:
    """The executions of a wave, and those of the waves before it."""
    groups: dict[int, Group] = {}
    for execution in executions:
        group = groups.get(execution.wave)
        if group is None:
            group = groups[execution.wave] = Group()
        group.add(execution)
    earlier = Group()
    for wave in sorted(groups):
        if wave < number:
            earlier.extend(groups[wave])
    return groups.get(number, Group()), earlier
