"""Models, variants, profiles, operations, and compressing."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cards import card

from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.readings import ModelReading
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.service import Service
from edgefleet_operator import Client
from edgefleet_operator.cli.golden_sets import golden_sentences
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import SequenceState, StatePair

EXAMPLE = Path(__file__).parents[3] / "examples" / "fashion"


def operation(state: str, **fields: object) -> OperationRecord:
    given = {"id": f"op-{state}", "kind": "compress", "target": "fashion@1", "created_ms": 1, "changed_ms": 2}
    return OperationRecord.model_validate({**given, "state": state, **fields})


@pytest.mark.usefixtures("needs_torch")
def test_a_folder_becomes_a_model_and_a_second_time_changes_nothing(operator) -> None:
    assert "fashion@1 is registered" in operator.types("model", "add", str(EXAMPLE)).stdout
    assert operator.reads("model", "add", str(EXAMPLE)) == operator.reads("model", "list")[0]
    assert operator.reads("model", "list", "--name", "other") == []


def test_without_torch_a_built_in_architecture_is_registered_unchecked_and_the_answer_says_so(
    operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    said = operator.types("model", "add", str(EXAMPLE)).stdout
    assert said.startswith("fashion@1 was not checked: the controller has no torch") and "is registered" in said
    assert "pip install" in operator.reads("model", "add", str(EXAMPLE))["not_checked"]


@pytest.mark.usefixtures("needs_torch")
def test_a_model_that_was_looked_at_says_nothing_of_that(operator) -> None:
    assert operator.reads("model", "add", str(EXAMPLE))["not_checked"] is None


def test_a_folder_without_a_card_is_refused(operator, tmp_path: Path) -> None:
    assert "model.toml" in operator.types("model", "add", str(tmp_path), code=1).stderr


def test_a_file_that_is_no_model_is_refused_before_anything_is_sent(operator, tmp_path: Path) -> None:
    onnx, data = tmp_path / "mine.onnx", tmp_path / "data.npz"
    onnx.write_bytes(b"no model")
    np.savez(data, x=np.zeros((4, 2), np.float32))
    assert operator.types("model", "add", str(onnx), "--data", str(data), code=1).stderr.startswith("edgefleet: ")
    operator.types("model", "add", str(onnx), code=2)
    operator.types("model", "add", str(tmp_path / "nowhere"), code=2)
    operator.types("model", "add", str(EXAMPLE), "--name", "other", code=2)
    assert operator.reads("model", "list") == []


def test_a_model_that_nothing_needs_is_removed(operator, published: str) -> None:
    assert "removed" in operator.types("model", "remove", published).stdout
    assert operator.reads("model", "list") == []
    assert published in operator.types("model", "remove", published, code=1).stderr


def test_a_model_shows_what_each_profile_gets_and_why_not_the_others(operator, published: str) -> None:
    shown = operator.types("model", "show", published).stdout
    assert "eu/rpi4/lte fp32 bbbbbbbbbbbb 90.5 % 91.2 % 0.48 x 0.432 ms 123.5 kB" in " ".join(shown.split())
    assert "fp32 on eu/rpi4/lte: the most accurate" in shown
    assert "not ternary: not measured" in shown
    assert operator.reads("model", "show", published)["choices"][0]["variant"] == "b" * 64


def test_a_model_shows_what_it_keeps_from_step_to_step(operator, service: Service) -> None:
    x, y = Tensor("x", "FP32", (1, 16)), Tensor("y", "FP32", (1, 3))
    state = SequenceState((StatePair("h", "hn"),))
    reading = ModelReading(task="classification", signature=Signature((x,), (y,)), batches=False, scale=1, state=state)
    record = ModelRecord(name="steps", version=1, files={}, card=card(name="steps"), created_ms=0, reading=reading)
    service.store.fleet.registry.put_model(record)
    shown = " ".join(operator.types("model", "show", "steps@1").stdout.split())
    assert "takes x FP32 [1, 16] keeps h what hn gave at the step before answers y FP32 [1, 3]" in shown
    assert operator.reads("model", "show", "steps@1")["state"] == [{"input": "h", "output": "hn"}]


def test_a_state_is_said_when_a_model_is_added(operator) -> None:
    said = operator.types("model", "add", str(EXAMPLE.parent / "spoken")).stdout
    assert "it keeps 'state' from step to step: what 'next_state' gave before" in said


def test_variants_are_listed_with_units_and_a_dash_where_nothing_was_measured(operator, published: str) -> None:
    fp32, ternary = [
        line for line in operator.types("variant", "list").stdout.splitlines() if line.startswith(("bbb", "ddd"))
    ]
    assert "91.2 %" in fp32 and "0.432 ms" in fp32 and "123.5 kB" in fp32
    assert "–" in ternary and "0.000" not in ternary
    assert [v["recipe"] for v in operator.reads("variant", "list", "--recipe", "ternary")] == ["ternary"]


def test_a_variant_is_found_by_the_beginning_of_its_id(operator, published: str) -> None:
    shown = operator.types("variant", "show", "bbbb").stdout
    assert "b" * 64 in shown and "export" in shown and "opset=18" in shown
    assert "0.48 x that of the source model's fp32 file" in shown
    assert operator.reads("variant", "show", "bbbb")["latency_ratio"] == 0.48
    assert "no variant" in operator.types("variant", "show", "abc", code=1).stderr
    assert "a name is empty" in operator.types("variant", "show", "", code=1).stderr


def test_a_beginning_that_fits_two_things_is_refused_with_both(operator, service) -> None:
    service.store.fleet.operations.put(operation("running", id="op-one-b"))
    service.store.fleet.operations.put(operation("failed", id="op-one-a"))
    assert "op-one-a, op-one-b" in operator.types("operation", "show", "op-o", code=1).stderr


def test_a_profile_shows_every_figure_with_unit_and_source(operator) -> None:
    shown = operator.types("profile", "show", "eu/rpi4/lte").stdout
    assert "5,000 kbit/s" in shown and "https://" in shown and "estimated" in shown
    assert "lte" in operator.types("profile", "show", "eu/rpi4/lt", code=1).stderr


def test_profiles_are_filtered_by_their_parts(operator) -> None:
    found = operator.reads("profile", "list", "--region", "eu", "--hardware", "rpi4")
    assert {f["name"].rsplit("/", 1)[0] for f in found} == {"eu/rpi4"}
    assert len(found) > 2


def test_the_check_counts_what_is_cited_and_what_is_estimated(operator, tmp_path: Path) -> None:
    everything = operator.reads("profile", "check")
    estimated = operator.reads("profile", "check", "--only", "estimated")
    assert 0 < len(estimated) < len(everything)
    assert all(figure["source"].startswith("http") for figure in everything if not figure["estimated"])
    last = operator.types("profile", "check").stdout.splitlines()[-1]
    assert last == f"{len(everything)} figures: {len(everything) - len(estimated)} cited, {len(estimated)} estimated"


def test_a_folder_of_own_entries_is_checked_without_a_controller(operator, tmp_path: Path) -> None:
    entry = tmp_path / "own" / "link" / "mast.toml"
    entry.parent.mkdir(parents=True)
    entry.write_text('title = "a mast"\ndown_kbps = 9\n')
    own = ("profile", "check", "--profiles", str(tmp_path / "own"))
    done = operator.types(*own, "--api", "http://127.0.0.1:9", code=1)
    assert "mast" in done.stderr


def test_what_cannot_be_compressed_is_refused(operator, published: str) -> None:
    assert (
        "int3" in operator.types("compress", published, "--profile", "eu/rpi4/lte", "--recipe", "int3", code=1).stderr
    )
    assert "no device" in operator.types("compress", published, code=1).stderr


def test_an_operation_tells_how_it_ended_and_what_was_not_built(operator, service) -> None:
    progress = [{"recipe": "int8", "fraction": 0.5, "text": "calibrating"}]
    result = {"variants": [], "failed": {"ternary": "params before = after"}}
    service.store.fleet.operations.put(operation("succeeded", progress=progress, result=result))
    service.store.fleet.operations.put(operation("failed", error="no variant could be built"))
    shown = operator.types("operation", "show", "op-succeeded", "--watch")
    assert "ternary" in shown.stdout and "params before = after" in shown.stdout
    assert "int8: 50% calibrating" in shown.stderr
    assert "no variant could be built" in operator.types("operation", "show", "op-f", "--watch", code=1).stdout
    assert [o["id"] for o in operator.reads("operation", "list", "--state", "failed")] == ["op-failed"]


def test_waiting_for_an_operation_ends_with_the_time(operator, service) -> None:
    service.store.fleet.operations.put(operation("running"))
    done = operator.types("operation", "show", "op-running", "--watch", "--timeout", "0.2", code=4)
    assert "0.2 s" in done.stderr


def test_compressing_in_the_background_names_the_operation(operator, builds, published: str) -> None:
    builds(operation("running"))
    words = ("compress", published, "--profile", "eu/rpi4/lte", "--recipe", "fp32", "--detach")
    assert operator.reads(*words)["id"] == "op-running"
    assert "operation show op-running --watch" in operator.types(*words).stdout


GOLDEN = "12 of 32 golden samples are used: more would take over 16,384 bytes, a tenth of the encoding or 16 KB"


def test_a_golden_set_that_is_otherwise_than_the_card_asks_is_said(operator, builds, published: str) -> None:
    builds(operation("succeeded", result={"variants": ["d" * 64], "failed": {}}))
    words = ("compress", published, "--profile", "eu/rpi4/lte")
    assert f"ternary: {GOLDEN}" in " ".join(operator.types(*words).stdout.split())
    assert GOLDEN in " ".join(operator.types("variant", "show", "dddd").stdout.split())
    assert operator.reads("variant", "show", "dddd")["golden"]["samples"] == 12
    builds(operation("succeeded", result={"variants": ["b" * 64], "failed": {}}))
    assert "golden" not in operator.types(*words).stdout


def test_variants_of_which_the_same_is_to_be_said_share_a_line(operator, published: str) -> None:
    with Client(operator.url) as client:
        (tiny,) = (v for v in client.variants.all() if v.golden)
    other = tiny.model_copy(update={"recipe": "int8", "instruction_sets": ["arm-neon"]})
    exact = tiny.model_copy(update={"golden": tiny.golden.model_copy(update={"samples": 32})})
    assert golden_sentences([tiny, other, exact]) == [f"ternary, int8 for arm-neon: {GOLDEN}"]


def test_compressing_ends_with_the_choices_and_the_builds_that_were_rejected(operator, builds, published: str) -> None:
    left_out = {"student-w5": "'distill' learns from samples, but this model came without x_train"}
    result = {"variants": [], "failed": {"int8 (arm-neon)": "worse than chance"}, "not_applicable": left_out}
    ended = operation("succeeded", result=result)
    builds(ended)
    words = ("compress", published, "--profile", "eu/rpi4/lte")
    shown = operator.types(*words).stdout
    assert "int8 (arm-neon) was not built: worse than chance" in shown
    assert "student-w5 does not apply: 'distill' learns from samples" in shown
    assert "student-w5 does not apply: 'distill'" in operator.types("operation", "show", ended.id).stdout
    assert "What each profile gets" in shown
    assert operator.reads(*words)["choices"][0]["profile"] == "eu/rpi4/lte"


def test_a_constraint_that_no_build_can_judge_is_said_as_the_model_is_added(operator, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EXAMPLE, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("[[constraints]]", "[[constraints]]\np95_ms = 40", 1))
    said = " ".join(operator.types("model", "add", str(folder)).stdout.split())
    assert "p95_ms 40 on */*/* rejects no variant: latency is measured on the host that builds" in said
    (one,) = [one for one in operator.reads("model", "show", "fashion@1")["unjudged"] if one["limit"] == 40]
    assert (one["constraint"], one["profiles"]) == ("p95_ms", "*/*/*") and "edgefleet telemetry" in one["do"]


def test_constraints_that_would_bind_nobody_are_refused(operator, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EXAMPLE, folder)
    card = folder / "model.toml"
    card.write_text(card.read_text() + '\n[[constraints]]\nprofile = "*/x87-*/*"\nmax_drop = 0.1\n')
    refused = operator.types("model", "add", str(folder), code=1).stderr
    assert "constraints for '*/x87-*/*', which no profile of the catalogue matches" in refused
    assert operator.reads("model", "list") == []


def test_a_profile_says_what_energy_costs_and_emits_there(operator) -> None:
    hour = operator.reads("profile", "show", "eu/rpi4/lte")["core_hour"]
    assert hour["watts"] == pytest.approx(1.25) and hour["g_co2"] == pytest.approx(0.3)
    said = " ".join(operator.types("profile", "show", "eu/rpi4/lte", columns=200).stdout.split())
    assert "a busy core draws 1.25 W beyond idle: 0.000255 USD and 0.3 g CO2 an hour" in said
    assert "storage_mb (description only)" in said


def test_a_variant_says_what_it_costs_and_emits_where_it_was_chosen(operator, published: str) -> None:
    (one,) = operator.reads("variant", "show", "bbbb")["energy_costs"]
    assert (one["profile"], one["usd_per_million"]) == ("eu/rpi4/lte", None)  # its p50 was not measured
    assert "What inferences cost and emit" in operator.types("variant", "show", "bbbb", columns=200).stdout
