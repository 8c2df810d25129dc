"""What operators write on a device: labels beside those that it reports, and a note."""

from typing import Annotated

from pydantic import Field

from edgefleet_contract.base import Request, Shape
from edgefleet_profiles.names import Name
from edgefleet_protocol.messages import MAX_LABELS

MAX_NOTE = 1000
"""Of a note, in characters."""


class NewLabels(Request):
    """Labels to set on a device, and keys of labels to take away that were set before."""

    set: dict[Name, Name] = Field(default_factory=dict, max_length=MAX_LABELS)
    remove: Annotated[tuple[Name, ...], Field(max_length=MAX_LABELS)] = ()


class NewNote(Request):
    """A note on a device, one line of plain text; null takes it away."""

    # The controller sees to its length itself, with a better message.
    text: Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NOTE})] | None


class AnnotationView(Shape):
    """What operators have written on a device; `reported_labels` are those that it reports itself.

    Where both have a key, the label that was set counts, in selectors and everywhere else.
    """

    device: str
    set_labels: dict[str, str]
    reported_labels: dict[str, str]
    note: str | None
