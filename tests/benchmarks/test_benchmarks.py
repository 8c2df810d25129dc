"""The benchmarks' frame: names, exit codes, what a result holds, and the page that shows the last ones."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.__main__ import CASES, main
from benchmarks.page import BEGIN, END, PAGE, refresh, table
from benchmarks.processes import Controller
from benchmarks.result import RESULTS, Result, at_least, at_most
from benchmarks.timing import Comparison
from tests.orphans import started_in

NAMES = {path.stem for path in CASES.glob("*.py")} - {"__init__"}
HEAD = '"""A benchmark of this test."""\nfrom benchmarks.result import Result, at_most\n'
MET = HEAD + 'def run(options): return Result([{"us": 1.5, "repeats": [1, 2]}], [at_most("us", 2, 1.5)])\n'
MISSED = HEAD + 'def run(options): return Result([], [at_most("us", 2, 2.5)])\n'
VOID = HEAD + 'def run(options): return Result([], [at_most("us", 2, 1.5)], void="the A/A control is 1.2")\n'
CHOSEN = HEAD + (
    'def add_options(parser): parser.add_argument("--rounds", type=int, default=5)\n'
    'def run(options): return Result([{"rounds": options.rounds}], [])\n'
)


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[Path]:
    """A package of benchmarks."""
    folder = tmp_path / "cases_of_a_test"
    folder.mkdir()
    for name, source in {"__init__": "", "met": MET, "missed": MISSED, "void": VOID, "chosen": CHOSEN}.items():
        (folder / f"{name}.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(tmp_path))
    for module in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[module]


def bench(cases: Path, *arguments: str) -> int:
    return main(list(arguments), cases, cases.name, cases.parent / "results")


def written(cases: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((cases.parent / "results" / f"{name}.json").read_text()))


def test_without_a_name_every_benchmark_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == NAMES >= {"agent", "ingest", "delivery"}
    assert all(len(line.split()) > 3 for line in lines)


def test_a_name_that_is_not_there_is_a_fault_of_usage(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(cases, "mett") == 2
    assert "there are chosen, met, missed, void" in capsys.readouterr().err


def test_a_result_holds_environment_rows_with_repeats_and_bars(cases: Path) -> None:
    assert bench(cases, "met") == 0
    found = written(cases, "met")
    assert {"cpu", "cpu_flags", "cores", "versions", "load", "load_after"} <= found["environment"].keys()
    assert found["rows"] == [{"us": 1.5, "repeats": [1, 2]}]
    assert found["bars"] == [{"id": "us", "target": "at most 2", "measured": 1.5, "ok": True}]


def test_a_bar_that_does_not_hold_is_shown_and_exits_1(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(cases, "missed") == 1
    assert "NOT MET" in capsys.readouterr().out
    assert written(cases, "missed")["bars"][0]["ok"] is False


def test_a_void_run_says_so_and_exits_1(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(cases, "void") == 1
    assert "void: the A/A control is 1.2" in capsys.readouterr().out
    assert written(cases, "void")["void"] == "the A/A control is 1.2"


def test_a_benchmark_takes_its_own_options(cases: Path) -> None:
    assert bench(cases, "chosen", "--rounds", "7") == 0
    assert written(cases, "chosen")["rows"] == [{"rounds": 7}]
    with pytest.raises(SystemExit, match="2"):
        bench(cases, "chosen", "--turns", "7")


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (at_most("a", 2, 2), True),
        (at_most("a", 2, 2.01), False),
        (at_least("a", 0.4, 0.4), True),
        (at_least("a", 0.4, 0.39), False),
        (at_most("a", 2, None), False),
        (at_least("a", 0.4, None), False),
    ],
)
def test_a_bar_holds_up_to_its_limit_and_never_unmeasured(bar, holds: bool) -> None:
    assert bar.ok is holds
    assert Result(bars=[bar]).ok is holds


@pytest.mark.parametrize(("control", "void"), [(1.0, False), (0.98, False), (0.96, True), (1.04, True)])
def test_a_comparison_is_void_when_the_reference_differs_from_itself(control: float, void: bool) -> None:
    found = Comparison([1.5] * 20, [1.0] * 20, [control] * 20)
    assert (found.void is not None) is void


def test_every_benchmark_has_its_section_on_the_page() -> None:
    sections = {line.removeprefix("## ") for line in PAGE.read_text().splitlines() if line.startswith("## ")}
    assert sections >= NAMES


def test_the_table_on_the_page_is_that_of_the_results() -> None:
    shown = PAGE.read_text().partition(f"{BEGIN}\n")[2].partition(END)[0]
    assert shown == table(RESULTS)


def test_a_committed_result_is_small_enough_to_read() -> None:
    sizes = {path.name: path.stat().st_size for path in RESULTS.glob("*.json")}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > 200_000} == {}


def test_a_run_puts_its_result_on_the_page(cases: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    bench(cases, "missed")
    for _ in range(2):
        refresh(page, cases.parent / "results")
    assert page.read_text().startswith("# Before\n") and page.read_text().endswith(f"{END}\n\nAfter.\n")
    assert "| us | at most 2 | 2.5 | not met |" in page.read_text()
    assert "old" not in page.read_text()


def test_a_benchmark_whose_controller_ends_says_its_last_words_and_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "controller" / "fleet.db").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=r"ended:\nedgefleet: .*is not a file"):
        main(["rollout", "--keep", str(tmp_path)], results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.broker
def test_a_controller_that_had_to_be_killed_leaves_no_broker_once_it_is_stopped(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    controller.start()
    controller.kill()
    (broker,) = started_in(controller.state)
    controller.stop()
    controller.api.close()
    broker.wait(10)
