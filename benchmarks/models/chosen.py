"""Which public models a benchmark takes, and where packages and samples are kept."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.models.catalogue import CATALOGUE
from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import PublicModel

STATE = Path.home() / ".cache" / "edgefleet" / "public-models"


class Chosen(NamedTuple):
    """Models, the shelf with their packages, and the folder with the folders that are made of them."""

    models: Sequence[PublicModel]
    shelf: Shelf
    folders: Path


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark of public models."""
    parser.add_argument("--only", metavar="NAME", action="append", help="only this model; may be repeated")
    parser.add_argument("--state", type=Path, default=STATE, help="where packages and samples are kept")
    parser.add_argument("--keep", type=Path, help="a folder for what is made, and logs, that stays")


def chosen(options: argparse.Namespace) -> Chosen:
    """What the options say; ends the program at an unknown name."""
    names: Sequence[str] = options.only or tuple(CATALOGUE)
    if unknown := [name for name in names if name not in CATALOGUE]:
        raise SystemExit(f"no public model '{unknown[0]}': there are {', '.join(CATALOGUE)}")
    state: Path = options.state.absolute()
    return Chosen([CATALOGUE[name] for name in names], Shelf(state / "packages"), state / "folders")
