"""A first model.toml for a file: what could be read from it, and what only its author knows."""

from typing import Literal

from edgefleet_contract.base import Shape


class CardHints(Shape):
    """What somebody says of a model in place of its card; what is left out, file and samples tell.

    `batch` is "none" if the model takes each sample whole, `scale` is what samples are multiplied by.
    """

    task: str | None = None
    batch: Literal["guess", "none"] = "guess"
    labels: tuple[str, ...] = ()
    scale: float | None = None


class FirstCard(Shape):
    """The text of a model.toml; `missing` says what it needs before `model add` can take it, one thing a line."""

    text: str
    model: str
    known: str
    missing: tuple[str, ...] = ()
