"""What each profile gets and why, in lines that stay few however many profiles there are."""

import re
from collections.abc import Iterator

import pytest

from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.operations import BuildResult
from edgefleet_contract.variants import VariantView
from edgefleet_controller.api.showing import variant_view
from edgefleet_controller.models.needs import choose_for
from edgefleet_controller.records import ChoiceRecord, VariantRecord
from edgefleet_operator.cli.choice_reasons import named, reason_lines
from edgefleet_operator.cli.choices import print_choices
from edgefleet_operator.cli.not_built import not_built_lines
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.profile import Constraints, DeviceProfile

HOST = "a host"


def variant(name: str, right: float, size: int) -> VariantRecord:
    metrics = {
        **{"score_val": right, "score_test": right - 0.01, "drop_val": 0.92 - right, "latency_ratio": 0.48},
        **{"p50_ms": 0.4, "p95_ms": 0.5, "peak_rss_mb": 4.0, "measured_on": HOST},
    }
    common = {"model": "fashion", "version": 1, "instruction_sets": (), "manifest": "a" * 64, "manifest_bytes": 9}
    rest = {"delivery_bytes": {49152: size, 4096: size + 900}, "runtime": {}, "steps": (), "created_ms": 1}
    return VariantRecord(id=name[0] * 64, recipe=name, title="t", metrics=metrics, **common, **rest)


VARIANTS = [variant("fp32", 0.922, 1_400_000), variant("int8", 0.915, 300_000), variant("w5", 0.89, 15_000)]
TABLE = [Constraints(profile="*/*/*", max_drop=0.02), Constraints(profile="*/*/nb-2g", max_drop=0.05, transfer_s=15)]


@pytest.fixture
def shown() -> list[VariantView]:
    return [variant_view(one) for one in VARIANTS]


def profiles(count: int) -> list[DeviceProfile]:
    known = load_catalogue()
    every = [f"{r}/{h}/{k}" for h in known.hardware for k in known.link for r in known.region]
    return [known.profile(name) for name in every[:: len(every) // count][:count]]


def chosen(count: int) -> list[ChoiceView]:
    records: Iterator[ChoiceRecord] = (choose_for(p, TABLE, 0.92, VARIANTS) for p in profiles(count))
    return [ChoiceView(profile=r.profile, variant=r.variant, reasons=r.reasons) for r in records]


def test_forty_profiles_have_few_reasons_and_each_profile_is_counted_once_for_each_variant(
    shown: list[VariantView],
) -> None:
    choices = chosen(40)
    lines = list(reason_lines(choices, shown))
    assert len(lines) == 8  # where one for each profile and variant would be 120
    for one in VARIANTS:
        mine = [line.strip() for line in lines if re.match(rf"(not )?{one.recipe}( on |:)", line.strip())]
        assert sum(_profiles_of(line) for line in mine) == 40, mine


def _profiles_of(line: str) -> int:
    where = line.split(": ")[0].partition(" on ")[2]
    more = re.search(r" and (\d+) more$", where)
    return len(where.split(", ")) + (int(more[1]) if more else 0) if where else 40


def test_reasons_that_differ_in_figures_alone_are_one_and_say_whose_figures_those_are() -> None:
    given = [(f"eu/b{n}/lte", f"takes {n}.5 s on lte, at most 1 s allowed") for n in range(9)]
    choices = [ChoiceView(profile=p, variant=None, reasons={"f" * 64: reason}) for p, reason in given]
    none, against = reason_lines(choices, [variant_view(VARIANTS[0])])
    assert none == "nothing on eu/b0/lte, eu/b1/lte, eu/b2/lte and 6 more: no variant meets its constraints"
    assert against == "    not fp32: takes 0.5 s on lte, at most 1 s allowed (figures of eu/b0/lte)"


def test_of_many_reasons_against_a_variant_the_rarest_are_counted_together(shown: list[VariantView]) -> None:
    reasons = ["one", "one", "two", "two", "three", "three", "four", "five"]
    choices = [
        ChoiceView(profile=f"eu/b{n}/lte", variant="f" * 64, reasons={"f" * 64: "good", "i" * 64: reason})
        for n, reason in enumerate(reasons)
    ]
    *_, third, rest = reason_lines(choices, shown)
    assert third == "    not int8 on eu/b4/lte, eu/b5/lte: three"
    assert rest.startswith("    not int8 on eu/b6/lte, eu/b7/lte: other reasons, see")
    assert "--explain PROFILE" in rest


def test_one_profile_has_each_reason_in_full(shown: list[VariantView]) -> None:
    (choice,) = chosen(1)
    lines = list(reason_lines([choice], shown))
    assert len(lines) == len(VARIANTS) and lines[0].startswith(f"fp32 on {choice.profile}: most accurate")
    assert lines[2] == f"    not w5: {choice.reasons['w' * 64]}"
    assert "points below the source model" in lines[2]


def test_val_decides_and_test_is_reported_each_in_a_column_of_its_own(
    shown: list[VariantView], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_choices(chosen(1), shown)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    head = next(line for line in lines if line.startswith("profile"))
    assert head == "profile gets variant accuracy val test CPU p95 delivery"
    assert lines[3].endswith("fp32 ffffffffffff 92.2 % 91.2 % 0.48 x 0.500 ms 1.4 MB")
    assert lines[4].startswith("chosen by val, test is only reported") and HOST in lines[4]


def test_choices_that_never_saw_a_newer_variant_are_named_with_it(
    shown: list[VariantView], capsys: pytest.CaptureFixture[str]
) -> None:
    fresh, *older = chosen(6)
    stale = [choice.model_copy(update={"not_considered": ["w" * 64]}) for choice in older]
    print_choices([fresh, *stale], shown)
    last = " ".join(capsys.readouterr().out.split()).partition("chosen earlier")[2]
    assert last.startswith(f", without a look at w5: {named([c.profile for c in older])}; to choose again")
    assert "and 2 more" in last and fresh.profile not in last


def test_recipes_that_gave_nothing_are_told_once_for_each_reason() -> None:
    no = "ARM without dotprod may run int8 slower"
    result = BuildResult(
        variants=[],
        failed={"a": "params before = after", "b": "params before = after"},
        not_applicable={"int8 (arm-neon)": no, "qat (arm-neon)": no, "student": "it came without x_train"},
    )
    assert list(not_built_lines(result)) == [
        "a, b were not built: params before = after",
        f"int8 (arm-neon), qat (arm-neon) do not apply: {no}",
        "student does not apply: it came without x_train",
    ]
