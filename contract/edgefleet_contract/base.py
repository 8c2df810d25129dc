"""The base of all shapes: immutable values that ignore fields from newer controllers."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from edgefleet_profiles.names import NAME_PATTERN

MAX_COUNT = 999_999_999
"""The limit for any count in a request: safe for sums and clocks, and far beyond any fleet."""
YEAR_S = 366 * 86_400

# Patterns for the schema only: the controller validates these itself, with better messages.
REF_PATTERN = r"^([a-z0-9][a-z0-9_-]{0,63})@([1-9][0-9]{0,8})$"
ModelRef = Annotated[str, Field(description="NAME@VERSION", json_schema_extra={"pattern": REF_PATTERN})]
NameText = Annotated[str, Field(json_schema_extra={"pattern": NAME_PATTERN})]
SelectorText = Annotated[str, Field(description="such as region=eu,!metered", json_schema_extra={"format": "selector"})]
SomeSelectorText = Annotated[  # the service refuses a blank one in words of its own
    str, Field(description="such as region=eu,!metered", json_schema_extra={"format": "selector", "minLength": 1})
]
ProfileName = Annotated[str, Field(description="REGION/HARDWARE/LINK", json_schema_extra={"format": "profile"})]


class Shape(BaseModel):
    """Base of the shapes that the API returns."""

    model_config = ConfigDict(frozen=True)


class Request(BaseModel):
    """Base of the shapes that the API accepts; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sparse(Shape):
    """Base of the shapes that omit fields that were not set, as null would mean looked for and not found."""

    @model_serializer(mode="wrap")
    def _only_what_was_given(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        found: dict[str, Any] = handler(self)
        return {name: value for name, value in found.items() if name in self.model_fields_set}
