"""The controller's disk is full, or another program holds its store: 503 that says so, nothing half done, and on again.

One controller for all of these, on a disk of its own; each test leaves it as it was.
"""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.fleet.asking import PROFILE, ask
from tests.fleet.conftest import EXAMPLE, Agent, Fleet
from tests.fleet.disks import Disk, small_disk
from tests.service import MARKED

pytestmark = pytest.mark.fleet

DISK_MB = 64
PROBLEM = {"type", "title", "status", "detail"}
LASTING = (
    "models",
    "rollouts",
    "executions",
    "segments",
    "admissions",
    "desired",
    "operations",
    "audit",
    "blobs",
    "annotations",
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with small_disk(tmp_path_factory.mktemp("fleet") / "controller", DISK_MB) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def fleet(built: Path, disk: Disk) -> Iterator[Fleet]:
    """A controller with everything built, one rollout completed on its only device, and another one paused."""
    ignored = shutil.ignore_patterns("broker", "controller.json", "api.port", "cache", "work")
    shutil.copytree(built, disk.folder, ignore=ignored, dirs_exist_ok=True)
    running = Fleet(disk.folder.parent)
    running.start_controller()
    try:
        running.add_agent("kiosk", PROFILE)
        first = running.roll_out()
        running.wait(lambda: running.rollout(first)["state"] == "completed", "the first rollout", 60)
        yield running
    finally:
        running.stop()


@pytest.fixture
def http(fleet: Fleet) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{fleet.api.url}/api/v1", headers=MARKED, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def as_it_was(fleet: Fleet, disk: Disk) -> Iterator[None]:
    """Room on the disk, a broker that was started again if it had to be, and a device that is heard."""
    before = ticks(fleet)
    fleet.wait(lambda: ticks(fleet) >= before + 2, "a look at the disk")
    began = fleet.api.get("/health")["now_ms"]
    fleet.wait(lambda: fleet.device("kiosk")["last_seen_ms"] > began, "the device to be heard", 90)
    yield
    disk.make_room()


@pytest.fixture
def kiosk(fleet: Fleet) -> Agent:
    return fleet.agents[0]


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Another program that writes, and does not end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def everything(state: Path) -> dict[str, int]:
    """How many rows each table has, of a store that is sound."""
    counts = {}
    for name in ("fleet.db", "telemetry.db"):
        with closing(sqlite3.connect(f"file:{state / name}?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                counts[table] = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            if name == "fleet.db":
                rows = {row for (row,) in db.execute("SELECT sha256 FROM blobs").fetchall()}
                assert rows <= blobs(state), "no row without its file"
    return counts


def blobs(state: Path) -> set[str]:
    return {path.name for path in (state / "blobs").rglob("*") if path.is_file()}


def writes(model: dict[str, str], rollout: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route that writes: method, path as the OpenAPI description has it, and a request that would succeed."""
    upload = b"a new file" * 1000
    return [
        ("PUT", "/blobs/{sha256}", {"sha256": sha256(upload).hexdigest(), "content": upload}),
        ("PUT", "/segments/{name}", {"name": "nordic", "params": {"selector": "region=eu"}}),
        ("DELETE", "/segments/{name}", {"name": "europe"}),
        ("POST", "/devices", {"json": {"profile": PROFILE, "id": "new-one"}}),
        ("POST", "/devices/{device}/labels", {"device": "kiosk", "json": {"set": {"site": "oslo"}}}),
        ("PUT", "/devices/{device}/note", {"device": "kiosk", "json": {"text": "behind the door"}}),
        ("DELETE", "/devices/{device}", {"device": "kiosk"}),
        ("POST", "/builds", {"json": {"model": "fashion@1", "profiles": [PROFILE], "recipes": ["fp32"]}}),
        ("POST", "/models", {"json": {"files": model}}),
        ("DELETE", "/models/{ref}", {"ref": "fashion@2"}),
        ("POST", "/rollouts", {"json": {"model": "fashion", "version": 2, "everyone": True}}),
        ("POST", "/rollouts/{rollout}/rollback", {"rollout": rollout}),
    ]


def orders(rollout: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The other orders, for a rollout that is running."""
    return [("POST", f"/rollouts/{{rollout}}/{verb}", {"rollout": rollout}) for verb in ("pause", "abort")]


ELSEWHERE = {
    ("POST", "/rollouts/{rollout}/resume"),  # as pause, for one that is paused
    ("POST", "/operations/{operation_id}/cancel"),  # for one that runs, whose end is written once there is room
    ("POST", "/rollouts/plan"),  # reads
    ("POST", "/blobs/{sha256}/offer"),  # reads
    ("POST", "/variants/{variant}/rebuilds"),  # as a build
    ("POST", "/devices/{device}/accept"),  # as adding one, for one that waits
}


def request(http: httpx.Client, method: str, path: str, how: dict[str, Any]) -> httpx.Response:
    named = {name: value for name, value in how.items() if f"{{{name}}}" in path}
    return http.request(method, path.format(**named), **{k: v for k, v in how.items() if k not in named})


def ticks(fleet: Fleet) -> int:
    """How often the conductor has looked."""
    told = httpx.get(f"{fleet.api.url}/metrics").text
    return int(float(re.search(r"^edgefleet_tick_seconds_count (\S+)", told, re.MULTILINE)[1]))


def assert_says_what_to_do(answer: httpx.Response, why: str) -> None:
    assert answer.status_code == 503, (answer.request.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert set(answer.json()) == PROBLEM
    assert why in answer.json()["detail"]


def test_every_route_that_writes_answers_503_and_leaves_nothing_behind(
    fleet: Fleet, disk: Disk, http: httpx.Client
) -> None:
    card = (EXAMPLE / "model.toml").read_text().replace("version = 1", "version = 3", 1).encode()
    names = ["data.npz", "weights.safetensors", "finetuned.safetensors"]
    model = {n: sha256((EXAMPLE / n).read_bytes()).hexdigest() for n in names if n in card.decode()}
    model["model.toml"] = sha256(card).hexdigest()
    http.put(f"/blobs/{model['model.toml']}", content=card)
    http.put("/segments/europe", params={"selector": "region=eu"})
    tried = writes(model, next(fleet.api.items("/rollouts"))["id"])
    disk.fill()
    tables, lying = everything(fleet.state), blobs(fleet.state)
    for method, path, how in tried:
        assert_says_what_to_do(request(http, method, path, how), "make room")
    for path in ("/models", "/devices", "/devices/kiosk", "/rollouts", "/segments", "/operations", "/variants"):
        assert http.get(path).status_code == 200, "who reads is not concerned"
    assert http.get("/telemetry").status_code == 200
    after = everything(fleet.state)
    disk.make_room()
    assert {t: after[t] for t in LASTING} == {t: tables[t] for t in LASTING}
    assert blobs(fleet.state) == lying
    described = httpx.get(f"{fleet.api.url}/openapi.json").json()["paths"]
    known = {(m.upper(), p.removeprefix("/api/v1")) for p, methods in described.items() for m in methods if m != "get"}
    assert known == {(m, p) for m, p, _ in [*tried, *orders("")]} | ELSEWHERE, "no route that writes is left out"


def test_an_order_that_cannot_be_written_down_changes_nothing(fleet: Fleet, disk: Disk, http: httpx.Client) -> None:
    rollout = fleet.roll_out(version=2, timers={"trial_s": 600, "silent_s": 600})
    fleet.wait(lambda: fleet.rollout(rollout)["counts"] == {"trial": 1}, "the trial", 60)
    disk.fill()
    for method, path, how in orders(rollout):
        assert_says_what_to_do(request(http, method, path, how), "make room")
    assert (fleet.rollout(rollout)["state"], fleet.rollout(rollout)["counts"]) == ("running", {"trial": 1})
    disk.make_room()
    assert http.post(f"/rollouts/{rollout}/abort").status_code == 200
    fleet.wait(lambda: (fleet.attempt("kiosk") or {}).get("phase") == "already_installed", "the device to be back")


def test_what_was_refused_for_want_of_room_succeeds_afterwards_without_a_restart(
    fleet: Fleet, disk: Disk, http: httpx.Client
) -> None:
    upload = b"another file" * 1000
    name = sha256(upload).hexdigest()
    pid = (fleet.state / "controller.json").read_text()
    disk.fill()
    assert http.put(f"/blobs/{name}", content=upload).status_code == 503
    assert http.put("/segments/coast", params={"selector": "region=eu"}).status_code == 503
    disk.make_room()
    assert http.put(f"/blobs/{name}", content=upload).status_code == 204
    assert http.put("/segments/coast", params={"selector": "region=eu"}).status_code == 200
    assert name in blobs(fleet.state)
    assert (fleet.state / "controller.json").read_text() == pid


def test_an_upload_larger_than_the_room_gives_its_room_back(fleet: Fleet, disk: Disk, http: httpx.Client) -> None:
    disk.fill(leave_bytes=4 * 2**20)
    before = disk.free_bytes
    upload = np.random.default_rng(1).bytes(8 * 2**20)
    assert_says_what_to_do(http.put(f"/blobs/{sha256(upload).hexdigest()}", content=upload), "make room")
    assert disk.free_bytes > before - 2**20
    disk.make_room()


def test_telemetry_is_not_acknowledged_until_it_is_stored_and_then_none_is_lost(
    fleet: Fleet, disk: Disk, kiosk: Agent, http: httpx.Client
) -> None:
    def stored() -> int:
        return sum(window["requests"] for window in fleet.api.get("/telemetry", device="kiosk")["items"])

    fleet.wait(lambda: fleet.device("kiosk")["spooled_windows"] == 0, "a quiet device")
    endpoint, before = fleet.device("kiosk")["endpoint"], stored()
    disk.fill()
    not_stored = fleet.api.get("/health")["messages"].get("not_stored", 0)
    for _ in range(20):
        assert ask(endpoint, np.zeros((1, 28, 28)))[0] == 200
        time.sleep(0.1)
    fleet.wait(lambda: fleet.api.get("/health")["messages"].get("not_stored", 0) > not_stored, "failing batches")
    assert stored() == before
    logged = len(fleet.controller.log())
    time.sleep(3)
    assert len(fleet.controller.log()) - logged < 3 * 2000, "a full disk is told in lines, not in a flood"
    assert "Traceback" not in fleet.controller.log()
    disk.make_room()
    fleet.wait(lambda: stored() == before + 20, "every request that was counted meanwhile", 120)
    fleet.wait(lambda: fleet.device("kiosk")["spooled_windows"] == 0, "the acknowledgements", 120)
    assert kiosk.running


def test_a_rollout_under_way_stands_still_and_goes_on(fleet: Fleet, disk: Disk) -> None:
    rollout = fleet.roll_out(version=2, timers={"trial_s": 1, "silent_s": 180})
    disk.fill()
    time.sleep(3)
    shown = fleet.rollout(rollout)
    assert shown["state"] == "running"
    assert fleet.controller.running
    disk.make_room()
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 120)
    assert fleet.rollout(rollout)["counts"] == {"committed": 1}
    assert fleet.agents[0].phases(2).count("trial") == 1
    everything(fleet.state)


def wide_classifier(folder: Path) -> tuple[Path, Path]:
    """An ONNX file of two megabytes that no compression makes smaller, quick to build from, and its data."""
    random = np.random.default_rng(1)
    weights = {"wide": random.normal(size=(64, 8000)), "narrow": random.normal(size=(8000, 3))}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "wide"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("MatMul", ["active", "narrow"], ["logits"]),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx_file, data = folder / "wide.onnx", folder / "data.npz"
    onnx_file.write_bytes(model.SerializeToString())
    np.savez_compressed(data, x=random.integers(0, 256, (24, 1, 8, 8), np.uint8))
    return onnx_file, data


@pytest.mark.slow
def test_a_build_that_runs_out_of_room_says_so_and_succeeds_when_it_is_started_again(
    fleet: Fleet, disk: Disk, http: httpx.Client, tmp_path: Path
) -> None:
    model = fleet.api.add_onnx(*wide_classifier(tmp_path), task="classification")["model"]
    order = {"model": model, "profiles": [PROFILE], "recipes": ["fp32"]}
    disk.fill(leave_bytes=1_000_000)  # enough to accept the order and to begin, too little to end
    accepted = http.post("/builds", json=order)
    assert accepted.status_code == 202
    operation = accepted.json()["id"]
    fleet.wait(lambda: f"operation 'compress' on {model} failed" in fleet.controller.log(), "the build to fail", 120)
    disk.make_room()
    fleet.wait(lambda: fleet.api.get(f"/operations/{operation}")["state"] == "failed", "its end to be written down")
    error = fleet.api.get(f"/operations/{operation}")["error"]
    assert "make room" in error and "fp32" in error
    assert not list((fleet.state / "work").glob("*"))
    again = http.post("/builds", json=order).json()["id"]
    fleet.wait(lambda: fleet.api.get(f"/operations/{again}")["state"] != "running", "the same build", 120)
    assert fleet.api.get(f"/operations/{again}")["state"] == "succeeded"


def test_a_store_that_another_program_holds_is_503_and_reads_go_on(fleet: Fleet, http: httpx.Client) -> None:
    upload = b"a third file" * 1000
    name = sha256(upload).hexdigest()
    with holding(fleet.state / "fleet.db"):
        for path, how in (
            (f"/blobs/{name}", {"content": upload}),
            ("/segments/inland", {"params": {"selector": "a=b"}}),
        ):
            assert_says_what_to_do(http.put(path, **how), "another program holds the store")
        assert name not in blobs(fleet.state), "what cannot be written down is not kept"
        assert http.get("/devices/kiosk").status_code == 200
    assert http.put(f"/blobs/{name}", content=upload).status_code == 204
    assert http.put("/segments/inland", params={"selector": "a=b"}).status_code == 200
    seen = fleet.device("kiosk")["last_seen_ms"]
    fleet.wait(lambda: fleet.device("kiosk")["last_seen_ms"] > seen, "the device to be heard")
    everything(fleet.state)
