"""`python -m benchmarks [NAME [options]]`: list the benchmarks, or run one."""

import argparse
import importlib
import pkgutil
import sys

from rich.console import Console

from benchmarks import cases
from benchmarks.environment import environment
from benchmarks.result import show, write


def main(arguments: list[str]) -> int:
    """0 when every bar holds, 1 when one does not or the run is void, 2 for a name that is not there."""
    names = sorted(module.name for module in pkgutil.iter_modules(cases.__path__))
    if not arguments or arguments[0] in ("-h", "--help"):
        for name in names:
            print(f"{name:12} {_about(name)}")
        return 0
    name, *rest = arguments
    if name not in names:
        print(f"no benchmark '{name}': there are {', '.join(names)}", file=sys.stderr)
        return 2
    case = importlib.import_module(f"benchmarks.cases.{name}")
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=_about(name))
    if hasattr(case, "add_options"):
        case.add_options(parser)
    options = parser.parse_args(rest)
    where = environment()
    result = case.run(options)
    path = write(name, where, result)
    console = Console(width=None if sys.stdout.isatty() else 160)
    show(result, console)
    console.print(f"written to {path}")
    return 0 if result.ok else 1


def _about(name: str) -> str:
    document = importlib.import_module(f"benchmarks.cases.{name}").__doc__ or ""
    return document.strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
