"""The scenarios by the names that `--only` takes, in the order in which they run."""

from types import ModuleType

from benchmarks.links.scenarios import among, crowd, hours, lossy, slow, wide

SCENARIOS: dict[str, ModuleType] = {
    "slow": slow,
    "among": among,
    "hours": hours,
    "lossy": lossy,
    "wide": wide,
    "crowd": crowd,
}
