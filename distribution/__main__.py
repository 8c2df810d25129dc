"""`scripts/build`: build the wheel and sdist, and with --bundle a tar that installs without a network."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from distribution.build import ROOT, build, needs
from distribution.bundle import bundle
from distribution.errors import DistributionError
from distribution.target import ARCHITECTURES, PYTHONS, targets


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and build; returns 0 on success, 1 on failure, 2 on wrong usage."""
    parser = command_line()
    options = parser.parse_args(argv)
    if options.bundle is None and (options.python or options.requirement):
        parser.error("--python and requirements apply only to a bundle: add --bundle ARCH")
    try:
        _build(options)
    except DistributionError as error:
        print(f"scripts/build: {error}", file=sys.stderr)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    # Check the targets before the build, which takes a while.
    wanted = targets(options.bundle, options.python or list(PYTHONS), needs()) if options.bundle is not None else []
    built = build(options.out)
    print(f"{_kb(built.wheel.size_bytes)} {built.wheel.path}\n{_kb(built.sdist.stat().st_size)} {built.sdist}")
    if not wanted:
        return
    made = bundle(built.wheel, wanted, options.requirement, options.out)
    for name, size_bytes in made.sizes_bytes.items():
        print(f"{_kb(size_bytes)}   {name}")
    print(f"{_kb(made.path.stat().st_size)} {made.path}: for {', '.join(map(str, wanted))}")


def _kb(size_bytes: int) -> str:
    return f"{size_bytes / 1000:9,.0f} kB"


def command_line() -> argparse.ArgumentParser:
    """The parser of `scripts/build`."""
    description = "Build the wheel and sdist, and a bundle if asked."
    parser = argparse.ArgumentParser(prog="scripts/build", description=description)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="output folder (default: dist)")
    parser.add_argument(
        "--bundle",
        metavar="ARCH",
        help=f"also collect the wheels of a device's base install in a tar: {' or '.join(ARCHITECTURES)}",
    )
    parser.add_argument(
        "--python",
        action="append",
        metavar="VERSION",
        help=f"a device's version of Python; repeatable (default: {' and '.join(PYTHONS)})",
    )
    parser.add_argument(
        "requirement",
        nargs="*",
        type=_requirement,
        metavar="REQUIREMENT",
        help="override a version of constraints.txt in the bundle, for example 'onnxruntime==1.23.2'",
    )
    return parser


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise argparse.ArgumentTypeError(f"'{text}' is not a requirement: write it as 'NAME==VERSION'") from None


if __name__ == "__main__":
    sys.exit(main())
