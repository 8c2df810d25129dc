"""What a variant was made from and with: enough to rebuild it, and to explain any difference."""

from edgefleet_contract.base import Shape
from edgefleet_contract.recipes import RecipeTable
from edgefleet_profiles.device_class import InstructionSet


class Environment(Shape):
    """The host that built something: besides the libraries, what decides the last bits of a computation."""

    processor: str
    instruction_set: str
    threads: int
    python: str


class Lineage(Shape):
    """Everything that determines a variant.

    `source` is the digest of the source model's weights or graph, architecture and preprocessing; `files` holds the
    sha256 of the card's files, `splits` the digests of each split's arrays. `recipe` holds every step with its full
    settings, as plain values, so that it can be shown even after a step is removed. `instruction_set` is the class that
    the variant was built for, `environment` the host that built it.
    """

    source: str
    files: dict[str, str]
    splits: dict[str, str]
    recipe: RecipeTable
    seed: int
    instruction_set: InstructionSet
    libraries: dict[str, str]
    environment: Environment
