"""`edgefleet compress` against a real service: by a recipe of one's own, twice, and by a search."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.plain import PlainClient
from tests.service import api_of, running_service
from typer.testing import CliRunner, Result

from edgefleet_operator.cli import app

PROFILE = ("--profile", "eu/rpi4/lte")
RECIPE = """name = "mine"
title = "the source in six bits"

[[steps]]
step = "export"

[[steps]]
step = "storage_quant"
config = { stem = 7, dense = 6, linear = 6 }
"""
STRICT = RECIPE.replace("mine", "strict").replace('step = "export"', 'step = "export"\nconfig.tolerance = 1e-12')


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[str]:
    with running_service(tmp_path_factory.mktemp("service") / "state") as service, api_of(service) as address:
        with closing(PlainClient(address)) as client:
            client.add_model(tiny_folder)
        yield address


def types(url: str, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, words, env={"EDGEFLEET_API": url})
    assert done.exit_code == code, f"{words} ended with {done.exit_code}:\n{done.output}\n{done.exception!r}"
    return done


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, str]:
    found = {"mine": tmp_path / "mine.toml", "strict": tmp_path / "strict.toml"}
    found["mine"].write_text(RECIPE)
    found["strict"].write_text(STRICT)
    return {name: str(path) for name, path in found.items()}


@pytest.mark.slow
def test_a_second_time_no_step_runs_and_the_command_says_so(url: str, recipes: dict[str, str]) -> None:
    words = ("compress", "tiny@1", *PROFILE, "--recipe", recipes["mine"], "--recipe", "fp32")
    first = types(url, *words)
    assert "2 steps run, 1 from the cache" in first.stdout
    assert "all builds: 100% 2 of 2" in first.stderr
    again = types(url, *words)
    assert "0 steps run, 3 from the cache" in again.stdout


def test_a_build_that_fails_is_left_out_with_its_reason(url: str, recipes: dict[str, str]) -> None:
    done = types(url, "compress", "tiny@1", *PROFILE, "--recipe", recipes["strict"], "--recipe", recipes["mine"])
    assert "strict was not built: export: a logit of the file differs" in " ".join(done.stdout.split())


def test_a_recipe_that_is_wrong_is_refused_here_with_its_line(url: str, recipes: dict[str, str]) -> None:
    Path(recipes["mine"]).write_text(RECIPE.replace("storage_quant", "storage_quantum"))
    for words in (("compress", "tiny@1", *PROFILE, "--recipe", recipes["mine"]), ("recipe", "check", recipes["mine"])):
        said = types(url, *words, code=1).stderr
        assert "mine.toml, line 7 (step 2, 'storage_quantum')" in said and "did you mean 'storage_quant'" in said


def test_a_recipe_is_checked_without_a_controller(recipes: dict[str, str]) -> None:
    shown = types("http://127.0.0.1:9", "recipe", "check", recipes["mine"]).stdout
    assert "storage_quant" in shown and "dense=6" in shown and "quantize" in shown
    assert json.loads(types("http://127.0.0.1:9", "recipe", "check", "w8", "--json").stdout)["name"] == "w8"
    listed = json.loads(types("http://127.0.0.1:9", "recipe", "list", "--json").stdout)
    assert {"w8", "fp32", "student-w5"} <= {recipe["name"] for recipe in listed}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--class", "z80", "--budget", "1"), "no class 'z80'"),
        (("--constraint", "max_dorp=1", "--budget", "1"), "no bound 'max_dorp'"),
        (("--constraint", "max_drop=0.1"), "add --budget"),
        (("--recipe", "w8", "--budget", "1"), "leave out --recipe or --budget"),
    ],
)
def test_what_cannot_be_searched_is_wrong_usage(url: str, words: tuple[str, ...], said: str) -> None:
    assert said in types(url, "compress", "tiny@1", *PROFILE, *words, code=2).stderr


@pytest.mark.slow
def test_a_search_shows_fronts_orders_and_every_reason_and_publishes_what_it_found(url: str, tmp_path: Path) -> None:
    bounds = ("--constraint", "encoding_bytes=1", "--constraint", "max_drop=1")
    classes = ("--class", "x86-vnni", "--class", "arm-neon")
    done = types(url, "compress", "tiny@1", *PROFILE, "--budget", "0.7", *classes, *bounds, "--out", str(tmp_path))
    said = " ".join(done.stdout.split())
    for heading in ("Front of x86-vnni", "Front of arm-neon", "The best of each order, by val", "on eu/rpi4/lte: "):
        assert heading in said
    assert "not int8 on arm-neon: ARM without dotprod may run int8 slower" in said
    assert "constraints on x86-vnni: no point meets everything; nearest: " in said
    assert "encoded, at most 1 bytes allowed" in said
    report = json.loads((tmp_path / "search.json").read_text())
    assert (tmp_path / "front-x86-vnni.svg").read_text().startswith("<?xml")
    on_fronts = {row["recipe"] for front in report["fronts"].values() for row in front}
    published = {v["recipe"] for v in json.loads(types(url, "variant", "list", "--json").stdout)}
    assert on_fronts <= published
    assert "search: " in done.stderr and " left" in done.stderr
