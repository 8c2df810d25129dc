"""A step from outside is used like one of ours: by recipes, builds, searches and lineages."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compression.plugins import SHORT_FLOATS, minimal, pip_install, unpack, wheel, wheel_of
from tests.parting import mostly_slow

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.lineage import differences
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, ModelFiles, WorkRefused
from edgefleet_compression.builds.reproduction import depends_on
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.registry import registry
from edgefleet_compression.search.points import order_of
from edgefleet_compression.search.space import SOURCE, default_space, recipe
from edgefleet_compression.search_roles import EXPORT, StepSpec, step
from edgefleet_contract.operations import Change

PLUGIN = ("edgefleet-short-floats", "1.0")
RECIPE = """
name = "short"
title = "weights of six mantissa bits"
[[steps]]
step = "export"
[[steps]]
step = "short_floats"
config = { bits = 6 }
"""
STEPS = (EXPORT, step("short_floats", bits=6))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the plug-in."""
    folder = tmp_path_factory.mktemp("plugin")
    pip_install(wheel_of(SHORT_FLOATS, folder), folder / "site")
    return folder / "site"


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plug-in, installed for this process and the workers that it spawns."""
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    workers = WorkerPool(1)
    yield workers
    workers.shutdown(cancel_futures=True)


def request_for(files: ModelFiles, folder: Path, *steps: StepSpec) -> BuildRequest:
    return BuildRequest(
        files=files,
        recipe=Recipe(name="short", title="t", steps=steps),
        instruction_set="x86-avx2",
        cache_dir=folder / "cache",
        work_dir=folder / "work",
    )


def test_recipe_check_accepts_what_an_installed_plugin_brings(site: Path, tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text(RECIPE)

    def checked(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("edgefleet"), "recipe", "check", tmp_path / "short.toml", "--json"]
        return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)

    done = checked(PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["order"] == "round" and told["steps"][1] == {"step": "short_floats", "config": {"bits": 6}}
    without = checked()
    assert without.returncode == 1 and "there is no step 'short_floats'" in without.stderr


def test_a_spawned_worker_runs_it_and_the_lineage_names_it(
    here: None, pool: WorkerPool, tiny_files: ModelFiles, tmp_path: Path
) -> None:
    outcome = pool.submit(build_variant, request_for(tiny_files, tmp_path, *STEPS)).result()
    plain = build_variant(request_for(tiny_files, tmp_path, EXPORT))
    assert isinstance(outcome, BuildOutcome) and isinstance(plain, BuildOutcome), outcome
    assert [report.step for report in outcome.steps] == ["export", "short_floats"]
    assert outcome.steps[1].log["weights"] > 5
    assert (outcome.metrics.encoding_bytes or 0) < 0.8 * (plain.metrics.encoding_bytes or 0)
    lineage, without = outcome.lineage, plain.lineage
    assert PLUGIN in lineage.libraries.items() and PLUGIN[0] not in without.libraries
    assert differences(lineage, without) == {PLUGIN[0]: Change(then="1.0", now="none")}
    assert PLUGIN[0] in depends_on("short_floats") and PLUGIN[0] not in depends_on("export")


@pytest.mark.slow
def test_another_version_of_it_is_another_key_and_its_step_runs_again(
    here: None, tiny_files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached() -> list[bool]:
        registry.cache_clear()
        outcome = build_variant(request_for(tiny_files, tmp_path, *STEPS))
        assert isinstance(outcome, BuildOutcome), outcome
        return [report.cached for report in outcome.steps]

    assert cached() == [False, False]
    assert cached() == [True, True]
    newer = tmp_path / "newer"
    unpack(wheel(tmp_path, PLUGIN[0], "1.1", {"short_floats": "short_floats"}, {}), newer)
    monkeypatch.syspath_prepend(newer)
    assert cached() == [True, False]


def test_a_search_tries_what_it_declares(here: None) -> None:
    (tail,) = [tail for tail in default_space().tails if tail.name == "short8"]
    assert order_of(recipe(SOURCE, tail)) == "round"


BODIES = [
    ("1 / 0", "step 'odd' of plug-in edgefleet-odd 1.0 failed (ZeroDivisionError: division by zero)"),
    ("return None", "step 'odd' of plug-in edgefleet-odd 1.0 failed (AttributeError"),
    (
        "from edgefleet_compression.step import StepResult; return StepResult(state, {})",
        "step 'odd' of plug-in edgefleet-odd 1.0 left the model as it was",
    ),
    (
        "from edgefleet_compression.step import StepResult; return StepResult(context.source.state, {})",
        "step 'odd' of plug-in edgefleet-odd 1.0 returned another kind of state than it declares",
    ),
]


@pytest.mark.parametrize(("body", "reason"), mostly_slow(BODIES, one_in=2))
def test_one_that_fails_is_named_as_what_failed(
    body: str,
    reason: str,
    tiny_files: ModelFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpack(wheel(tmp_path, "edgefleet-odd", "1.0", {"odd": "odd"}, {"odd": minimal("odd", body)}), tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    importlib.invalidate_caches()
    registry.cache_clear()
    try:
        outcome = build_variant(request_for(tiny_files, tmp_path, EXPORT, step("odd")))
    finally:
        registry.cache_clear()
    assert isinstance(outcome, WorkRefused) and reason in outcome.sentence
