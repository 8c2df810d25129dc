"""How routes reach the service, and how they read a model's name."""

import re
from typing import Annotated, cast

from fastapi import Depends, Request
from pydantic import Field

from edgefleet_controller.errors import Invalid
from edgefleet_controller.service import Service
from edgefleet_profiles.names import NAME_PATTERN

_REF = re.compile(r"^([a-z0-9][a-z0-9_-]{0,63})@([1-9][0-9]{0,8})$")

# These say what a text must be, and leave the refusing to our own words.
ModelRef = Annotated[str, Field(description="NAME@VERSION", json_schema_extra={"pattern": _REF.pattern})]
NameText = Annotated[str, Field(json_schema_extra={"pattern": NAME_PATTERN})]
SelectorText = Annotated[str, Field(description="as in region=eu,!metered", json_schema_extra={"format": "selector"})]
ProfileName = Annotated[str, Field(description="REGION/HARDWARE/LINK", json_schema_extra={"format": "profile"})]


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


TheService = Annotated[Service, Depends(_service)]


def model_ref(ref: str) -> tuple[str, int]:
    """Name and version of a model written `fashion@1`.

    Raises:
        Invalid: it is written otherwise.
    """
    found = _REF.fullmatch(ref)
    if found is None:
        raise Invalid(f"'{ref[:100]}' is no model: write NAME@VERSION, as in fashion@1")
    return found[1], int(found[2])
