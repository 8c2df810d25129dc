"""Links far slower than their channel, lossy, or off half the time: seconds, bytes, and orders on their way.

The links are made here: a TUN device at each end, a process of ours that passes the packets between them, and network
namespaces, so that both ends speak the kernel's own TCP. Controller, broker and agents are real.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import brokers
from benchmarks.environment import memory_folder
from benchmarks.links.namespaces import own_namespaces, why_not
from benchmarks.links.scenarios import SCENARIOS
from benchmarks.result import Bar, Result, Row, at_most

ROOT = Path(__file__).parents[2]
MADE_OF = "a TUN relay (rate, delay, loss, hours, bounded queue) between network namespaces, kernel TCP at both ends"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="only this scenario; may be repeated")
    parser.add_argument("--broker", choices=brokers.NAMES, action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the losses")
    parser.add_argument("--verbose", action="store_true", help="show the logs of a scenario that fails to run")


def run(options: argparse.Namespace) -> Result:
    """Measure in namespaces of our own.

    Raises:
        SystemExit: links cannot be made here; says what is missing.
    """
    if why := why_not():
        raise SystemExit(f"no links can be made here: {why}")
    there = [name for name in options.broker or brokers.NAMES if not brokers.missing(name)]
    asked = {"only": options.only or list(SCENARIOS), "broker": there, "seed": options.seed, "verbose": options.verbose}
    result = _measured(asked)
    for name in options.broker or brokers.NAMES:
        if why := brokers.missing(name):
            result.rows.append({"broker": name, "not measured": why})
            result.bars.append(at_most(f"{name}: scenarios that failed to run", 0, None))
    result.rows.append({"links": MADE_OF})
    result.rows.append({"besides": "scripts/bench delivery holds fifty listeners on a fast channel to its own bars"})
    return result


def _measured(asked: dict[str, Any]) -> Result:
    with tempfile.TemporaryDirectory(prefix="edgefleet-bench-", dir=memory_folder()) as temporary:
        request, answer = Path(temporary) / "request.json", Path(temporary) / "answer.json"
        request.write_text(json.dumps(asked | {"folder": temporary}))
        command = [*own_namespaces(), sys.executable, "-m", "benchmarks.links.inside", str(request), str(answer)]
        # Its standard input ends when we do, and with it everything that it has started.
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
        try:
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        found = json.loads(answer.read_text()) if answer.exists() else {"rows": [], "bars": [], "void": None}
        rows: list[Row] = found["rows"]
        void = found["void"] or (f"the scenarios ended with exit code {code}" if code else None)
        return Result(rows, [Bar(**bar) for bar in found["bars"]], void)
