"""The wheel that `scripts/build` makes is all of our code and data, and a controller and an agent run from it."""

import contextlib
import json
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.environments import bare_environment, environment_with
from tests.plain import PlainClient

from edgefleet_agent.facts import DEVICE_TREE
from edgefleet_operator.errors import ApiError

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("[!.]*/edgefleet_*/__init__.py"))


@pytest.fixture(scope="session")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment in which edgefleet is the wheel's."""
    return environment_with(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_wheel_holds_every_file_of_our_packages_and_no_other(wheel: Path) -> None:
    ours = {
        str(file.relative_to(package.parent))
        for package in PACKAGES
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == ours, "a package that is new belongs into [tool.hatch.build.targets.wheel] of pyproject.toml"


def test_every_package_of_the_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    packages = {name.removesuffix("/__init__.py") for name in held if re.fullmatch(r"[^/]+/__init__\.py", name)}
    assert packages == {package.name for package in PACKAGES}
    assert {package for package in packages if f"{package}/py.typed" not in held} == set()


def test_the_wheel_comes_with_an_sdist_of_its_version(wheel: Path) -> None:
    name, version = wheel.name.split("-")[:2]
    assert (wheel.parent / f"{name}-{version}.tar.gz").is_file()


def test_every_package_is_imported_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    names = [package.name for package in PACKAGES]
    code = f"import importlib, json; print(json.dumps([importlib.import_module(n).__file__ for n in {names}]))"
    found = json.loads(said(programs / "python", "-c", code, folder=tmp_path))
    assert found and all(Path(file).is_relative_to(programs.parent) for file in found), found


def test_the_shipped_recipes_come_along(programs: Path, tmp_path: Path) -> None:
    listed = json.loads(said(programs / "edgefleet", "recipe", "list", "--json", folder=tmp_path))
    shipped = {file.stem for file in ROOT.glob("compression/*/recipes/shipped/*.toml")}
    assert {recipe["name"] for recipe in listed} == shipped


@pytest.mark.fleet
def test_a_controller_and_an_agent_of_the_wheel_find_each_other(programs: Path, tmp_path: Path) -> None:
    serve = (programs / "edgefleet", "serve", "--state", "controller", "--accept-all", "--tick", "0.1")
    with started(tmp_path, *serve) as controller:
        where = controller.wait(lambda: read(tmp_path / "controller" / "controller.json"))
        api = PlainClient(where["api"])
        api.wait_until_up(30)
        join = ("run", "--state", "agent", "--device", "d", "--broker", where["broker"], "--region", "eu")
        join += ("--http", "127.0.0.1:0")
        with started(tmp_path, programs / "edgefleet-agent", *join, "--link", "lte", "--heartbeat", "1") as agent:
            facts = agent.wait(lambda: device(api, "d"))["facts"]
            told = said(programs / "edgefleet-agent", "status", "--state", "agent", folder=tmp_path)
            log = agent.log.read_text()
        profiles = {profile["name"] for profile in api.items("/profiles")}
        api.close()
    assert f"eu/{facts['hardware']}/lte" in profiles
    assert not facts["simulated"]
    if not DEVICE_TREE.exists():
        assert f"running as {facts['hardware']}, the generic class" in log
        assert re.match(rf"eu/{facts['hardware']}/lte \(generic class\), boot 1", told)


@dataclass(frozen=True)
class Running:
    """A program of the environment, and what it says."""

    child: subprocess.Popen[bytes]
    log: Path

    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """What `condition` gives, once it gives something."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            assert self.child.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)
        return found


@contextlib.contextmanager
def started(folder: Path, *command: object) -> Iterator[Running]:
    """Run a program of the environment."""
    log = folder / f"{Path(str(command[0])).name}.log"
    with log.open("wb") as out:
        words = [str(word) for word in command]
        child = subprocess.Popen(words, cwd=folder, env=bare_environment(), stdout=out, stderr=out)
    try:
        yield Running(child, log)
    finally:
        child.terminate()
        child.wait(30)


def said(*command: object, folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=bare_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def device(api: PlainClient, name: str) -> Any:
    try:
        return api.get(f"/devices/{name}")
    except ApiError as error:
        assert error.status == 404
        return None
