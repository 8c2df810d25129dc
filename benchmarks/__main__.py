"""`python -m benchmarks [NAME [options]]`: list the benchmarks, or run one."""

import argparse
import ast
import importlib
import os
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import page
from benchmarks.environment import environment
from benchmarks.result import RESULTS, show, write

CASES = Path(__file__).parent / "cases"


def main(arguments: list[str], cases: Path = CASES, package: str = "benchmarks.cases", results: Path = RESULTS) -> int:
    """0 when every bar holds, 1 when one does not or the run is void, 2 for a name that is not there.

    Args:
        arguments: of the command line.
        cases: the folder of the benchmarks, a module each.
        package: how it is imported.
        results: where results are written.
    """
    about = {path.stem: _about(path) for path in sorted(cases.glob("*.py")) if path.stem != "__init__"}
    if not arguments or arguments[0] in ("-h", "--help"):
        for name, line in about.items():
            print(f"{name:12} {line}")
        return 0
    name, *rest = arguments
    if name not in about:
        print(f"no benchmark '{name}': there are {', '.join(about)}", file=sys.stderr)
        return 2
    case = importlib.import_module(f"{package}.{name}")
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=about[name])
    if hasattr(case, "add_options"):
        case.add_options(parser)
    options = parser.parse_args(rest)
    where = environment()
    result = case.run(options)
    path = write(name, where | {"load_after": list(os.getloadavg())}, result, results)
    if results == RESULTS:
        page.refresh()
    console = Console(width=None if sys.stdout.isatty() else 160)
    show(result, console)
    console.print(f"written to {path}")
    return 0 if result.ok else 1


def _about(path: Path) -> str:
    # Read, not imported: a list of names must not take a second of imports.
    document = ast.get_docstring(ast.parse(path.read_text())) or ""
    return document.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
