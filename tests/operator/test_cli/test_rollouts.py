"""Plan, start, watch, and give orders."""

import re
import time
from collections.abc import Callable
from io import StringIO
from itertools import takewhile

import pytest
from rich.console import Console

from edgefleet_contract.rollouts import FetchingView, Gate, RolloutSpec, RolloutView, WavePhase, WaveView
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import VerdictRecord
from edgefleet_operator.cli.watch import Picture, status_of
from edgefleet_operator.cli.waves import DeviceTally, bar, eta_s
from edgefleet_protocol.messages import ReportedModel, Slot

QUICK = ("--all", "--waves", "100%", "--gate", "soak_s=0", "--concurrency", "5")


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


NEVER_HEARD = ("--timer", "unreachable_s=0.1", "--timer", "wave_s=0.2", "--on-failure", "pause")


def test_a_plan_prints_the_waves_with_device_profile_variant_and_recipe(operator, join, published: str) -> None:
    join("a", "b")
    join("c", runs="b" * 64)
    join("z", region="na")
    words = ("rollout", "plan", published, "--all", "--waves", "50%,100%", "--gate", "soak_s=7")
    shown = operator.types(*words).stdout
    rows = {line.split()[1]: line for line in shown.splitlines() if line.split()[1:2] and line.split()[1] in "abcz"}
    assert "fp32" in rows["a"] and "bbbbbbbbbbbb" in rows["a"] and "eu/rpi4/lte (sim)" in rows["a"]
    assert "runs it already" in rows["c"]
    assert "nothing" in rows["z"]
    assert "soak_s 7" in shown
    planned = operator.reads(*words)
    started = operator.reads("rollout", "start", *words[2:])
    executions = operator.reads("rollout", "show", started["id"], "--devices")["executions"]
    waves = {e["device"]: number for number, wave in enumerate(planned["waves"], start=1) for e in wave}
    assert {e["device"]: e["wave"] for e in executions} == waves


def test_a_plan_says_whose_links_were_found_slow_and_who_will_be_late(operator, join, published: str) -> None:
    join("a", runs="b" * 64, measured_kbps=1.0)
    join("b")
    join("c", "d", measured_kbps=20.0)
    join("e", measured_kbps=1e7)  # faster than the catalogue says by now
    words = ("rollout", "plan", published, "--all")
    shown = " ".join(operator.types(*words, "--timer", "wave_s=0.1").stdout.split())
    assert "2 devices measured less than the" in shown and "of 'lte': c 20 kbit/s" in shown
    assert "2 devices cannot fetch it within wave_s" in shown
    slow = operator.reads(*words)["slow_links"]
    assert [(one["device"], one["measured_kbps"]) for one in slow] == [("c", 20.0), ("d", 20.0)]
    assert "cannot fetch it" not in operator.types(*words).stdout
    assert "link measured" in operator.types("device", "show", "c").stdout


def test_a_plan_says_what_each_device_fetches_and_nothing_for_one_that_has_it(
    operator, service, join, reported, published: str
) -> None:
    join("a", "b", measured_kbps=20.0)
    join("c", runs="b" * 64)
    (manifest,) = {v.manifest for v in service.store.fleet.registry.variants("fashion", 1)}
    held = Slot(variant="b" * 64, manifest=manifest, model_version=1, generation=1)
    told = reported(models={"fashion": ReportedModel(generation=1, slots=(held,))}, measured_kbps=20.0, report=2)
    service.store.fleet.devices.put_report("a", told, 2)
    words = ("rollout", "plan", published, "--all")
    planned = operator.reads(*words)
    fetches = {e["device"]: e["fetches_bytes"] for wave in planned["waves"] for e in wave}
    assert fetches == {"a": 0, "b": 123_456, "c": 0}
    assert [one["device"] for one in planned["slow_links"]] == ["b"]
    shown = operator.types(*words, columns=140).stdout
    rows = {line.split()[1]: line for line in shown.splitlines() if line.split()[1:2] and line.split()[1] in "abc"}
    assert "0 B" in rows["a"] and "has it, switches" in rows["a"]
    assert "123.5 kB" in rows["b"] and "fetches and switches" in rows["b"]
    assert "0 B" in rows["c"] and "runs it already" in rows["c"]


def test_a_device_that_is_offline_is_said_to_be_before_and_while_a_wave_waits_for_it(
    operator, service, join, published: str
) -> None:
    join("a", "b")
    join("c", runs="b" * 64)
    for device in "bc":
        known = next(d for d in service.store.fleet.devices.all() if d.id == device)
        service.store.fleet.devices.put_presence(device, known.reported.incarnation, False, now_ms())
    planned = operator.types("rollout", "plan", published, "--all", "--waves", "100%", columns=160).stdout
    assert "offline: fetches and switches" in planned and planned.count("offline") == 2
    assert "1 device offline: a wave waits up to unreachable_s for each, 86,400 s" in planned
    rollout = operator.reads("rollout", "start", published, "--all", "--waves", "100%")["id"]
    shown = operator.types("rollout", "show", rollout, "--devices", columns=160).stdout
    assert [line.split()[0] for line in shown.splitlines() if "offline" in line] == ["b"]


def test_a_started_rollout_is_listed_and_shown_wave_by_wave(operator, join, published: str) -> None:
    join("a", "b", "c")
    operator.types("segment", "save", "europe", "region=eu")
    shown = operator.types("rollout", "start", published, "--segment", "europe", "--waves", "0.4,1").stdout
    assert "is running" in shown
    found = operator.reads("rollout", "list", "--state", "running", "--model", published)[0]
    assert found["segment"] == "europe"
    assert operator.reads("rollout", "list", "--state", "completed") == []
    shown = operator.types("rollout", "show", found["id"][:30], "--devices").stdout
    assert f"rollout {found['id'][-8:]} of fashion@1 to europe is running" in shown
    assert "eu/rpi4/lte (sim)" in shown
    assert "0 committed, 0 under way, 0 failed, 3 waiting, of 3" in shown


def test_a_rollout_that_ends_well_is_watched_to_its_end(operator, join, published: str) -> None:
    join("a", runs="b" * 64)
    shown = operator.types("rollout", "start", published, *QUICK, "--watch").stdout
    assert "is completed" in shown
    assert "wave 1 skipped because: nothing to install" in shown
    found = operator.reads("rollout", "list")[0]
    assert operator.reads("rollout", "show", found["id"], "--watch")["state"] == "completed"


def test_a_rollout_that_stands_still_ends_the_watch_with_its_own_code(operator, join, published: str) -> None:
    join("a")
    shown = operator.types("rollout", "start", published, *QUICK, *NEVER_HEARD, "--watch", code=3).stdout
    assert "is paused" in shown
    rollout = operator.reads("rollout", "list")[0]["id"]
    operator.types("rollout", "show", rollout, "--watch", code=3)
    operator.types("rollout", "show", rollout)


def test_what_no_gate_could_judge_is_in_the_last_line_and_with_the_wave(
    operator, join, published: str, commits
) -> None:
    join("a")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    commits(rollout)
    reasons = "not judged: accuracy (no labels yet), errors (no requests yet), latency (no timed answers yet)"
    lines = " ".join(operator.types("rollout", "show", rollout, "--watch").stdout.split())
    assert f"is completed: every wave passed; {reasons}" in lines
    assert f"wave 1 passed because: 1 of 1 decided device committed; {reasons}" in lines
    (wave,) = operator.reads("rollout", "show", rollout)["waves"]
    unjudged = {"profile": "eu/rpi4/lte", "outcome": "not_judged", "outliers": []}
    assert {**unjudged, "check": "accuracy", "words": "no labels yet"} in wave["judgements"]


def test_what_a_gate_requires_and_lacks_stops_the_rollout_with_its_own_code(
    operator, join, published: str, commits
) -> None:
    join("a")
    options = (*QUICK, "--gate", "require=errors,accuracy")
    shown = operator.types("rollout", "plan", published, *options).stdout
    assert "require accuracy, errors" in " ".join(shown.split())
    rollout = operator.reads("rollout", "start", published, *options)["id"]
    commits(rollout)
    shown = " ".join(operator.types("rollout", "show", rollout, "--watch", code=3).stdout.split())
    assert "is paused: wave 1 is inconclusive: accuracy is required, and could not be judged: no labels yet" in shown


def test_a_gate_that_requires_what_there_is_not_is_refused(operator, published: str) -> None:
    said = operator.types("rollout", "plan", published, "--all", "--gate", "require=speed", code=2).stderr
    assert "accuracy" in said and "latency" in said
    operator.types("rollout", "plan", published, "--all", "--gate", "min_devices=0", code=2)
    said = operator.types("rollout", "plan", published, "--all", "--timer", "wave=9", code=2).stderr
    assert "unknown field timers.wave: did you mean 'wave_s'?" in " ".join(said.split())


def test_watching_ends_with_the_time_and_the_rollout_goes_on(operator, join, published: str) -> None:
    join("a")
    done = operator.types("rollout", "start", published, *QUICK, "--watch", "--timeout", "0.2", code=4)
    assert "it goes on" in done.stderr
    assert operator.reads("rollout", "list")[0]["state"] == "running"


def test_orders_are_given_and_refused(operator, join, published: str) -> None:
    join("a")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    assert operator.reads("rollout", "pause", rollout)["state"] == "paused"
    assert "is paused" in operator.types("rollout", "pause", rollout, code=1).stderr
    assert "is running" in operator.types("rollout", "resume", rollout).stdout
    assert "is cancelled" in operator.types("rollout", "abort", rollout).stdout
    operator.types("rollout", "resume", rollout, code=1)


def test_a_rollback_is_watched_to_its_end(operator, join, published: str) -> None:
    join("a", runs="b" * 64)
    rollout = operator.reads("rollout", "start", published, *QUICK, "--watch")["id"]
    done = operator.types("rollout", "rollback", rollout, "--watch", "--timeout", "20")
    assert "is rolled_back" in done.stdout


@pytest.mark.parametrize("state", ["paused", "cancelled", "rolled_back", "rollback_incomplete"])
def test_only_a_completed_rollout_ends_a_watch_well(state: str) -> None:
    assert status_of(RolloutView.model_construct(state=state)) == 3
    assert status_of(RolloutView.model_construct(state="completed")) == 0


def wave(
    number: int, state: WavePhase, started_ms: int | None, since_ms: int, *evidence: str, **counts: int
) -> WaveView:
    return WaveView(
        number=number, state=state, started_ms=started_ms, since_ms=since_ms, counts=counts, evidence=evidence
    )


@pytest.fixture
def rollout() -> Callable[..., RolloutView]:
    def make(*waves: WaveView, soak_s: float = 10) -> RolloutView:
        return RolloutView(
            id="01",
            model="fashion@1",
            segment="europe",
            selector="region=eu",
            state="running",
            reason=None,
            spec=RolloutSpec(model="fashion", version=1, gate=Gate(soak_s=soak_s)),
            waves=list(waves),
            counts={},
            counts_back={},
            created_ms=0,
            changed_ms=0,
        )

    return make


def test_the_time_left_is_unknown_before_the_first_device_is_done(rollout) -> None:
    assert eta_s(rollout(wave(1, "staging", 0, 0, downloading=4)), 5_000) is None


def test_the_time_left_follows_from_the_share_that_is_done_and_the_soak(rollout) -> None:
    half = rollout(wave(1, "activating", 0, 0, committed=2, trial=2), wave(2, "pending", None, 0, assigned=4))
    assert eta_s(half, 20_000) == pytest.approx(20 + 10 + 40 + 10)


def test_the_time_left_follows_from_the_waves_that_have_passed(rollout) -> None:
    second = rollout(wave(1, "passed", 0, 40_000, committed=4), wave(2, "staging", 40_000, 40_000, staged=4))
    assert eta_s(second, 45_000) == pytest.approx(25 + 10)
    soaking = rollout(wave(1, "soaking", 0, 30_000, committed=4))
    assert eta_s(soaking, 34_000) == pytest.approx(6)


def test_the_time_left_follows_from_what_is_to_be_fetched_over_the_links_that_were_found(rollout) -> None:
    slow = FetchingView(devices=1, bytes_done=25_000, bytes_total=100_000, left_s=300.0)
    going = wave(1, "activating", 0, 0, committed=2, downloading=1).model_copy(update={"fetching": slow})
    assert eta_s(rollout(going), 5_000) == pytest.approx(300 + 30 + 10)
    unknown = going.model_copy(update={"fetching": slow.model_copy(update={"left_s": None})})
    assert eta_s(rollout(unknown), 5_000) is None


def test_a_slow_transfer_is_shown_as_so_much_of_so_much_and_with_the_time_it_takes_yet(
    operator, service, join, published: str
) -> None:
    join("a", "b", measured_kbps=20.0)
    rollout = operator.reads("rollout", "start", published, "--all", "--waves", "100%", "--gate", "soak_s=0")["id"]
    with service.store.fleet.transaction():
        for e in service.store.fleet.rollouts.executions(rollout):
            arrived = {"transfer_bytes": 30_000, "transfer_total_bytes": 123_456, "transfer_s": 12.0}
            told = {"phase": "downloading", "directive": "stage", "generation": 1, "heard_ms": now_ms(), **arrived}
            service.store.fleet.rollouts.put_executions([e.model_copy(update=told)])
    until(lambda: operator.reads("rollout", "show", rollout)["waves"][0]["state"] == "staging")
    shown = " ".join(operator.types("rollout", "show", rollout, "--devices", columns=160).stdout.split())
    assert "30.0 kB of 123.5 kB in 12 s" in shown
    assert "wave 1: 2 devices fetching, 60.0 kB of 246.9 kB, about 37 s to go" in shown
    assert "2 devices fetching wave 1" in shown, "and this is why it is where it is"
    watched = operator.types("rollout", "show", rollout, "--watch", "--timeout", "0.2", code=4).stdout
    assert "fetched 20 % of 246.9 kB; ETA: about 67 s" in watched


def test_a_rolled_back_rollout_has_nobody_under_way(operator, service, join, published: str) -> None:
    join("a", "b")
    rollout = operator.reads("rollout", "start", published, "--all", "--waves", "50%,100%")["id"]
    until(lambda: operator.reads("rollout", "show", rollout)["waves"][0]["state"] == "staging")
    operator.types("rollout", "rollback", rollout)
    until(lambda: "assigned" not in operator.reads("rollout", "show", rollout)["counts"])
    shown = operator.types("rollout", "show", rollout, "--devices").stdout
    assert "0 committed, 0 under way, 0 failed, 2 passed over, of 2" in shown
    assert shown.count("rolled back") >= 2


def test_nothing_is_promised_while_a_rollout_stands_still(rollout) -> None:
    assert eta_s(rollout(wave(1, "passed", 0, 1, committed=1)).model_copy(update={"state": "paused"}), 2) is None


def test_every_device_of_a_wave_is_counted_once() -> None:
    tally = DeviceTally.of({"committed": 3, "trial": 1, "failed_unsafe": 1, "assigned": 2, "no_variant": 1})
    assert str(tally) == "3 committed, 1 under way, 1 failed, 2 waiting, 1 passed over, of 8"
    assert "".join(piece for piece, _ in bar(tally, 16)) == "██████××▒▒······"


def test_a_single_failure_among_thousands_is_seen_in_the_bar() -> None:
    pieces = [piece for piece, _ in bar(DeviceTally.of({"committed": 9_999, "timed_out": 1}), 30)]
    assert len("".join(pieces)) == 30
    assert pieces[1] == "×"


def test_the_live_picture_shows_bars_phases_evidence_and_the_time_left(rollout) -> None:
    first = wave(1, "activating", 0, 0, "eu/rpi4/lte: 412 labels, 91 %", committed=2, trial=2)
    out = Console(width=100, record=True, file=StringIO())
    out.print(Picture(rollout(first), "going back: 1 of 2 devices back", 20_000))
    shown = out.export_text()
    for words in ("wave 1", "█", "▒", "2 committed, 2 trial", "412 labels", "ETA: about 30 s", "1 of 2 devices"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_live_picture_fits_any_terminal_with_the_wave_under_way(rollout, width: int) -> None:
    passed = [wave(n, "passed", 0, 1, committed=400) for n in range(1, 30)]
    now = wave(30, "activating", 0, 0, "evidence " * 40, committed=200, downloading=150, failed_rolled_back=50)
    rest = [wave(n, "pending", None, 0, assigned=4000) for n in range(31, 41)]
    out = Console(width=width, height=24, record=True, file=StringIO())
    out.print(Picture(rollout(*passed, now, *rest).model_copy(update={"segment": "a-long-name" * 5}), None, 20_000))
    lines = out.export_text().splitlines()
    assert max(map(len, lines)) <= width
    bars = [line for line in lines if re.search(r"400/4000?|250/400|0/4000", line)]
    assert len(bars) == (16 if width >= 80 else 8) and any("250/400" in line for line in bars), lines
    assert re.search(r"150\s+downloading", "\n".join(line.strip() for line in lines))
    assert f"and {40 - len(bars)} more waves" in lines


def test_what_is_shown_of_an_id_is_taken_by_every_command(operator, join, published: str) -> None:
    join("a", "b")
    start = ("rollout", "start", published, "--all")
    first = operator.types(*start).stdout.split()[1]
    for order, state in (("pause", "paused"), ("resume", "running"), ("abort", "cancelled"), ("show", "cancelled")):
        said = operator.types("rollout", order, first).stdout
        assert f"rollout {first} of fashion@1" in said and f" is {state}" in said
    second = operator.types(*start).stdout.split()[1]
    assert f"part of rollout {second} for" in operator.types(*start, code=1).stderr
    whole = [found["id"] for found in operator.reads("rollout", "list")]
    assert [one[-8:] for one in whole] == [first, second]
    assert whole[0] in operator.types("rollout", "show", first).stdout
    assert whole[0] in operator.types("rollout", "show", first[:5]).stdout
    listed = operator.types("rollout", "list").stdout
    assert first in listed and second in listed and whole[0] not in listed
    alike = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*whole, strict=True)))
    said = operator.types("rollout", "pause", alike, code=1).stderr
    assert first in said and second in said and "give one of these" in said


def test_a_plan_says_what_was_rejected_before_and_a_list_says_who_is_back(
    operator, service, join, published: str
) -> None:
    join("a", "b")
    join("z", region="na")
    verdict = {"model": "fashion", "profile": "eu/rpi4/lte", "manifest": "c" * 64, "at_ms": 1}
    rollout = "019ad1c2-0000-7aaa-8bbb-ccccdddd1234"
    verdicts = service.store.fleet.verdicts
    verdicts.put(VerdictRecord(variant="b" * 64, rollout=rollout, passed=False, **verdict))
    verdicts.put(VerdictRecord(variant="d" * 64, rollout=rollout, passed=False, **verdict))
    plan = ("rollout", "plan", published, "--all")
    assert operator.reads(*plan)["rejected"] == [
        {"profile": "eu/rpi4/lte", "variant": "b" * 64, "rollout": rollout, "at_ms": 1}
    ]
    assert "fp32 was rejected on eu/rpi4/lte in rollout dddd1234, 1970" in operator.types(*plan).stdout
    verdicts.put(VerdictRecord(variant="b" * 64, rollout=rollout, passed=True, **verdict))
    assert operator.reads(*plan)["rejected"] == []
    started = operator.reads("rollout", "start", published, "--all")["id"]
    assert "0 of 3" in operator.types("rollout", "list").stdout
    told = {"phase": "committed", "generation": 2, "back_generation": 3, "back_phase": "committed"}
    with service.store.fleet.transaction():
        mine = [e for e in service.store.fleet.rollouts.executions(started) if e.device == "a"]
        service.store.fleet.rollouts.put_executions([e.model_copy(update=told) for e in mine])
    assert "1 of 1 device back" in operator.types("rollout", "list").stdout
