"""Records what a variant was made of and with, and compares two such records.

Importing this module is cheap: `record` imports numpy and torch, in the worker.
"""

import hashlib
import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgefleet_compression.cache import library_versions
from edgefleet_compression.errors import DataError
from edgefleet_compression.measuring.host import host
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_contract.lineage import Environment, Lineage
from edgefleet_contract.operations import Change
from edgefleet_contract.recipes import RecipeTable
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_protocol.canonical import canonical_json, digest_of
from edgefleet_protocol.encoding import ZSTD_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from edgefleet_compression.models.source import Source
    from edgefleet_compression.models.splits.data import SplitName
    from edgefleet_compression.samples import Split

SPLITS: "tuple[SplitName, ...]" = ("train", "calib", "val", "test")
DIGESTS = "splits.json"
SPLIT_REVISION = 1
"""Raise it when the same file is split, or a split is digested, in another way."""


def record(source: "Source", recipe: Recipe, seed: int, instruction_set: InstructionSet) -> Lineage:
    """The lineage of a variant built here and now."""
    plugins = {plugin.name: plugin.version for plugin in recipe.plugins}
    return Lineage(
        source=source.digest,
        files=source.card.files,
        splits=split_digests(source),
        recipe=RecipeTable(name=recipe.name, title=recipe.title, steps=recipe.whole_steps()),
        seed=seed,
        instruction_set=instruction_set,
        libraries={**library_versions(), "zstd": ZSTD_VERSION, "edgefleet": version("edgefleet"), **plugins},
        environment=Environment(
            processor=host().processor,
            instruction_set=host().instruction_set,
            threads=_threads(),
            python=platform.python_version(),
        ),
    )


def _threads() -> int:
    if find_spec("torch") is None:
        return 1
    import torch

    return torch.get_num_threads()


def split_digests(source: "Source") -> dict[str, str]:
    """The digest of every split in the data file, computed once a file."""
    import json

    import numpy as np

    key = digest_of({"splits": SPLIT_REVISION, "data": source.card.data.sha256, "numpy": np.__version__})

    def fill(folder: "Path") -> None:
        found = {}
        for name in SPLITS:
            try:
                found[name] = _digest(source.sent.data.read(name))
            except DataError:
                continue  # missing: a step that needs it has failed before
        (folder / DIGESTS).write_bytes(canonical_json(found))

    folder, _ = source.cache.get_or_put(key, fill)
    found: dict[str, str] = json.loads((folder / DIGESTS).read_bytes())
    return found


def _digest(split: "Split") -> str:
    """The sha256 of a split's arrays, their types and shapes."""
    digest = hashlib.sha256()
    split.digest_into(digest)
    return digest.hexdigest()


def differences(then: Lineage, now: Lineage) -> dict[str, Change]:
    """The libraries and properties of the host that differ, by name."""
    names = sorted(then.libraries.keys() | now.libraries.keys())
    found = {name: Change(then=then.libraries.get(name, "none"), now=now.libraries.get(name, "none")) for name in names}
    for name in Environment.model_fields:
        found[name] = Change(then=getattr(then.environment, name), now=getattr(now.environment, name))
    return {name: change for name, change in found.items() if change.then != change.now}
