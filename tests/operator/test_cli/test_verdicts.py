"""What a rollout says of its waves and its devices, whatever becomes of these."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from edgefleet_controller.records import ChoiceRecord
from edgefleet_controller.service import Service

COMMITTED = {"phase": "committed", "directive": "activate", "generation": 1}
QUICK = ("--all", "--waves", "100%", "--gate", "soak_s=0", "--concurrency", "5")


@pytest.fixture
def moves(service: Service) -> Callable[[str, Mapping[str, Mapping[str, Any]]], None]:
    """Let devices of a rollout be as given, as if they had reported so."""

    def moved(rollout: str, become: Mapping[str, Mapping[str, Any]]) -> None:
        rollouts = service.store.fleet.rollouts
        with service.store.fleet.transaction():
            found = [e for e in rollouts.executions(rollout) if e.device in become]
            rollouts.put_executions([e.model_copy(update=dict(become[e.device])) for e in found])

    return moved


@pytest.fixture
def rolls_back(operator, service: Service) -> Callable[[str], None]:
    """Roll back, until every device has been told."""

    def rolled(rollout: str) -> None:
        operator.types("rollout", "rollback", rollout)
        until = time.monotonic() + 30
        while any(e.back_generation is None for e in service.store.fleet.rollouts.executions(rollout)):
            assert time.monotonic() < until, "some were not told"
            time.sleep(0.01)

    return rolled


def says(operator, rollout: str) -> list[object]:
    """Everything that commands, JSON and metrics say of a rollout that has ended."""
    scraped = httpx.get(f"{operator.url.removesuffix('/api/v1')}/metrics").text
    return [
        operator.reads("rollout", "list"),
        operator.reads("rollout", "show", rollout),
        operator.types("rollout", "show", rollout).stdout,
        [line for line in scraped.splitlines() if line.startswith("edgefleet_rollouts")],
    ]


def test_removing_a_device_changes_nothing_that_a_completed_rollout_says(operator, join, published, commits) -> None:
    join("a", "b")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    commits(rollout)
    operator.types("rollout", "show", rollout, "--watch")
    before = says(operator, rollout)
    operator.types("device", "remove", "a")
    operator.types("device", "remove", "b")
    assert says(operator, rollout) == before
    assert before[1]["counts"] == {"committed": 2}
    assert before[1]["counts_back"] == {}
    found = operator.reads("rollout", "show", rollout, "--devices")["executions"]
    assert all(e["removed_ms"] for e in found)
    assert operator.types("rollout", "show", rollout, "--devices").stdout.count("eu/rpi4/lte (sim)") == 2
    assert (
        operator.types("rollout", "show", rollout, "--devices", columns=200).stdout.count("removed from the fleet") == 2
    )
    done = operator.types("rollout", "rollback", rollout, "--watch").stdout
    assert "is rolled_back: an operator rolled it back\n" in done, "nobody is left to go back"


def test_removing_a_device_changes_nothing_that_a_rollback_says(
    operator, join, published, commits, moves, rolls_back
) -> None:
    join("a", "b", "c")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    commits(rollout)
    operator.types("rollout", "show", rollout, "--watch")
    rolls_back(rollout)
    moves(rollout, {"a": {"back_phase": "removed"}, "b": {"back_phase": "removed"}})
    assert "2 of 3 devices back" in operator.types("rollout", "show", rollout).stdout
    operator.types("device", "remove", "c")
    done = operator.types("rollout", "show", rollout, "--watch", code=3).stdout
    assert "nothing answers on 2 devices; 1 device removed before it was back" in " ".join(done.split())
    before = says(operator, rollout)
    assert "2 of 3 devices back" in str(before[2])
    operator.types("device", "remove", "a")
    assert says(operator, rollout) == before


def test_a_rollback_counts_apart_what_a_later_rollout_has_taken_over(
    operator, join, published, commits, moves, rolls_back
) -> None:
    join("a", "b", "c")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    commits(rollout)
    operator.types("rollout", "show", rollout, "--watch")
    rolls_back(rollout)
    moves(rollout, {"a": {"back_phase": "removed"}, "b": {"back_phase": "superseded"}})
    assert "1 of 2 devices back, 1 left alone" in operator.types("rollout", "show", rollout).stdout


def test_a_rollback_prints_where_each_way_back_leads_and_why(
    operator, join, published, commits, moves, rolls_back
) -> None:
    join("a", "b", "c", "d")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    commits(rollout)
    operator.types("rollout", "show", rollout, "--watch")
    rolls_back(rollout)
    last = {"back_variant": "e" * 64, "back_manifest": "f" * 64}
    why = "variant 111111111111, which ran before, was rejected in rollout 01"
    moves(
        rollout,
        {
            "a": {**last, "back_phase": "committed"},
            "b": {**last, "back_phase": "trial"},
            "c": {"back_phase": "removed", "back_why": f"{why}, and none has passed on eu/rpi4/lte"},
        },
    )
    shown = " ".join(operator.types("rollout", "show", rollout, columns=200).stdout.split())
    assert "way back 2 of 4 devices back" in shown
    assert "1 of 2 to variant eeeeeeeeeeee" in shown
    assert f"1 of 1 to nothing: not ready: {why}, and none has passed on eu/rpi4/lte" in shown
    assert "0 of 1 to nothing: not ready" in shown
    returns = operator.reads("rollout", "show", rollout)["returns"]
    assert [(r["variant"], r["devices"], r["back"]) for r in returns] == [(None, 1, 0), (None, 1, 1), ("e" * 64, 2, 1)]
    moves(rollout, {"b": {"back_phase": "committed"}, "d": {"back_phase": "removed"}})
    done = " ".join(operator.types("rollout", "show", rollout, "--watch", code=3).stdout.split())
    assert "variant eeeeeeeeeeee answers on 2 devices" in done
    assert f"nothing answers on 1 device: {why}" in done


def test_a_wave_whose_devices_were_all_removed_is_inconclusive_and_the_rollout_waits(
    operator, join, published, moves
) -> None:
    join("a", "b", "c", "d")
    soaking = ("--all", "--waves", "50%,100%", "--gate", "soak_s=3600")
    rollout = operator.reads("rollout", "start", published, *soaking)["id"]
    executions = operator.reads("rollout", "show", rollout, "--devices")["executions"]
    first = [e["device"] for e in executions if e["wave"] == 1]
    moves(rollout, dict.fromkeys(first, COMMITTED))
    for device in first:
        operator.types("device", "remove", device)
    done = " ".join(operator.types("rollout", "show", rollout, "--watch", code=3).stdout.split())
    words = "all 2 devices of this wave were removed, so nothing was judged: abort the rollout, and start another"
    assert f"is paused: wave 1 is inconclusive: {words}" in done
    assert f"wave 1 inconclusive because: {words}" in done
    waves = operator.reads("rollout", "show", rollout)["waves"]
    assert [(w["state"], w["reason"]) for w in waves] == [("inconclusive", words), ("pending", None)]
    operator.types("rollout", "resume", rollout)
    assert words in " ".join(operator.types("rollout", "show", rollout, "--watch", code=3).stdout.split())
    assert operator.reads("rollout", "abort", rollout)["state"] == "cancelled"


def test_a_rollout_where_no_device_has_a_variant_ends_at_once_with_its_own_code_and_says_why(
    operator, service: Service, join, published
) -> None:
    join("a", "b", region="na")
    reasons = {"b" * 64: "takes 90 s on lte, at most 60 s allowed", "d" * 64: "made for avx2, this is neon"}
    choice = ChoiceRecord(model="fashion", version=1, profile="na/rpi4/lte", variant=None, reasons=reasons)
    service.store.fleet.registry.put_variants([], [choice])
    why = "none of 2 variants fits: made for avx2, this is neon; takes 90 s on lte, at most 60 s allowed"
    said = f"nothing to install: 2 without a variant; na/rpi4/lte: {why}"
    planned = operator.types("rollout", "plan", published, *QUICK, columns=300).stdout
    assert f"it would end at once as cancelled: {said}" in " ".join(planned.split())
    assert planned.count(f"nothing: {why}") == 2
    for follow in ((), ("--watch",)):
        shown = operator.types("rollout", "start", published, *QUICK, *follow, code=3, columns=300).stdout
        assert f"is cancelled: {said}" in " ".join(shown.split())
    found = operator.reads("rollout", "start", published, *QUICK, code=3)
    assert (found["state"], found["reason"]) == ("cancelled", said)
    assert [(w["state"], w["counts"]) for w in found["waves"]] == [("skipped", {"no_variant": 2})]
    executions = operator.reads("rollout", "show", found["id"], "--devices")["executions"]
    assert {e["detail"] for e in executions} == {why}
    assert operator.reads("rollout", "list")[0]["state"] == "cancelled"


def test_a_rollout_that_all_devices_run_already_is_completed_at_once(operator, join, published) -> None:
    join("a", runs="b" * 64)
    shown = operator.types("rollout", "start", published, *QUICK).stdout
    assert "is completed: nothing to install: 1 already running it" in " ".join(shown.split())


def test_a_rollout_says_how_many_devices_had_no_variant(operator, join, published, moves) -> None:
    join("a", "b")
    join("y", "z", region="na")
    rollout = operator.reads("rollout", "start", published, *QUICK)["id"]
    moves(rollout, dict.fromkeys("ab", COMMITTED))
    done = " ".join(operator.types("rollout", "show", rollout, "--watch").stdout.split())
    assert "wave 1 passed because: 2 of 2 decided devices committed; not counted: 2 without a variant;" in done
    assert "is completed: every wave passed; not counted: 2 without a variant;" in done
    shown = operator.types("rollout", "show", rollout, "--devices", columns=250).stdout
    assert shown.count("fashion@1 was not compressed for this profile: run `edgefleet compress fashion@1`") == 2
