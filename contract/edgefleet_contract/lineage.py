"""What a variant was made of and with: enough to make it again, and to say why it came out otherwise."""

from edgefleet_contract.base import Shape
from edgefleet_contract.recipes import RecipeTable
from edgefleet_profiles.device_class import InstructionSet


class Environment(Shape):
    """Where something was built: what decides the last bits of a computation beside the libraries."""

    processor: str
    instruction_set: str
    threads: int
    python: str


class Lineage(Shape):
    """All that decides what a variant is.

    `source` names the source model's weights or graph, its architecture and preprocessing; `files` are those of its
    card, by sha256, `splits` the arrays of each split. `recipe` holds every step with its whole settings, as plain
    values: a later version may not know a step any more, and still shows what there was. `instruction_set` is the class
    that it was built for, `environment` the host that built it.
    """

    source: str
    files: dict[str, str]
    splits: dict[str, str]
    recipe: RecipeTable
    seed: int
    instruction_set: InstructionSet
    libraries: dict[str, str]
    environment: Environment
