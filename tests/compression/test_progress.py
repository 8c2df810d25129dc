"""A reader of the progress file sees a whole value, soon after it changed, and never a flood of writes."""

import json
from pathlib import Path

from edgefleet_compression.builds.progress import FROM_CACHE, ProgressFile, read_progress


def test_the_fraction_is_of_the_whole_build_weighted_by_step(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    progress = ProgressFile(path, "r", [6.0, 1.0, 1.0])
    progress.at(0, "finetune", 0.5, "epoch 2 of 4")
    assert json.loads(path.read_text()) == {
        "recipe": "r", "step": "finetune", "step_index": 0, "steps": 3, "fraction": 0.375, "cached": 0.0,
        "text": "epoch 2 of 4",
    }  # fmt: skip
    progress.at(2, "measure", 1.0, "done")
    assert json.loads(path.read_text())["fraction"] == 1.0


def test_writes_within_a_tenth_of_a_second_are_left_out_but_a_new_step_never(tmp_path: Path) -> None:
    path, clock = tmp_path / "p.json", [0.0]
    progress = ProgressFile(path, "r", [1.0, 1.0], now=lambda: clock[0])
    texts = []
    for now, index, share in [(0.0, 0, 0.1), (0.05, 0, 0.2), (0.2, 0, 0.3), (0.21, 0, 1.0), (0.22, 1, 0.0)]:
        clock[0] = now
        progress.at(index, "s", share, f"{index} {share}")
        texts.append(json.loads(path.read_text())["text"])
    assert texts == ["0 0.1", "0 0.1", "0 0.3", "0 1.0", "1 0.0"]


def test_without_a_path_nothing_is_written() -> None:
    ProgressFile(None, "r", [1.0]).at(0, "s", 0.0, "t")


def test_what_came_from_the_cache_is_told_apart_from_what_ran(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    progress = ProgressFile(path, "r", [6.0, 1.0, 1.0])
    progress.at(0, "finetune", 1.0, FROM_CACHE)
    progress.at(1, "export", 1.0, "done")
    told = json.loads(path.read_text())
    assert (told["fraction"], told["cached"]) == (0.875, 0.75)


def test_a_file_that_is_missing_or_of_another_kind_says_nothing(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "p.json") is None
    for text in ("", "{", "[]", '{"recipe": "r", "fraction": "most"}'):
        (tmp_path / "p.json").write_text(text)
        assert read_progress(tmp_path / "p.json") is None, text


def test_a_file_of_an_older_version_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"recipe": "r", "fraction": 0.5, "text": "epoch 1 of 2", "worker": 3}')
    found = read_progress(tmp_path / "p.json")
    assert found is not None and (found.fraction, found.text, found.cached) == (0.5, "epoch 1 of 2", None)
