"""A real controller is killed at every step of its loops, started again, and the invariants hold.

The points are the controller's own list. Each scene has a controller, a broker and agents of its own, and is killed at
its points one after the other; applications ask the agents all the time, and never notice.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.controller.test_failed_starts import STARTING
from tests.controller.test_housekeeping_killed import POINTS as HOUSEKEEPING
from tests.fleet.conftest import EXAMPLE, running_fleet
from tests.fleet.killed_controller import FOR_EVER_S, Scene, everyone_has_it, retained
from tests.parting import mostly_slow

from edgefleet_controller.failpoints import POINTS
from edgefleet_operator.errors import ApiError

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]

SOAKS_FOR_EVER = {"soak_s": FOR_EVER_S, "failure_threshold": 0.0, "success_threshold": 1.0}
NEEDS = {"pause": "running", "resume": "paused", "abort": "running", "rollback": "running"}
BECOMES = {"pause": "paused", "resume": "running", "abort": "cancelled", "rollback": "rolled_back"}

ROLLOUT = (
    *("rollout_written", "executions_written", "rollout_committed", "tick_begun", "turn_begun", "decided"),
    *("carried_out/MoveWave", "carried_out/Stage", "carried_out/Activate", "carried_out/MoveRollout"),
    *("turn_written", "turn_committed", "desired_published", "turn_told"),
    *("batch_begun", "report_taken", "reports_committed", "batch_committed", "batch_acknowledged", "batch_told"),
)
ORDERS = tuple(f"{point}/{verb}" for verb in NEEDS for point in ("order_written", "order_committed", "order_told"))
AWAY = ("carried_out/Hold", "order_committed/pause")
DEVICES = ("device_removed", "device_forgotten")
REGISTRY = ("blob_written", "blob_named", "blob_known", "model_checked", "model_registered")
REMOVAL = ("model_removed", "model_forgotten")
BUILDS = ("operation_accepted", "variant_delivered", "variants_published", "operation_closed")


Kills = Iterator[tuple[str, Callable[[], None]]]
"""Points, and how the controller is killed there."""


# ---- a rollout ---------------------------------------------------------------------------------------------------


def rolled_out(scene: Scene) -> bool:
    scene.write()
    rollout = scene.open_rollout(selector="g=1")
    assert rollout["state"] in ("running", "completed"), rollout["reason"]
    return scene.ended(rollout)


def kill_in_rollouts(scene: Scene) -> Kills:
    scene.wait_for("a", "b")
    for point in ROLLOUT:
        yield point, partial(scene.kill_at, point, partial(rolled_out, scene))


# ---- orders ------------------------------------------------------------------------------------------------------


class Order:
    """One order of an operator: given again until it is acknowledged or shows."""

    def __init__(self, scene: Scene, verb: str) -> None:
        self._scene, self._verb, self._ready, self._told = scene, verb, False, False

    def __call__(self) -> bool:
        scene, verb = self._scene, self._verb
        rollout = scene.open_rollout(selector="g=1", gate=SOAKS_FOR_EVER)
        if not self._ready:
            self._make_ready(rollout)
            return False
        if rollout["state"] == NEEDS[verb]:
            assert not self._told, f"I7: {verb} was acknowledged and is undone"
            scene.fleet.api.post(f"/rollouts/{rollout['id']}/{verb}", {})
            self._told = True
        done = rollout["state"] == BECOMES[verb]
        return done and (verb in ("pause", "resume") or scene.ended(rollout))

    def _make_ready(self, rollout: dict[str, Any]) -> None:
        """Everyone has committed, and the order makes sense."""
        if rollout["state"] != NEEDS[self._verb]:
            before = "pause" if NEEDS[self._verb] == "paused" else "resume"
            self._scene.fleet.api.post(f"/rollouts/{rollout['id']}/{before}", {})
        else:
            self._ready = self._verb in ("pause", "resume") or everyone_has_it(rollout)


def kill_in_orders(scene: Scene) -> Kills:
    scene.wait_for("a", "b")
    scene.fleet.wait(lambda: rolled_out(scene), "a version to go back to", 60)
    for point in ORDERS:
        yield point, partial(scene.kill_at, point, Order(scene, point.partition("/")[2]))
    yield "carried_out/Return", partial(scene.kill_at, "carried_out/Return", Order(scene, "rollback"))
    yield "joined", partial(scene.kill_at, "joined", partial(joined, scene))
    yield "carried_out/End", partial(kill_where_one_is_given_up, scene)
    for point in AWAY:
        yield f"{point} of one that is away", partial(kill_while_one_is_away, scene, point)
    for point in DEVICES:
        yield point, partial(scene.kill_at, point, partial(removed, scene))


def kill_where_one_is_given_up(scene: Scene) -> None:
    scene.agent("gone").kill()
    scene.kill_at("carried_out/End", partial(given_up, scene))


def joined(scene: Scene) -> bool:
    """A device that comes while a rollout is running gets it too."""
    rollout = scene.open_rollout(selector="g=1", gate=SOAKS_FOR_EVER)
    scene.agent("gone")
    executions = scene.fleet.executions(rollout["id"])
    if rollout["state"] == "running" and "gone" in executions and everyone_has_it(rollout):
        scene.fleet.api.post(f"/rollouts/{rollout['id']}/abort", {})
    return scene.ended(scene.fleet.rollout(rollout["id"]))


def given_up(scene: Scene) -> bool:
    """A device that is away is given up."""
    timers = {"unreachable_s": 0.5, "silent_s": 60, "trial_s": 0.3}
    rollout = scene.open_rollout(selector="g=1", gate=SOAKS_FOR_EVER, timers=timers)
    if rollout["state"] == "running" and rollout["counts"].get("unreachable"):
        scene.fleet.api.post(f"/rollouts/{rollout['id']}/abort", {})
    return scene.ended(scene.fleet.rollout(rollout["id"]))


def kill_while_one_is_away(scene: Scene, point: str) -> None:
    """A device that was to switch and did not hear of it is held back by a pause that nobody was told of."""
    fleet, away, late = scene.fleet, scene.agent("a"), scene.agent("gone")
    if not late.running:
        late.start()
    scene.wait_for("gone")
    fleet.wait(lambda: rolled_out(scene), "everyone to have the same version", 60)
    late.kill()

    def held() -> bool:
        rollout = scene.open_rollout(selector="g=1", gate=SOAKS_FOR_EVER)
        of_away = fleet.executions(rollout["id"])["a"]
        if of_away["phase"] == "staged" and away.running:
            away.kill()
            late.start()
        if of_away["directive"] == "activate" and rollout["state"] == "running":
            fleet.api.post(f"/rollouts/{rollout['id']}/pause", {})
        return bool(rollout["state"] == "paused" and of_away["directive"] == "stage")

    scene.kill_at(point, held)
    generation = fleet.executions(str(scene.rollout))["a"]["generation"]
    fleet.wait(lambda: retained(fleet.broker, "a").get("activate") is False, "the word to be taken back")
    away.start()
    time.sleep(2)
    assert not {"self_test", "trial"} & set(away.phases(generation)), "it switched in a rollout that is paused"
    fleet.api.post(f"/rollouts/{scene.rollout}/resume", {})
    rollout = str(scene.rollout)
    fleet.wait(lambda: everyone_has_it(fleet.rollout(rollout)), "everyone to commit")
    fleet.api.post(f"/rollouts/{rollout}/abort", {})
    assert scene.ended(fleet.rollout(rollout))


def removed(scene: Scene) -> bool:
    """A device that is removed is forgotten wholly, and comes back as a new one."""
    late = scene.agent("gone")
    late.kill()
    scene.removed.add("gone")
    if scene.fleet.device("gone"):
        scene.fleet.api.delete("/devices/gone")
    if retained(scene.fleet.broker, "gone"):
        return False
    late.start()
    scene.fleet.wait(lambda: scene.fleet.device("gone"), "the device to come back")
    return True


# ---- the registry ------------------------------------------------------------------------------------------------


class Registered:
    """A new version of the model, added and in the end removed."""

    def __init__(self, scene: Scene, folder: Path, version: int) -> None:
        self._scene, self._folder, self.ref = scene, folder / f"v{version}", f"fashion@{version}"
        shutil.copytree(EXAMPLE, self._folder)
        card = self._folder / "model.toml"
        card.write_text(card.read_text().replace("version = 1", f"version = {version}", 1))

    def __call__(self) -> bool:
        self._scene.write()
        added = self._scene.fleet.api.add_model(self._folder)
        self._scene.acknowledged.append((f"/models/{self.ref}", self.ref))
        return bool(added["model"] == self.ref)

    def gone(self) -> bool:
        """Remove it; that it is gone already is the same."""
        try:
            self._scene.acknowledged = []
            self._scene.fleet.api.delete(f"/models/{self.ref}")
        except ApiError as error:
            if error.status != 404:
                raise
        return all(m["model"] != self.ref for m in self._scene.fleet.api.items("/models"))


class Built:
    """A build; one that was killed is told to have failed and is begun again, and what it publishes can be had."""

    def __init__(self, scene: Scene) -> None:
        self._api = lambda: scene.fleet.api
        self._operation: str | None = None

    def __call__(self) -> bool:
        if self._operation is None:
            spec = {"model": "fashion@1", "profiles": ["eu/x86-avx2/ethernet"], "recipes": ["fp32"]}
            self._operation = self._api().post("/builds", spec)["id"]
        operation = self._api().get(f"/operations/{self._operation}")  # I7: it was acknowledged
        if operation["state"] == "failed":
            assert "restarted" in operation["error"]
            self._operation = None
        return bool(operation["state"] == "succeeded")


def kill_in_registry(scene: Scene) -> Kills:
    registered: list[Registered] = []
    for number, point in enumerate(REGISTRY, 10):
        registered.append(Registered(scene, scene.fleet.folder, number))
        yield point, partial(scene.kill_at, point, registered[-1])
    for point, model in zip(REMOVAL, registered, strict=False):
        yield point, partial(scene.kill_at, point, model.gone)
    for point in BUILDS:
        yield point, partial(scene.kill_at, point, Built(scene))


# ---- all of them -------------------------------------------------------------------------------------------------

SCENES: dict[str, tuple[Callable[[Scene], Kills], tuple[str, ...]]] = {
    "rollouts": (kill_in_rollouts, ROLLOUT),
    "orders": (
        kill_in_orders,
        (
            *(*ORDERS, "carried_out/Return", "joined", "carried_out/End"),
            *(*(f"{point} of one that is away" for point in AWAY), *DEVICES),
        ),
    ),
    "registry": (kill_in_registry, (*REGISTRY, *REMOVAL, *BUILDS)),
}
AT_REST = "at rest"
KILLS = [f"{scene}: {point}" for scene, (_, points) in SCENES.items() for point in (*points, AT_REST)]


def play(built: Path, folder: Path, name: str, futures: dict[str, Future[None]]) -> None:
    """Kill the controller of one scene at each of its points, as far as they were asked for."""
    with running_fleet(built, folder) as fleet:
        shutil.copytree(built / "cache", fleet.state / "cache", dirs_exist_ok=True)
        scene = Scene(fleet)
        try:
            for point, kill in SCENES[name][0](scene):
                _settle(futures.get(f"{name}: {point}"), kill)
        finally:
            if not fleet.controller.running:
                fleet.start_controller()  # it ends its broker when it is stopped
            _settle(futures.get(f"{name}: {AT_REST}", Future()), scene.rest)


def _settle(future: Future[None] | None, work: Callable[[], None]) -> None:
    if future is None:
        return
    try:
        work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(None)


@pytest.fixture(scope="module")
def killed(
    built: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[None]]]:
    """The kills of all tests of this run, scene beside scene."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    futures: dict[str, Future[None]] = {item.callspec.params["kill"]: Future() for item in items}
    scenes = sorted({kill.partition(":")[0] for kill in futures})
    with ThreadPoolExecutor(len(SCENES)) as pool:
        plays = [pool.submit(play, built, tmp_path_factory.mktemp(name), name, futures) for name in scenes]
        for played, name in zip(plays, scenes, strict=True):
            played.add_done_callback(partial(_fail_what_is_left, name, futures))
        yield futures


def _fail_what_is_left(name: str, futures: dict[str, Future[None]], played: Future[None]) -> None:
    error = played.exception() or AssertionError("it was never come to")
    for kill, future in futures.items():
        if kill.startswith(f"{name}: ") and not future.done():
            future.set_exception(error)


@pytest.mark.parametrize("kill", mostly_slow([(kill,) for kill in KILLS], one_in=8))
def test_a_controller_killed_at_any_step_comes_back_and_the_invariants_hold(
    killed: dict[str, Future[None]], kill: str, record_property: Any
) -> None:
    killed[kill].result()
    if not kill.endswith(AT_REST):
        record_property("failpoint", f"controller {kill.partition(': ')[2].partition(' ')[0]}")


def test_there_is_a_way_to_every_point() -> None:
    ways = {point.partition("/")[0].partition(" ")[0] for _, points in SCENES.values() for point in points}
    assert ways | set(HOUSEKEEPING) | set(STARTING) == set(POINTS)
