"""The agent as a process, on a real broker, with a stand-in for the controller: kills, trials, ways back."""

import json
import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.patience import slowed

from edgefleet_agent.__main__ import main
from edgefleet_protocol import topics
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.messages import DesiredModel, DesiredState, Hello, Opening, Transfer, encode

pytestmark = pytest.mark.broker

Make = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs" / "agent.md"
TENSOR = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [1.0] * 16}


def commit(agent: Any, stand_in: Any, variant: Any, generation: int = 1) -> None:
    """Bring a device to a committed variant."""
    stand_in.desire(variant.desired(generation), variant)
    stand_in.wait_phase("committed", generation)


def test_a_first_rollout_reaches_committed_and_the_device_answers(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant()
    agent.start()
    stand_in.wait(lambda s: s.reports)
    assert agent.infer() == (503, {"error": "model 'pets' is not ready: no variant answers yet"})
    commit(agent, stand_in, variant)
    model = stand_in.reports[-1].models["pets"]
    assert (model.answering.variant, model.answering.generation, len(model.slots)) == (variant.id, 1, 1)
    sizes = [len(data) for data in variant.blobs.values()]
    assert (model.attempt.transfer.bytes_total, model.attempt.transfer.bytes_done) == (sum(sizes), sum(sizes))
    assert model.attempt.transfer.seconds > 0 and model.attempt.transfer.wants >= 4
    status, answer = agent.infer(id="r1")
    assert status == 200
    assert (answer["id"], answer["model_version"]) == ("r1", "1")
    assert answer["parameters"] == {"variant": variant.id, "generation": 1}
    phases = ["notified", "downloading", "verified", "staged", "self_test", "trial", "committed"]
    assert agent.journal() == [(1, phase, None) for phase in phases]
    assert not list((agent.state / "downloads").iterdir())


def test_the_second_variant_keeps_the_first_and_going_back_needs_no_download(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    first, second = make_variant(seed=1), make_variant(seed=2)
    agent.start()
    commit(agent, stand_in, first, 1)
    commit(agent, stand_in, second, 2)
    # The golden set lies in the first slot already.
    transfer = stand_in.reports[-1].models["pets"].attempt.transfer
    assert transfer.bytes_total == sum(len(d) for d in second.blobs.values()) - len(second.golden)
    wants = len(stand_in.wants)
    stand_in.blobs.clear()
    commit(agent, stand_in, first, 3)
    assert len(stand_in.wants) == wants
    model = stand_in.reports[-1].models["pets"]
    assert (model.answering.variant, {s.variant for s in model.slots}) == (first.id, {first.id, second.id})
    assert model.attempt.transfer == Transfer(), "nothing was downloaded"
    assert agent.infer()[1]["parameters"] == {"variant": first.id, "generation": 3}


def test_what_answers_already_is_not_installed_again_and_old_generations_change_nothing(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    first, second = make_variant(seed=1), make_variant(seed=2)
    agent.start()
    commit(agent, stand_in, first, 5)
    stand_in.desire(first.desired(6))
    found = stand_in.wait_phase("already_installed", 6)
    assert (found.answering.generation, found.attempt.transfer) == (6, Transfer())
    stand_in.desire(second.desired(4), second)
    stand_in.desire(second.desired(6), second)
    stand_in.say(topics.HELLO, encode(Hello(jitter_s=0)))
    heard = len(stand_in.reports)
    stand_in.wait(lambda s: len(s.reports) > heard + 1)
    assert stand_in.reports[-1].models["pets"].answering.variant == first.id
    assert [line for line in agent.journal() if line[0] == 4] == []


def test_staged_first_and_activated_later_at_the_same_generation(agent: Any, stand_in: Any, make_variant: Make) -> None:
    variant = make_variant()
    agent.start()
    stand_in.desire(variant.desired(1, activate=False), variant)
    assert stand_in.wait_phase("staged", 1).answering is None
    time.sleep(0.3)
    assert agent.infer()[0] == 503
    stand_in.desire(variant.desired(1, activate=True))
    stand_in.wait_phase("committed", 1)
    assert [phase for _, phase, _ in agent.journal()].count("trial") == 1


def test_a_manifest_of_none_means_that_nothing_is_served(agent: Any, stand_in: Any, make_variant: Make) -> None:
    variant = make_variant()
    agent.start()
    commit(agent, stand_in, variant)
    stand_in.desire(variant.desired(2, manifest=None))
    assert stand_in.wait_phase("removed", 2).answering is None
    assert agent.infer()[0] == 503
    assert agent.workers() == []
    stand_in.blobs.clear()
    commit(agent, stand_in, variant, 3)


def test_a_manifest_that_is_another_is_rejected(agent: Any, stand_in: Any, make_variant: Make) -> None:
    variant = make_variant()
    agent.start()
    desired = variant.desired(1)
    stand_in.blobs |= {desired.manifest: b"x" * desired.manifest_bytes}
    stand_in.desire(desired)
    assert stand_in.wait_phase("rejected", 1).attempt.reason == "manifest_invalid"


def test_a_trial_that_goes_wrong_goes_back_and_no_client_notices(agent: Any, stand_in: Any, make_variant: Make) -> None:
    old, fragile = make_variant(seed=1), make_variant(seed=2, fragile=True)
    agent.install(old)
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    stand_in.desire(fragile.desired(2, trial_s=60), fragile)
    assert stand_in.wait_phase("trial", 2).answering.variant == fragile.id
    assert agent.infer(1.0)[1]["parameters"]["variant"] == fragile.id
    status, answer = agent.infer(-1.0)
    assert (status, answer["parameters"]["variant"]) == (200, old.id)
    model = stand_in.wait_phase("failed_rolled_back", 2)
    assert (model.attempt.reason, model.answering.variant) == ("trial_failed", old.id)
    stand_in.wait(lambda s: any(w.not_finite for w in s.windows if w.variant == fragile.id))
    told = {w.seq: w for w in stand_in.windows if w.variant == fragile.id}.values()
    assert sum(window.not_finite for window in told) == 1


def test_a_worker_killed_in_its_trial_goes_back(agent: Any, stand_in: Any, make_variant: Make) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(old)
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    before = set(agent.workers())
    stand_in.desire(new.desired(2, trial_s=60), new)
    stand_in.wait_phase("trial", 2)
    (worker,) = set(agent.workers()) - before
    os.kill(worker, signal.SIGKILL)
    assert agent.infer()[1]["parameters"]["variant"] == old.id
    assert stand_in.wait_phase("failed_rolled_back", 2).attempt.reason == "worker_crashed"


def test_a_higher_generation_supersedes_a_trial(agent: Any, stand_in: Any, make_variant: Make) -> None:
    old, new = make_variant(seed=1), make_variant(seed=2)
    agent.install(old)
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    stand_in.desire(new.desired(2, trial_s=60), new)
    stand_in.wait_phase("trial", 2)
    stand_in.desire(old.desired(3))
    assert stand_in.wait_phase("already_installed", 3).answering.variant == old.id
    assert agent.journal()[-3:] == [(2, "superseded", None), (3, "notified", None), (3, "already_installed", None)]
    deadline = time.monotonic() + 10
    while len(agent.workers()) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(agent.workers()) == 1, "the trial's is ended"


def test_it_ends_within_two_seconds_with_its_worker_and_says_offline(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    agent.start()
    commit(agent, stand_in, make_variant())
    workers = agent.workers()
    began_s = time.monotonic()
    assert agent.end(signal.SIGTERM) == 0
    assert time.monotonic() - began_s < 2 * slowed()
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert stand_in.wait(lambda s: s.presence[-1]["online"] is False and s.presence)


def test_a_worker_that_dies_while_nobody_asks_is_started_again(agent: Any, stand_in: Any, make_variant: Make) -> None:
    agent.install(make_variant())
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    (worker,) = agent.workers()
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while agent.workers() in ([], [worker]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(agent.workers()) == 1 and agent.infer()[0] == 200


def test_status_tells_how_a_running_and_an_ended_agent_stand(
    agent: Any, stand_in: Any, make_variant: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.install(make_variant())
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    where = ["status", "--state", str(agent.state)]
    assert main(where) == 0
    told = capsys.readouterr().out
    assert "na/x86-avx2/ethernet (simulated), boot 1" in told and "answers; generation 1 committed" in told
    assert main([*where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"]["pets"]["answering"]["generation"] == 1
    agent.end()
    assert main(where) == 1
    assert capsys.readouterr().out.startswith("no agent runs in this folder")


def test_a_killed_agent_is_offline_by_its_will(agent: Any, stand_in: Any) -> None:
    agent.start()
    stand_in.wait(lambda s: s.presence)
    agent.end(signal.SIGKILL)
    assert stand_in.wait(lambda s: s.presence[-1]["online"] is False and s.presence)


def test_telemetry_reaches_the_controller_once_labels_included(agent: Any, stand_in: Any, make_variant: Make) -> None:
    variant = make_variant()
    agent.start()
    commit(agent, stand_in, variant)
    for number in range(5):
        _, answer = agent.infer(id=f"r{number}")
    top = max(range(3), key=answer["outputs"][0]["data"].__getitem__)
    feedback = {"model": "pets", "id": "r0", "label": top}
    assert agent.call("/edgefleet/v1/feedback", feedback) == (200, {"counted": True})
    assert agent.call("/edgefleet/v1/feedback", feedback) == (200, {"counted": False})
    assert agent.call("/edgefleet/v1/feedback", {"model": "pets", "id": "r1", "label": "cat"})[0] == 200
    stand_in.wait(lambda s: sum(w.labelled for w in s.windows) >= 2)
    windows = list({window.seq: window for window in stand_in.windows}.values())
    assert sum(w.requests for w in windows) == 5
    assert sum(w.correct for w in windows) == 1 + (top == 0)
    name = ("cat", "dog", "bird")[top]
    assert sum(w.predicted.get(name, 0) for w in windows) == 5
    stand_in.wait(lambda s: s.reports[-1].spooled_windows == 0)


def test_the_requests_on_the_agents_page_are_answered(agent: Any, stand_in: Any, make_variant: Make) -> None:
    agent.start()
    commit(agent, stand_in, make_variant())
    blocks = re.findall(r"^```\n(curl .*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    answers = {}
    for command in blocks:
        curl, url, option, body = shlex.split(command)
        assert (curl, option) == ("curl", "-d")
        path = url.removeprefix("http://127.0.0.1:8080")
        answers[path] = agent.call(path, json.loads(body))
    assert answers["/v2/models/pets/infer"][0] == 200
    assert answers["/edgefleet/v1/feedback"] == (200, {"counted": True})
    assert agent.call("/edgefleet/v1/feedback", {"model": "pets", "id": "r1", "labels": [0]}) == (
        200,
        {"counted": False},
    )


def test_windows_that_are_not_acknowledged_are_sent_again_and_outlive_a_kill(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    stand_in.ack = False
    agent.start()
    commit(agent, stand_in, make_variant())
    agent.infer()
    stand_in.wait(lambda s: [w.seq for w in s.windows].count(1) >= 2)
    agent.end(signal.SIGKILL)
    heard = len(stand_in.windows)
    stand_in.ack = True
    agent.start()
    assert stand_in.wait(lambda s: len(s.windows) > heard and s.windows[heard]).seq == 1


def test_malformed_messages_are_counted_and_set_aside(agent: Any, stand_in: Any) -> None:
    agent.start()
    stand_in.wait(lambda s: s.reports)
    for topic in (topics.desired("d1"), topics.acked("d1"), topics.HELLO):
        for junk in (b"{", b"\xff\xfe", b"[" * 5000, b'{"models": 3, "incarnation": 1, "jitter_s": -1}'):
            stand_in.say(topic, junk)
    stand_in.wait(lambda s: s.reports[-1].set_aside == 12)


def test_the_supervisor_stays_light(agent: Any, stand_in: Any, make_variant: Make) -> None:
    agent.install(make_variant())
    agent.start()
    stand_in.wait(lambda s: s.reports and s.reports[-1].models["pets"].answering)
    for _ in range(50):
        agent.infer()
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    rss_kb = int(status.partition("VmRSS:")[2].split()[0])
    assert rss_kb < 48 * 1024


def test_two_models_live_side_by_side_and_each_has_its_own_generation(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    pets, birds = make_variant(seed=1), make_variant(seed=2, model="birds")
    agent.start()
    for variant in (pets, birds):
        stand_in.blobs |= variant.blobs
    wanted = DesiredState(models={"pets": pets.desired(4), "birds": birds.desired(9)})
    stand_in.say(topics.desired("d1"), encode(wanted), retain=True)
    for model, generation in (("pets", 4), ("birds", 9)):
        stand_in.wait_phase("committed", generation, model=model)
    told = agent.call("/v2/models/birds/infer", {"inputs": [TENSOR]})[1]
    assert told["parameters"] == {"variant": birds.id, "generation": 9}
    assert agent.infer()[1]["parameters"] == {"variant": pets.id, "generation": 4}
    assert len(list((agent.state / "slots").iterdir())) == 2


def test_a_download_that_was_superseded_goes_on_where_it_was_when_it_is_wanted_again(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    large, small = make_variant(seed=1, padding_bytes=150_000), make_variant(seed=2)
    stand_in.serve_chunks = 50
    stand_in.desire(large.desired(1), large, small)
    agent.start()
    stand_in.wait(lambda s: s.serve_chunks <= 0)
    time.sleep(0.7)
    stand_in.desire(large.desired(2))
    stand_in.wait_phase("downloading", 2)
    stand_in.serve_chunks = 10**9
    stand_in.say(topics.HELLO, encode(Hello(jitter_s=0)))
    stand_in.wait_phase("committed", 2)
    want = [want for want in stand_in.wants if want.blob == large.encoding.blob.sha256][-1]
    assert min(Bitmap.from_text(want.chunks, want.missing)) >= 50
    assert (1, "superseded", None) in agent.journal()


def test_a_long_download_is_reported_between_heartbeats(
    broker: Any, start_agent: Callable[..., Any], stand_in: Any, make_variant: Make
) -> None:
    variant = make_variant(padding_bytes=600_000)
    stand_in.chunk_pause_s = 0.008
    stand_in.desire(variant.desired(1), variant)
    start_agent(broker, "--heartbeat", "20").start()
    stand_in.wait_phase("committed", 1)
    told = [said.models["pets"].attempt for said in stand_in.reports if "pets" in said.models]
    arrived = [one.transfer.bytes_done for one in told if one.phase == "downloading"]
    total = sum(len(data) for data in variant.blobs.values())
    assert all(one.transfer.bytes_total == total for one in told if one.phase == "downloading")
    assert len(arrived) >= 3 and arrived == sorted(set(arrived)), "nothing of it was told twice"
    assert all(later - before >= total / 10 for before, later in pairwise(arrived[1:]))


def test_a_device_fetches_and_switches_only_inside_its_windows_but_goes_back_at_once(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    variant, later = make_variant(seed=1), make_variant(seed=2)
    for one in (variant, later):
        stand_in.blobs |= one.blobs
    closed, opened = Opening(), Opening(open_s=60)

    def say(desired: DesiredModel, fetch: Opening, switch: Opening) -> None:
        wanted = DesiredState(models={"pets": desired}, fetch=fetch, switch=switch)
        stand_in.say(topics.desired("d1"), encode(wanted))

    def waits(phase: str, generation: int, reason: str | None = "outside_window") -> None:
        found = stand_in.wait_phase(phase, generation)
        stand_in.wait(lambda s: s.reports[-1].models["pets"].attempt.reason == reason)
        assert "wait" in (found.attempt.detail or "") or reason is None

    agent.start()
    stand_in.wait(lambda s: s.reports)
    say(variant.desired(1), closed, closed)
    waits("notified", 1)
    assert stand_in.wants == []
    say(variant.desired(1), opened, closed)
    waits("staged", 1)
    assert agent.infer()[0] == 503
    # The order is withdrawn before the window opens, as by a pause, and given again.
    say(variant.desired(1).model_copy(update={"activate": False}), closed, opened)
    waits("staged", 1, None)
    assert agent.infer()[0] == 503
    say(variant.desired(1), closed, opened)
    stand_in.wait_phase("committed", 1)
    say(later.desired(2), closed, closed)
    waits("notified", 2)
    for _ in range(6):
        agent.end()
        heard = len(stand_in.reports)
        agent.start()
        stand_in.wait(lambda s, heard=heard: len(s.reports) > heard)
    waits("notified", 2)
    say(later.desired(3).model_copy(update={"at_once": True}), closed, closed)
    stand_in.wait_phase("committed", 3)
