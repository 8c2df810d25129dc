"""Registered model versions."""

from edgefleet_contract.base import Request, Shape
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.readings import KeptStateView, TensorView
from edgefleet_protocol.fields import Digest


class NewModel(Request):
    """The uploaded files of a model, by name; model.toml is one of them."""

    files: dict[str, Digest]


class UnjudgedView(Shape):
    """A constraint of a card that rejects no variant on `profiles`: why only a prediction could, and what to do."""

    constraint: str
    profiles: str
    limit: float
    why: str
    do: str

    def __str__(self) -> str:
        return f"{self.constraint} {self.limit:g} on {self.profiles} rejects no variant: {self.why}; {self.do}"


class ModelView(Shape):
    """A registered model version; `measure` is what its answers are scored by.

    `inputs` and `outputs` are what it takes and gives; none if it was registered before they were looked at. `state` is
    what it keeps from one step of a sequence to the next, beside these.
    `guesses` are what was decided without being told.
    `not_checked` and `remarks` are part of the answer to its registration: why its files were not looked at, null if
    they were; and what its data can be used with, but tells little by.
    `unjudged` are its card's constraints that no build can judge.
    """

    model: str
    name: str
    version: int
    task: str
    measure: MeasureView = ACCURACY
    labels: list[str]
    files: dict[str, str]
    created_ms: int
    inputs: tuple[TensorView, ...] = ()
    outputs: tuple[TensorView, ...] = ()
    state: tuple[KeptStateView, ...] = ()
    guesses: tuple[str, ...] = ()
    not_checked: str | None = None
    remarks: tuple[str, ...] = ()
    unjudged: tuple[UnjudgedView, ...] = ()
