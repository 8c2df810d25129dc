"""Rubbish on every topic: counted and set aside on both sides; nobody ends, and the fleet goes on working.

A stranger throws it at a fleet on each kind of broker. A witness hears what the broker lets through, and tells by the
rules of the protocol what is rubbish: so many messages must have been set aside, not one more or less.
"""

import base64
import json
import random
import time
from collections.abc import Iterator
from inspect import getmembers, isfunction, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import mosquitto, running
from tests.fleet.asking import ask
from tests.fleet.conftest import running_fleet
from tests.fleet.rubbish import HARMLESS, LYING_SKETCHES, NO_SKETCHES, ODD_TOPICS, RUBBISH, mutations, publish_raw
from tests.fleet.witness import DOWN, DOWN_KINDS, UP, Scene, client, reads

from edgefleet_process.floods import PER_MINUTE
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import frame, parse_frame
from edgefleet_protocol.errors import ProtocolError
from edgefleet_protocol.messages import DesiredState, decode

pytestmark = [pytest.mark.fleet, pytest.mark.broker]

FIXTURES = max((Path(__file__).parents[1] / "protocol" / "fixtures").glob("v*"), key=lambda path: int(path.name[1:]))
MUTATIONS = 300
"""Of each kind of message."""


@pytest.fixture(scope="module", params=["nats", pytest.param("mosquitto", marks=pytest.mark.slow)])
def scene(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("rubbish")
    brokers = running(mosquitto(tmp_path_factory.mktemp("broker"))) if request.param == "mosquitto" else iter(())
    broker = next(brokers, None)
    options = ["--broker", broker.url] if broker else []
    with running_fleet(built, folder, *options) as fleet:
        shown = Scene(fleet)
        yield shown
        shown.close()
    next(brokers, None)


def test_every_topic_of_the_protocol_is_thrown_at() -> None:
    built = {name for name, made in getmembers(topics, isfunction) if signature(made).return_annotation is str}
    fixed = {name for name, value in vars(topics).items() if isinstance(value, str) and value.startswith(topics.ROOT)}
    assert built - {"shard", "up_filters"} == {"up", "blob", *(DOWN.keys() - {"HELLO"})}
    assert fixed - {"ROOT"} == {"HELLO"}
    assert UP.keys() == set(topics.UP_KINDS)


@pytest.mark.parametrize("name", ["steady", "stranger"])
def test_rubbish_of_every_sort_is_set_aside_by_the_controller(scene: Scene, name: str) -> None:
    before = scene.risen("controller")
    thrown = [(topics.up(name, kind), data) for data in RUBBISH.values() for kind in topics.UP_KINDS]
    scene.throw(*thrown)
    assert scene.risen("controller") - before == len(thrown)
    scene.answers()


def test_rubbish_of_every_sort_is_set_aside_by_a_device(scene: Scene) -> None:
    before = scene.risen("steady")
    thrown = [(of("steady"), data) for data in RUBBISH.values() for of in DOWN.values()]
    scene.throw(*thrown)
    assert scene.risen("steady") - before == len(thrown)
    scene.throw(*((topics.HELLO, data) for data in HARMLESS.values()))
    assert scene.risen("steady") - before == len(thrown)
    scene.answers()


def test_bitmaps_counts_and_sketches_that_are_none_are_set_aside(scene: Scene) -> None:
    before = scene.risen("controller")
    want, window = fixture("ChunkRequest"), fixture("TelemetryWindow")
    bitmaps = ["", "?", "A" * 300_000, base64.b64encode(bytes(1_000)).decode(), "////"]
    lies = [(topics.up("steady", "want"), {**want, "missing": text}) for text in bitmaps]
    lies += [(topics.up("steady", "want"), {**want, "chunks": 2_000_000, "chunk_bytes": 1_024})]
    lies += [(topics.up("steady", "telemetry"), {**window, "requests": 2**61})]
    lies += [(topics.up("steady", "telemetry"), {**window, "latency": text}) for text in NO_SKETCHES]
    for topic, fields in lies:
        scene.stranger.publish(topic, json.dumps(fields), 1).wait_for_publish(20)
    scene.wait(lambda: scene.risen("controller") - before == len(lies), "the lies to be set aside")
    scene.witness.heard["controller"] = scene.risen("controller")  # what a blob is only the controller knows
    scene.answers()


def test_a_sketch_that_lies_about_what_is_in_it_costs_nothing_but_itself(scene: Scene) -> None:
    """Nobody unpacks a sketch before it is read: it must not be more than it may, then, nor keep others from it."""
    window = fixture("TelemetryWindow") | {"incarnation": "e" * 32, "variant": "e" * 64, "first_kept_seq": 1}
    texts = [window["latency"], *LYING_SKETCHES.values()]
    told = [{**window, "seq": seq, "latency": text} for seq, text in enumerate(texts, start=1)]
    for fields in told:
        scene.stranger.publish(topics.up("steady", "telemetry"), json.dumps(fields), 1).wait_for_publish(20)

    def group() -> dict[str, Any]:
        shown = scene.fleet.api.items("/telemetry")
        return next((entry for entry in shown if entry["group"] == {"variant": "e" * 64}), {"windows": 0})

    scene.wait(lambda: group()["windows"] == len(told), "the windows")
    assert group()["requests"] == len(told) * window["requests"]
    assert group()["p50_ms"] == pytest.approx(0.5, rel=0.02)
    scene.answers()


def fixture(name: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / f"{name}.json").read_text()))


def test_odd_topics_are_set_aside_as_far_as_the_broker_lets_them_through(scene: Scene) -> None:
    for topic in ODD_TOPICS:
        publish_raw(scene.fleet.broker, topic, b"{}")
    publish_raw(scene.fleet.broker, topics.up("steady", "reported").encode(), b"x" * 5_000_000)
    time.sleep(1)
    scene.answers()


@pytest.mark.slow
def test_thousands_of_small_changes_to_messages_harm_nobody(scene: Scene) -> None:
    draw = random.Random(7)
    thrown = [
        (topics.up("mutant", kind), data)
        for kind, message in UP.items()
        for data in mutations((FIXTURES / f"{message.__name__}.json").read_bytes(), draw, MUTATIONS)
    ]
    draw.shuffle(thrown)
    scene.throw(*thrown)
    thrown = []
    for name, of in DOWN.items():
        valid = (FIXTURES / f"{DOWN_KINDS[name].__name__}.json").read_bytes()
        thrown += [(of("steady"), data) for data in mutations(valid, draw, MUTATIONS) if not steers(name, data)]
    draw.shuffle(thrown)
    scene.throw(*thrown)
    assert scene.witness.heard["controller"] > len(UP) * MUTATIONS / 3, "many changes leave nothing sound"
    assert scene.witness.heard["steady"] > len(DOWN) * MUTATIONS / 3
    scene.answers()


def steers(name: str, data: bytes) -> bool:
    """Whether a message is sound and would have the device do something: that is no rubbish."""
    return name == "desired" and reads(DesiredState, data) and bool(decode(DesiredState, data).models)


@pytest.mark.slow
def test_frames_that_are_none_are_counted_and_the_download_ends_well(scene: Scene) -> None:
    fleet = scene.fleet
    rollout = fleet.roll_out(version=1, selector="link=line")
    fleet.wait(lambda: fleet.attempt("slow").get("phase") == "downloading", "the download")
    large: set[str] = set()
    listener = client(fleet.broker)
    listener.on_message = lambda _, __, message: len(message.payload) > 40_000 and large.add(message.topic)
    listener.subscribe("edgefleet/v1/blobs/+/+")
    fleet.wait(lambda: large, "the encoding to come")
    topic, before = large.pop(), scene.risen("slow")
    none = [b"", b"\x01", b"\x01\x00\x00\x00\x00", b"\x03" + bytes(100), b"\x00" * 1_000, b"\xff" * 1_000_000]
    odd = [frame(index, data) for index in (0, 7, 2**31, 2**32 - 1) for data in (b"x", bytes(48 * 1024), bytes(4096))]
    for data in (*none, *odd):
        scene.stranger.publish(topic, data, 1).wait_for_publish(20)
    assert sum(not is_frame(data) for data in none) == len(none)
    fleet.wait(lambda: scene.risen("slow") - before == len(none), "the frames to be counted")
    scene.witness.heard["slow"] = scene.risen("slow")
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "completed", "the rollout", 60)
    assert fleet.attempt("slow")["transfer"]["wrong_chunks"] > 0
    listener.disconnect()
    listener.loop_stop()
    scene.answers()


def is_frame(data: bytes) -> bool:
    try:
        parse_frame(data)
    except ProtocolError:
        return False
    return True


def test_retained_rubbish_meets_a_device_at_its_start_and_a_rollout_takes_its_place(scene: Scene) -> None:
    fleet, device = scene.fleet, scene.steady
    scene.stranger.publish(topics.desired("steady"), b"\xff rubbish", 1, retain=True).wait_for_publish(20)
    scene.settle()
    boot = fleet.device("steady")["boot"]
    device.stop()
    device.start()
    fleet.wait(lambda: fleet.device("steady")["boot"] > boot, "the device")
    fleet.wait(lambda: fleet.device("steady")["set_aside"] == 1, "the device to meet it")
    fleet.wait(lambda: ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200, "its answer")
    assert ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200
    rollout = fleet.roll_out(version=2, selector="link=ethernet,region=eu")
    fleet.wait(lambda: fleet.executions(rollout)["steady"]["phase"] == "committed", "fashion@2", 60)
    assert ask(fleet.device("steady")["endpoint"], np.zeros((1, 28, 28)))[0] == 200


def test_no_log_was_flooded(scene: Scene) -> None:
    for process in (scene.fleet.controller, scene.steady, scene.slow):
        said = process.log()
        assert "was set aside: " in said or process is scene.slow
        minutes = 1 + 240 // 60
        assert said.count("was set aside: ") <= PER_MINUTE * minutes
        assert len(said) < 100_000
        assert all(line.isprintable() for line in said.splitlines())
        assert "Traceback" not in said
