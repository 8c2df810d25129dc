"""Chunks that are damaged on their way, and blobs that are damaged where they come from, on both kinds of broker."""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Broker, mosquitto, nats, running
from tests.fleet import invariants
from tests.fleet.clients import Client
from tests.fleet.conftest import Agent, Fleet, running_fleet
from tests.fleet.meddling import Meddler
from tests.fleet.publishing import model_of, press_in
from typer.testing import CliRunner, Result

from edgefleet_operator.cli import app
from edgefleet_operator.errors import ApiError
from edgefleet_protocol.canonical import digest
from edgefleet_protocol.manifest import Manifest

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

LAB = "eu/x86-avx2/lab"
CHUNK = 4096
PADDING_BYTES = 24 * CHUNK  # some seconds on the lab's link
OLD, SPOILT, MEDDLED, ROTTEN, SHORT = range(20, 25)


class Lab:
    """A fleet on a broker of its own: a device on a thin link that answers with a small old version."""

    def __init__(self, fleet: Fleet, broker: Broker, manifests: dict[int, Manifest]) -> None:
        self.fleet, self.broker, self.manifests = fleet, broker, manifests
        self.agent = fleet.add_agent("a", LAB, "--label", "name=a")
        self.old = manifests[OLD].variant
        self.ends(self.roll_out(OLD), "completed")
        endpoint = (fleet.device("a") or {})["endpoint"]
        self.client, self.pid = Client(endpoint, np.zeros((28, 28))), self.agent.pid

    def roll_out(self, version: int, device: str = "a") -> str:
        return self.fleet.roll_out(version, selector=f"name={device}")

    def ends(self, rollout: str, state: str) -> dict:
        self.fleet.wait(lambda: self.fleet.rollout(rollout)["state"] == state, f"the rollout to be {state}", 60)
        return self.fleet.rollout(rollout)

    def path(self, version: int) -> Path:
        """Where the encoding of a version lies on the controller's disk."""
        name = self.manifests[version].encodings[0].blob.sha256
        return self.fleet.state / "blobs" / name[:2] / name

    def synced(self, device: str = "a") -> set[int]:
        """The chunks that a device's bitmap on the disk claims."""
        for path in (self.fleet.folder / device / "downloads").rglob("*.bitmap"):
            with suppress(OSError, ValueError):
                bits = base64.b64decode(json.loads(path.read_bytes())["bitmap"])
                return {i for i in range(len(bits) * 8) if bits[i >> 3] >> (i & 7) & 1}
        return set()

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(app, words, env={"EDGEFLEET_API": self.fleet.api.url, "COLUMNS": "240"})

    def client_noticed_nothing(self) -> None:
        """Every answer until now was one of the variants that were committed."""
        assert {status for status, _ in self.client.answers} == {200}
        assert self.agent.running and self.agent.pid == self.pid


@pytest.fixture(
    scope="module", params=[nats, pytest.param(mosquitto, marks=pytest.mark.slow)], ids=["nats", "mosquitto"]
)
def lab(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab on each broker that we promise to work with."""
    folder = tmp_path_factory.mktemp("damaged")
    for broker in running(request.param(tmp_path_factory.mktemp("broker"))):
        with running_fleet(built, folder, "--broker", broker.url) as fleet:
            fleet.controller.stop()
            with press_in(fleet.state, folder) as press:
                paddings = {OLD: 1, SPOILT: 2, **{v: PADDING_BYTES + v for v in (MEDDLED, ROTTEN, SHORT)}}
                manifests = {v: press.publish(v, model_of(padding_bytes=p), LAB) for v, p in paddings.items()}
            fleet.start_controller()
            one = Lab(fleet, broker, manifests)
            try:
                yield one
            finally:
                one.client.end()


def flip(path: Path) -> None:
    """One bit in the last chunk but one, and the file looks as it did."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-2 * CHUNK] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_blob_that_somebody_else_spoils_every_time_is_refused_and_the_old_variant_answers(lab: Lab) -> None:
    meddler = Meddler(lab.broker.url, "lab", lab.fleet.state / "blobs", spoil_small=100)
    rollout = lab.roll_out(SPOILT)
    lab.ends(rollout, "rolled_back")
    meddler.end()
    execution = lab.fleet.executions(rollout)["a"]
    assert (execution["phase"], execution["reason"]) == ("rejected", "manifest_invalid")
    assert "manifest_invalid" in lab.types("rollout", "show", rollout, "--devices").stdout
    assert {variant for _, variant in lab.client.answers} == {lab.old}
    lab.client_noticed_nothing()


def test_damaged_foreign_repeated_and_mixed_up_chunks_are_counted_and_never_stored(lab: Lab) -> None:
    truth = lab.path(MEDDLED).read_bytes()
    meddler = Meddler(lab.broker.url, "lab", lab.fleet.state / "blobs", spoil_small=2)
    rollout = lab.roll_out(MEDDLED)
    lab.fleet.wait(lambda: len(lab.synced()) >= 12, "chunks on the disk", 60)
    claimed = lab.synced()
    stored = next((lab.agent.state / "downloads").rglob("encoding")).read_bytes()
    for index in claimed:
        assert stored[index * CHUNK : (index + 1) * CHUNK] == truth[index * CHUNK : (index + 1) * CHUNK]
    lab.ends(rollout, "completed")
    meddler.end()
    assert {"spoilt", "repeated", "damaged", "foreign", "cut off", "mixed up"} <= set(meddler.sent)
    manifest = lab.manifests[MEDDLED]
    model = lab.agent.state / "slots" / manifest.variant / "model.onnx"
    assert digest(model.read_bytes()) == manifest.core.onnx.sha256
    transfer = lab.fleet.attempt("a")["transfer"]
    assert transfer["wrong_chunks"] >= 60
    assert "wrong chunks" in lab.types("device", "show", "a").stdout
    lab.client_noticed_nothing()


def test_a_blob_that_rots_while_it_is_sent_pauses_its_rollout_until_it_is_put_right(lab: Lab) -> None:
    fleet, path = lab.fleet, lab.path(ROTTEN)
    whole = path.read_bytes()
    rollout = lab.roll_out(ROTTEN)
    fleet.wait(lambda: len(lab.synced()) >= 5, "the first chunks", 60)
    flip(path)
    reason = lab.ends(rollout, "paused")["reason"]
    assert path.name in reason and f"edgefleet compress fashion@{ROTTEN}" in reason
    checks = {check["name"]: check for check in json.loads(lab.types("doctor", "--json").stdout)}
    assert not checks["blobs"]["ok"] and path.name in checks["blobs"]["found"]
    with pytest.raises(ApiError) as refused:
        fleet.api.post("/rollouts", {"model": "fashion", "version": ROTTEN, "selector": "link=ethernet"})
    assert refused.value.status == 409 and path.name in str(refused.value)
    fleet.wait(lambda: fleet.attempt("a").get("phase") == "downloading", "the device to wait")
    sent = fleet.api.get("/health")["delivered_bytes"]["lab"]
    time.sleep(2.5)  # the device has asked again by now
    assert fleet.api.get("/health")["delivered_bytes"]["lab"] == sent, "nothing damaged is sent, and nothing for ever"

    path.write_bytes(whole)
    fleet.api.post(f"/rollouts/{rollout}/resume", {})
    lab.ends(rollout, "completed")
    assert fleet.api.get("/health")["damaged_blobs"] == []
    assert fleet.executions(rollout)["a"]["variant"] == lab.manifests[ROTTEN].variant
    lab.client_noticed_nothing()


@pytest.mark.slow
def test_a_device_that_waits_in_vain_for_what_was_cut_off_gives_its_reason_and_the_next_rollout_works(
    lab: Lab,
) -> None:
    fleet, path = lab.fleet, lab.path(SHORT)
    fleet.add_agent("b", LAB, "--label", "name=b", EDGEFLEET_STALL_S="4")
    lab.ends(lab.roll_out(OLD, "b"), "completed")
    whole = path.read_bytes()
    rollout = lab.roll_out(SHORT, "b")
    fleet.wait(lambda: len(lab.synced("b")) >= 5, "the first chunks", 60)
    os.truncate(path, len(whole) - 2 * CHUNK)
    lab.ends(rollout, "paused")
    fleet.wait(lambda: fleet.executions(rollout)["b"]["phase"] == "failed_no_change", "the device to give up", 60)
    assert fleet.executions(rollout)["b"]["reason"] == "download_stalled"
    assert "download_stalled" in lab.types("rollout", "show", rollout, "--devices").stdout
    assert (fleet.device("b") or {})["models"]["fashion"]["answering"]["variant"] == lab.old
    fleet.api.post(f"/rollouts/{rollout}/abort", {})

    path.write_bytes(whole)
    lab.ends(lab.roll_out(SHORT, "b"), "completed")


def test_a_slot_that_rots_on_a_device_is_told_and_comes_again_from_the_controller(lab: Lab) -> None:
    fleet, agent = lab.fleet, lab.agent
    device = fleet.device("a") or {}
    answering, endpoint = device["models"]["fashion"]["answering"]["variant"], Endpoint(agent)
    agent.stop()
    lab.client.end()
    flip(agent.state / "slots" / answering / "model.onnx")
    restarted = time.monotonic()
    agent.start()
    fleet.wait(lambda: endpoint.variant() not in (None, answering), "the variant before it")
    invariants.check_answers([(time.monotonic() - restarted, 200)], must_answer=True)
    fleet.wait(lambda: _lost(fleet) == (answering, "blob_corrupt"), "the device's word")
    assert "blob_corrupt" in lab.types("device", "show", "a").stdout
    fleet.wait(lambda: endpoint.variant() == answering, "the variant that is wanted", 60)
    fleet.wait(lambda: _lost(fleet) is None, "the device's word")


def _lost(fleet: Fleet) -> tuple[str, str] | None:
    lost = (fleet.device("a") or {})["models"]["fashion"]["lost"]
    return (lost["variant"], lost["reason"]) if lost else None


class Endpoint:
    """Asks an agent once, wherever it listens after a restart."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def variant(self) -> str | None:
        """Which variant answers; None when none does."""
        with suppress(OSError):
            client = Client((self._agent.state / "endpoint").read_text(), np.zeros((28, 28)))
            while not client.answers:
                time.sleep(0.01)
            client.end()
            status, variant = client.answers[-1]
            return variant if status == 200 else None
        return None
