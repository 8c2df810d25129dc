"""`python -m benchmarks.links.inside REQUEST ANSWER`: the scenarios, run where a network namespace is our own."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict
from pathlib import Path

from benchmarks.links.namespaces import enter_cloud
from benchmarks.links.scenarios import SCENARIOS
from benchmarks.result import Bar, Result, at_most


def main(request: Path, answer: Path) -> int:
    """Run what the request names, and write the rows and bars that came of it."""
    options = argparse.Namespace(**json.loads(request.read_text()))
    threading.Thread(target=_end_with_parent, args=(Path(options.folder),), daemon=True).start()
    enter_cloud()
    result = Result()
    for name in options.only:
        for broker in options.broker:
            print(f"{name}, {broker} ...", file=sys.stderr, flush=True)
            _measure(name, broker, options, result)
            answer.write_text(json.dumps(asdict(result)))
    return 0


def _measure(name: str, broker: str, options: argparse.Namespace, result: Result) -> None:
    bars = len(result.bars)
    with tempfile.TemporaryDirectory(prefix="edgefleet-links-", dir=options.folder) as folder:
        try:
            SCENARIOS[name].measure(broker, Path(folder), options, result)
        except Exception as error:  # the other scenarios still have something to say
            traceback.print_exc()
            for log in sorted(Path(folder).glob("*.log")) if options.verbose else ():
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
            result.rows.append({"scenario": name, "broker": broker, "not measured": f"{type(error).__name__}: {error}"})
            result.bars.append(at_most(f"{name}, {broker}: scenarios that failed to run", 0, None))
    for bar in result.bars[bars:]:
        print(f"  {_words(bar)}", file=sys.stderr, flush=True)


def _words(bar: Bar) -> str:
    measured = "not measured" if bar.measured is None else f"{bar.measured:.4g}"
    return f"{bar.id}: {measured}, {bar.target}: {'ok' if bar.ok else 'NOT MET'}"


def _end_with_parent(folder: Path) -> None:
    """Standard input ends with whoever started us; all processes of this namespace end with us, and their files go."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
