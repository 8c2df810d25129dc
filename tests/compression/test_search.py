"""A search over recipes: what it tries next, what it keeps, and why each other point is out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.outcomes import outcome, step

from edgefleet_compression.errors import SearchError
from edgefleet_compression.models.ways import training_ways
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search import rounds, space
from edgefleet_compression.search.bounds import Bounds, judge
from edgefleet_compression.search.pareto import beaten_by, front, smallest
from edgefleet_compression.search.points import Point, order_of
from edgefleet_compression.search.quick_trials import Trial, key_of, promising, steps_of
from edgefleet_compression.search.rounds import Means
from edgefleet_compression.search.storage_settings import (
    ENUMERATED,
    Scores,
    SettingsMenu,
    StorageSetting,
    explore,
    menu_for,
)
from edgefleet_compression.search.targets import SearchTarget, targets_of
from edgefleet_compression.search_roles import EXPORT, Trunk
from edgefleet_compression.search_roles import step as use
from edgefleet_compression.steps.distill import student_trunk
from edgefleet_compression.steps.prune_structured import pruned_trunk
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.catalogue import load_catalogue

MINUTES = 60.0
SPACE = space.default_space()


def recipe(name: str, *steps: str) -> Recipe:
    return Recipe(name=name, title=name, steps=tuple(use(s) for s in (*steps, "export")))


def point(name: str, accuracy: float, latency: float, size: int, rejected: str | None = None) -> Point:
    metrics = Metrics(score_val=accuracy, latency_ratio=latency, encoding_bytes=size)
    return Point(recipe(name), "x86-vnni", metrics, rejected)


def names(points: list[Point]) -> set[str]:
    return {p.recipe.name for p in points}


def test_a_front_keeps_what_nothing_beats_in_everything() -> None:
    points = [point("exact", 0.93, 1.0, 900), point("small", 0.91, 0.2, 20), point("poor", 0.90, 0.9, 800)]
    assert names(front(points)) == {"exact", "small"}
    beaten = beaten_by(points[2], front(points))
    assert beaten is not None and beaten.recipe.name == "small"


def test_a_latency_within_the_noise_beats_nobody() -> None:
    assert names(front([point("one", 0.93, 0.92, 900), point("other", 0.93, 1.0, 900)])) == {"one", "other"}


def test_rejected_points_and_points_without_figures_are_on_no_front() -> None:
    points = [point("stopped", 0.99, 0.1, 1, "stopped early"), Point(recipe("failed"), "x86-vnni", rejected="failed")]
    assert front([*points, point("kept", 0.9, 1.0, 900)]) == [point("kept", 0.9, 1.0, 900)]


def test_the_smallest_are_told_by_answers_and_bytes_in_whatever_order_they_came_and_however_long_they_took() -> None:
    points = [
        *(point("exact", 0.93, 1.0, 900), point("small", 0.91, 0.2, 20), point("level", 0.91, 0.1, 30)),
        *(point("fast", 0.90, 0.01, 25), point("twin", 0.91, 0.1, 20), point("stopped", 0.95, 0.1, 1, "stopped early")),
    ]
    assert [p.recipe.name for p in smallest(points)] == ["exact", "small"]
    assert smallest(points[::-1]) == smallest(points)
    assert smallest([Point(recipe("failed"), "x86-vnni", rejected="failed")]) == []


def test_a_file_made_for_other_processors_is_not_rejected_by_what_it_takes_on_this_one() -> None:
    slow = Metrics(score_val=0.9, latency_ratio=1.7, encoding_bytes=900, instruction_set="x86-avx2")
    int8 = Recipe(name="int8", title="", steps=(EXPORT, use("static_int8")))
    elsewhere = Point(int8, "arm-dotprod", slow)
    better = replace(point("w8", 0.92, 1.0, 800), instruction_set="arm-dotprod")
    assert names(front([elsewhere, better])) == {"int8", "w8"}
    assert names(front([replace(elsewhere, instruction_set="x86-avx2"), better])) == {"w8"}


@pytest.mark.parametrize(
    ("steps", "order"),
    [
        ((), "none"),
        (("distill", "qat_weights", "tune_norms"), "distill > qat"),
        (("prune_structured", "prune_unstructured", "finetune"), "prune > finetune"),
    ],
)
def test_an_order_names_each_technique_where_it_was_applied(steps: tuple[str, ...], order: str) -> None:
    assert order_of(recipe("r", *steps)) == order


def test_the_default_space_has_many_orders_and_no_recipe_twice() -> None:
    trunks = [space.trained_for(t, 4) for t in SPACE.networks]
    tails = [*SPACE.tails, *(space.low_bits(name, 3, 1) for name, _ in SPACE.low_bits)]
    recipes = [
        space.recipe(t, tail)
        for t in (space.SOURCE, *trunks)
        for tail in tails
        if t.epochs or not space.trainings(tail)
    ]
    assert len({r.name for r in recipes}) == len({r.digest for r in recipes}) == len(recipes)
    assert len({order_of(r) for r in recipes}) >= 6


def scouted(*shares: tuple[str, float, int, float]) -> list[tuple[Trunk, Point]]:
    """Networks of the space, with their share of right answers, bytes and latency."""
    known = {t.name: t for t in SPACE.networks}
    return [(known[name], point(name, share, latency, size)) for name, share, size, latency in shares]


SMALL, WIDE, SHALLOW = ("ds24x2", 0.85, 20, 0.16), ("ds48x2", 0.87, 60, 0.29), ("ds24x1", 0.86, 30, 0.13)


def test_a_student_that_is_a_little_larger_and_much_faster_is_the_leanest() -> None:
    found = scouted(("ds16x2", 0.70, 10, 0.11), WIDE, SMALL, ("ds24x1", 0.86, 23, 0.13))
    assert [t.name for t in rounds.worth_training(found)] == ["ds24x1", "ds48x2", "ds24x2"]


def test_of_students_the_leanest_that_keeps_up_the_best_and_the_fastest_are_worth_training() -> None:
    found = scouted(("ds16x2", 0.70, 10, 0.11), SHALLOW, WIDE, SMALL)
    assert [t.name for t in rounds.worth_training(found)] == ["ds24x2", "ds48x2", "ds24x1"]


def test_where_hardly_anything_is_wrong_a_small_student_keeps_up_that_errs_twice_as_often() -> None:
    found = scouted(("ds16x2", 0.992, 10, 0.11), ("ds48x2", 0.996, 60, 0.29))
    assert [t.name for t in rounds.worth_training(found)] == ["ds16x2", "ds48x2"]


def test_what_is_faster_by_noise_alone_is_not_called_the_fastest() -> None:
    found = scouted(("pruned50", 0.92, 100, 0.3), SMALL, WIDE, ("ds24x1", 0.86, 30, 0.155))
    assert [t.name for t in rounds.worth_training(found)] == ["ds24x2", "ds48x2", "pruned50", "ds24x1"]


def test_a_pruned_source_is_held_against_its_own_kind_and_comes_after_the_students_that_lead() -> None:
    found = scouted(("pruned50", 0.92, 100, 0.3), SHALLOW, WIDE, SMALL)
    assert [t.name for t in rounds.worth_training(found)] == ["ds24x2", "ds48x2", "ds24x1", "pruned50"]
    assert [t.name for t in rounds.worth_training(found[:1])] == ["pruned50"]


DS24X2, DS48X2, DS24X1 = student_trunk(24, 2), student_trunk(48, 2), student_trunk(24, 1)
CHOSEN = [DS24X2, DS48X2, pruned_trunk(0.5)]
PACE = {"ds24x2": 23.0, "ds48x2": 27.0, "ds24x1": 20.0, "pruned50": 60.0}


def test_what_an_epoch_takes_is_told_by_the_epochs_of_a_scout_and_not_by_what_is_around_them() -> None:
    steps = (step("export", took_s=5.0), step("distill", losses=[1.0, 0.5], epoch_s=3.0, took_s=20.0))
    scout = replace(point("ds24x2", 0.8, 0.2, 20), built=outcome(steps=steps))
    assert rounds.epoch_seconds(scout, 2 * rounds.SCOUT_SAMPLES) == 6.0
    assert rounds.epoch_seconds(scout, 100) == 3.0
    assert rounds.epoch_seconds(scout, 0) == 0.0


def test_few_bits_are_trained_where_a_network_is_small_and_the_fewest_where_it_is_wide() -> None:
    planned = rounds.plan([DS24X2, DS48X2, DS24X1], PACE, Means(2, 45 * MINUTES), 5, SPACE.low_bits)
    trained = {p.trunk.name: [tail.name.partition("-")[0] for tail in p.low_bits] for p in planned}
    assert trained == {"ds24x2": ["q4", "q3"], "ds48x2": ["ternary", "binary"], "ds24x1": ["q4", "q3"]}


def test_a_long_budget_trains_three_networks_for_many_epochs_within_its_share() -> None:
    means = Means(workers=2, budget_s=45 * MINUTES)
    planned = rounds.plan(CHOSEN, PACE, means, 5, SPACE.low_bits)
    epochs = {p.trunk.name: p.trunk.epochs for p in planned}
    assert list(epochs) == ["ds24x2", "ds48x2", "pruned50"]
    assert epochs["ds24x2"] >= rounds.ENOUGH_EPOCHS and epochs["pruned50"] < epochs["ds24x2"] / 2
    spent_s = sum(PACE[name] * count for name, count in epochs.items()) / means.workers
    assert 0.8 < spent_s / (rounds.WHOLE_SHARE * means.budget_s) <= 1
    for p in planned:
        assert {s.config["epochs"] for s in p.trunk.steps if registry().named(s.step).step.trains} == {p.trunk.epochs}


def test_a_shorter_budget_trains_no_more_networks_than_there_are_workers() -> None:
    for workers in (1, 2):
        planned = rounds.plan(CHOSEN, PACE, Means(workers, 15 * MINUTES), 5, SPACE.low_bits)
        assert len(planned) == workers
        assert min(p.trunk.epochs for p in planned) >= rounds.LEAST_EPOCHS


def test_a_small_train_split_is_gone_through_as_often_as_it_takes_to_see_as_much() -> None:
    assert [rounds.repeats(samples) for samples in (0, 500, 2000, 9000, 55_000)] == [16, 16, 8, 1, 1]
    assert {t.epochs for t in rounds.scouts(SPACE.networks, 2000)} == {8 * rounds.SCOUT_EPOCHS}
    means, quick = Means(2, 45 * MINUTES), {name: seconds / 8 for name, seconds in PACE.items()}
    once = rounds.plan(CHOSEN, PACE, means, 5, SPACE.low_bits)
    often = rounds.plan(CHOSEN, quick, means, 5, SPACE.low_bits, each=8)
    assert [p.trunk.epochs for p in often] == [8 * p.trunk.epochs for p in once]
    assert [t.name for t in often[0].low_bits] != [t.name for t in once[0].low_bits]


def test_low_bits_keep_to_their_time_and_to_the_number_of_trainings() -> None:
    for minutes, trained in ((45, 5), (45, 14), (10, 5), (1, 5)):
        means = Means(2, minutes * MINUTES)
        planned = rounds.plan(CHOSEN, PACE, means, trained, SPACE.low_bits)
        tails = [(PACE[p.trunk.name], tail) for p in planned for tail in p.low_bits]
        assert trained + len(planned) + sum(space.trainings(tail) for _, tail in tails) <= rounds.MOST_TRAININGS
        low_s = sum(s * sum(x.config["epochs"] for x in t.steps if "epochs" in x.config) for s, t in tails) / 2
        assert low_s <= rounds.LOW_SHARE * means.budget_s
    assert not tails, "a minute trains nothing to few bits"


def test_the_plan_follows_from_the_budget_and_the_scouts_alone() -> None:
    means = Means(2, 45 * MINUTES)
    assert rounds.plan(CHOSEN, PACE, means, 5, SPACE.low_bits) == rounds.plan(CHOSEN, PACE, means, 5, SPACE.low_bits)
    assert rounds.plan(CHOSEN, {}, means, 5, SPACE.low_bits) == []


def test_scouts_see_a_bounded_number_of_samples_and_stop_with_their_share_of_the_time() -> None:
    assert {
        s.config["samples"] for t in rounds.scouts(SPACE.networks, 55_000) for s in t.steps if "samples" in s.config
    } == {16384}
    assert {
        s.config["samples"] for t in rounds.scouts(SPACE.networks, 900) for s in t.steps if "samples" in s.config
    } == {900}
    assert rounds.may_scout_on([], Means(2, 1)) and rounds.may_scout_on([10.0, 12.0], Means(2, 10 * MINUTES))
    assert not rounds.may_scout_on([40.0, 50.0], Means(2, 10 * MINUTES)), "two more would go beyond the share"
    assert not rounds.may_scout_on([100.0, 120.0], Means(2, 10 * MINUTES))


def counted(
    seen: list[StorageSetting], score: Callable[[StorageSetting], Scores]
) -> Callable[[StorageSetting], Scores]:
    def scored(setting: StorageSetting) -> Scores:
        seen.append(dict(setting))
        return score(setting)

    return scored


def test_a_small_menu_is_tried_whole() -> None:
    seen: list[StorageSetting] = []
    menu = menu_for({"linear"})
    assert menu.size <= ENUMERATED
    explore(menu, 64, 0, counted(seen, lambda setting: (0.0, 0.0)))
    assert len(seen) == len({str(s) for s in seen}) == menu.size


def test_a_large_menu_is_sampled_alike_for_one_seed_and_learns_from_what_it_saw() -> None:
    menu = menu_for({"stem", "depthwise", "pointwise", "linear"})
    assert menu.size > 1000

    def score(setting: StorageSetting) -> Scores:
        return setting["pointwise"], abs(setting["depthwise"] - 5)

    runs = []
    for seed in (3, 3, 4):
        seen: list[StorageSetting] = []
        explore(menu, 60, seed, counted(seen, score))
        runs.append(seen)
    assert runs[0] == runs[1] != runs[2] and len(runs[0]) == 60
    early, late = (sum(s["pointwise"] for s in part) for part in (runs[0][:20], runs[0][-20:]))
    assert late < early


def test_exploring_ends_when_the_time_does() -> None:
    explore(SettingsMenu({"bits": (3.0, 4.0)}), 64, 0, lambda setting: None)
    explore(menu_for({"stem", "dense", "linear"}), 64, 0, lambda setting: None)


def test_a_cheap_look_keeps_what_nothing_beats_and_says_why_the_others_are_out() -> None:
    trials = [
        Trial({"linear": 8}, 900, 40.0, 1.0),
        Trial({"linear": 6}, 700, 30.0, 1.0),
        Trial({"linear": 5}, 750, 20.0, 1.0),
        Trial({"linear": 3}, 300, 5.0, 0.7),
    ]
    kept, reasons = promising(trials)
    assert kept == trials[:2]
    assert "another of 750 bytes or fewer is nearer" in reasons[2]
    assert "stopped early: 70% agreement with fp32 on 64 samples, 5.0 dB" in reasons[3]


def test_of_many_promising_settings_a_spread_is_measured() -> None:
    trials = [Trial({"linear": n}, 100 * n, 10.0 * n, 1.0) for n in range(1, 9)]
    kept, reasons = promising(trials, most=3)
    assert [t.encoding_bytes for t in kept] == [100, 500, 800]
    assert len(kept) + len(reasons) == len(trials)


def test_settings_that_have_no_effect_do_not_tell_trials_apart() -> None:
    assert key_of({"mean_bits": 4, "linear": 5, "sparsity": 0}) == key_of({"mean_bits": 4, "linear": 8, "sparsity": 0})
    assert key_of({"mean_bits": 0, "linear": 5}) != key_of({"mean_bits": 0, "linear": 8})
    assert [s.step for s in steps_of({"linear": 5, "sparsity": 0.5})] == ["prune_unstructured", "storage_quant"]


def lossy(name: str, drop: float, latency: float, size: int) -> Point:
    made = point(name, 0.92 - drop, latency, size)
    assert made.metrics is not None
    known = {"drop_val": drop, "drop_val_ci": (drop - 0.00196, drop + 0.00196)}
    return replace(made, metrics=made.metrics.model_copy(update=known))


def test_what_meets_everything_does_so_with_a_standard_error_to_spare() -> None:
    points = [lossy("near", 0.0095, 0.2, 900), lossy("safe", 0.0085, 0.2, 900)]
    verdict = judge(points, Bounds(max_drop=0.01))
    assert names(verdict.feasible) == {"safe"} and verdict.nearest == []


def test_constraints_that_nothing_meets_are_answered_with_the_nearest_and_what_it_breaks() -> None:
    points = [lossy("exact", 0.0, 1.0, 9000), lossy("small", 0.02, 0.2, 1100), lossy("tiny", 0.09, 0.1, 100)]
    verdict = judge(points, Bounds(max_drop=0.015, encoding_bytes=1000))
    assert verdict.feasible == []
    assert [p.recipe.name for p, _ in verdict.nearest] == ["small", "tiny", "exact"]
    broken = {m.constraint: m.sentence for m in verdict.nearest[0][1]}
    assert broken == {
        "max_drop": "2.10 points lost on val with a standard error, at most 1.50 points allowed",
        "encoding_bytes": "1,100 bytes encoded, at most 1,000 bytes allowed",
    }
    assert verdict.sentence.startswith("no point meets everything; nearest: small: 2.10 points lost")


def test_a_figure_that_was_not_measured_meets_nothing() -> None:
    verdict = judge([point("blind", 0.9, 0.2, 900)], Bounds(peak_rss_mb=100))
    assert "peak_rss_mb was not measured" in verdict.sentence
    assert judge([], Bounds(peak_rss_mb=100)).sentence == "nothing was measured"


def test_classes_follow_from_profiles_and_the_slowest_hardware_stands_for_each() -> None:
    catalogue = load_catalogue()
    targets = {t.instruction_set: t for t in targets_of(catalogue.board_profiles())}
    assert set(targets) == {"arm-dotprod", "arm-neon", "x86-avx2", "x86-vnni"}
    for target in targets.values():
        same = [
            p.hardware for p in catalogue.board_profiles() if p.device_class.instruction_set == target.instruction_set
        ]
        assert target.hardware is not None
        assert target.hardware.latency_factor == max(hardware.latency_factor for hardware in same)


def test_latency_is_measured_on_this_hosts_class_and_predicted_elsewhere() -> None:
    metrics = Metrics(p50_ms=2.0, instruction_set="x86-avx2")
    board = load_catalogue().hardware["rpi4"]
    assert SearchTarget("x86-avx2", board).latency_ms(metrics) == (2.0, "measured")
    assert SearchTarget("arm-neon", board).latency_ms(metrics) == (2.0 * board.latency_factor, "predicted")
    energy, origin = SearchTarget("arm-neon", board).energy_mj(metrics)
    assert origin == "modelled" and energy is not None and energy > 0
    assert SearchTarget("arm-neon").latency_ms(metrics) == (None, "predicted")


def figures(point: Point) -> dict[str, Any]:
    assert point.metrics is not None
    return point.metrics.model_dump()


def test_the_library_refuses_a_search_for_nothing(tmp_path: Path, tiny_folder: Path) -> None:
    from edgefleet_compression.search.search import search_folder

    with pytest.raises(SearchError, match="needs a device class"):
        search_folder(tiny_folder, tmp_path, targets=(), budget_s=10)


def test_a_search_names_the_networks_that_it_leaves_out_and_why() -> None:
    whole = space.default_space()
    said = space.left_out(whole, "brought", train=False)
    assert said.keys() == {trunk.name for trunk in whole.networks}
    assert said["ds24x2"] == "'distill' learns from samples, but this model came without x_train"
    assert said["pruned50"] == "'prune_structured' needs a torch module, but this model came as ONNX"
    assert space.left_out(whole, "torch", train=True) == {}
    said = space.left_out(whole, "brought", train=True, ways=training_ways("detection", 1))
    assert said["ds24x2"] == "a student learns to tell classes apart, and the model's task is detection"
