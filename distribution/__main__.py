"""`scripts/build`: make wheel and sdist, and with --bundle a tar to install on a device without a network."""

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
    """Read the command line and build; 0 built, 1 failed, 2 wrong usage."""
    parser = command_line()
    options = parser.parse_args(argv)
    if options.bundle is None and (options.python or options.requirement):
        parser.error("versions of Python and requirements are for a bundle: add --bundle ARCH")
    try:
        _build(options)
    except DistributionError as error:
        print(f"scripts/build: {error}", file=sys.stderr)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    # Refused before the build, which takes a while.
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
    """What `scripts/build` takes."""
    parser = argparse.ArgumentParser(prog="scripts/build", description="Make wheel and sdist, or a bundle beside them.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where to put them (dist)")
    parser.add_argument(
        "--bundle",
        metavar="ARCH",
        help=f"also collect the wheels of a device's base install into one tar: {' or '.join(ARCHITECTURES)}",
    )
    parser.add_argument(
        "--python",
        action="append",
        metavar="VERSION",
        help=f"a device's Python; may be given many times ({' and '.join(PYTHONS)})",
    )
    parser.add_argument(
        "requirement",
        nargs="*",
        type=_requirement,
        metavar="REQUIREMENT",
        help="a version for the bundle in place of that in constraints.txt, as in 'onnxruntime==1.23.2'",
    )
    return parser


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise argparse.ArgumentTypeError(f"'{text}' is not a requirement: write it as 'NAME==VERSION'") from None


if __name__ == "__main__":
    sys.exit(main())
