"""A real agent is killed at every step of its lifecycle, started again, and the invariants hold.

The points are the agent's own list, so a new one without a way to it fails here; so does one that is never reached.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fleet.conftest import Fleet, running_fleet
from tests.fleet.killing import Device, Way, kill_at, rest
from tests.parting import mostly_slow

from edgefleet_agent.failpoints import POINTS, AgentFailpoint
from edgefleet_agent.lifecycle import rows

pytestmark = [pytest.mark.fleet]

AT_ONCE = 4

NEW = Way(begins_with="nothing", version=1)
UPGRADED = Way()
BACK_ON_DISK = Way(begins_with="second", version=1)
SLOWLY = Way(link="lab")
RESUMED = Way(link="lab", kills=("bitmap_replaced",))
ABORTED = Way(trial_s=60, abort=True)
ABORTED_NEW = Way(begins_with="nothing", version=1, trial_s=60, abort=True)
# On a profile of its own: its rollouts reject version 1 there, and no other device could return to that.
UNSAFE = Way(begins_with="nothing", version=1, link="lab", trial_s=60, kill_workers=True)
KILLED_IN_TEST = Way(kills=("journaled/self_test",))
KILLED_IN_TRIAL = Way(kills=("journaled/trial",))
KILLED_FIVE_TIMES = Way(kills=("journaled/staged",) * 5)

PHASES: dict[str, Way] = {
    "notified": UPGRADED,
    "downloading": UPGRADED,
    "verified": UPGRADED,
    "staged": UPGRADED,
    "self_test": UPGRADED,
    "trial": UPGRADED,
    "committed": UPGRADED,
    "already_installed": ABORTED,
    "superseded": ABORTED,
    "removed": ABORTED_NEW,
    "rejected": KILLED_FIVE_TIMES,
    "failed_no_change": KILLED_IN_TEST,
    "failed_rolled_back": KILLED_IN_TRIAL,
    "failed_unsafe": UNSAFE,
}
FILES: list[tuple[str, Way]] = [
    *((f"state.json:{save}", UPGRADED) for save in range(1, 8)),  # one save for each phase until `committed`
    ("identity.json", NEW),
    ("identity.json", UPGRADED),
    ("endpoint", UPGRADED),
    ("manifest.json", UPGRADED),
    ("chunk_hashes", UPGRADED),
    ("golden.npz", NEW),
    ("encoding.bitmap", SLOWLY),
]
DETAILS: dict[str, list[tuple[str, Way]]] = {
    **{point: list(PHASES.items()) for point in ("saving", "saved")},
    "journaled": [("trial", UPGRADED), ("committed", UPGRADED)],  # the others: tests/agent/test_agent_killed.py
    "file_written": FILES,
}
WAYS: dict[AgentFailpoint, tuple[Way, ...]] = {
    "waking": (NEW, UPGRADED),
    "chunk_written": (UPGRADED, SLOWLY),
    "chunks_synced": (SLOWLY,),
    "bitmap_replaced": (SLOWLY,),
    "download_resumed": (RESUMED,),
    "manifest_renewed": (BACK_ON_DISK,),
    "rolled_back": (ABORTED,),
    "adopted": (ABORTED,),
    "answering_stopped": (ABORTED_NEW,),
    "slot_collected": (KILLED_IN_TEST,),
}
KILLS: list[tuple[str, Way]] = [
    (f"{point}/{detail}" if detail else point, way)
    for point in POINTS
    for detail, way in DETAILS.get(point, [("", way) for way in WAYS.get(point, (UPGRADED,))])
]


def name_of(kill: tuple[str, Way]) -> str:
    point, way = kill
    return f"{point}-{way.begins_with}-{way.link}"


@pytest.fixture(scope="module")
def lab(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller with its broker, and the states of a device after version 1 and after version 2."""
    with running_fleet(built, tmp_path_factory.mktemp("killed")) as fleet:
        leave_state(fleet, Device(fleet, "made-first", NEW), "first")
        leave_state(fleet, Device(fleet, "made-second", UPGRADED), "second")
        yield fleet


def leave_state(fleet: Fleet, device: Device, name: str) -> None:
    """Take a device through its rollout, and keep what lies on its disk then as the state to begin with."""
    device.boot()
    try:
        for _ in device.live():
            if device.settled:
                break
        rest(fleet, device)
    finally:
        device.kill()
    assert device.execution["phase"] == "committed"
    (fleet.folder / name).mkdir()
    shutil.copy(device.state / "state.json", fleet.folder / name)
    shutil.copytree(device.state / "slots", fleet.folder / name / "slots")


@pytest.fixture(scope="module")
def killed(lab: Fleet, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """The kills of all tests of this run, some at a time."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    chosen = [item.callspec.params["kill"] for item in items]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name_of(k): pool.submit(kill_at, lab, f"k{number}", *k) for number, k in enumerate(chosen)}
        pool.shutdown(wait=False, cancel_futures=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kill", mostly_slow([(kill,) for kill in KILLS], one_in=8), ids=name_of)
def test_an_agent_killed_at_any_step_comes_back_and_the_invariants_hold(
    killed: dict[str, Future[None]], kill: tuple[str, Way], record_property
) -> None:
    killed[name_of(kill)].result()
    record_property("failpoint", f"agent {kill[0]}")


def test_there_is_a_way_to_every_phase_of_the_lifecycle() -> None:
    assert {after for after, _ in rows().values()} == set(PHASES)
