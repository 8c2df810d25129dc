"""A first model.toml for a file: what could be read from it, and what only its author knows."""

from edgefleet_contract.base import Shape


class FirstCard(Shape):
    """The text of a model.toml; `missing` says what it needs before `model add` can take it, one thing a line."""

    text: str
    model: str
    known: str
    missing: tuple[str, ...] = ()
