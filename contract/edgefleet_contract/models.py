"""Registered model versions."""

from edgefleet_contract.base import Request, Shape
from edgefleet_protocol.fields import Digest


class NewModel(Request):
    """The uploaded files of a model, by name; model.toml is one of them."""

    files: dict[str, Digest]


class ModelView(Shape):
    """A registered model version.

    `not_checked` is part of the answer to its registration: why its files were not looked at; null if they were.
    """

    model: str
    name: str
    version: int
    task: str
    labels: list[str]
    files: dict[str, str]
    created_ms: int
    not_checked: str | None = None
