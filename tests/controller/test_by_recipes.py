"""What is said of builds while they run."""

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_controller.models.by_recipes import _progress
from edgefleet_controller.models.needs import Build


def test_a_build_is_done_when_its_record_is_and_not_with_its_last_step(tmp_path: Path) -> None:
    build = Build(shipped_recipes()["fp32"], "x86-avx2", None)
    told = tmp_path / "0.progress.json"
    told.write_text(json.dumps({"fraction": 1.0, "text": "done"}))
    future: Future[Any] = Future()
    before = _progress([build], [{"progress_path": str(told)}], [future], 1.0)[0]
    assert before["fraction"] < 1 and before["text"].startswith("0 of 1")
    future.set_result({"ok": True})
    after = _progress([build], [{"progress_path": str(told)}], [future], 1.0)[0]
    assert (after["fraction"], after["text"]) == (1.0, "1 of 1")
