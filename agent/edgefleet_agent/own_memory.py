"""How much memory the models of this device may take together."""

from pathlib import Path

from edgefleet_protocol.messages import MemoryBudget

SHARE_OF_RAM = 0.75
"""The rest is for the system and the applications, unless the operator says otherwise."""
SHARE_OF_LIMIT = 0.9
"""Of what the system lets the agent and its workers take, such as a unit's MemoryMax: beyond that, it ends them."""
AGENT_MB = 48
"""The supervisor: 42 MB were measured, and a benchmark holds it to 45 (docs/benchmarks.md)."""
WORKER_MB = 56
"""A worker before it loads a model: Python, numpy and onnxruntime, 48 to 56 MB as measured; held by a test."""
MOST_HEADROOM_MB, LEAST_HEADROOM_MB = 64, 16
SHARE_OF_HEADROOM = 16
"""A worker's headroom over what was measured is this part of the budget, within the two above."""
CGROUPS = Path("/sys/fs/cgroup")
MB = 2**20


def budget_of(ram_mb: int, memory_mb: int | None, limit_mb: int | None) -> MemoryBudget:
    """The budget of a device.

    Args:
        ram_mb: its memory.
        memory_mb: what the operator allows; None for a share of the memory.
        limit_mb: what the system lets the agent and its workers take; None without a limit.
    """
    most = [SHARE_OF_RAM * ram_mb, *([SHARE_OF_LIMIT * limit_mb] if limit_mb else [])]
    whole_mb = int(min(most)) if memory_mb is None else memory_mb
    headroom_mb = min(max(whole_mb // SHARE_OF_HEADROOM, LEAST_HEADROOM_MB), MOST_HEADROOM_MB)
    return MemoryBudget(budget_mb=whole_mb, agent_mb=AGENT_MB, worker_mb=WORKER_MB + headroom_mb)


def system_limit_mb(groups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """The smallest limit of the control groups that this process is in, in MB; None without one."""
    try:
        place = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    inner = groups / place.strip("/")
    found = []
    for group in (inner, *inner.parents):
        if not group.is_relative_to(groups):
            break
        try:
            found.append(int((group / "memory.max").read_text()) // MB)
        except (OSError, ValueError):  # the outermost has no such file, and "max" is no limit
            continue
    return min(found, default=None)
