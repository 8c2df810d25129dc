"""How routes reach the service, and how they read a model's name."""

import re
from typing import Annotated, cast

from fastapi import Depends, Request

from edgefleet_contract.base import REF_PATTERN
from edgefleet_controller.errors import Invalid
from edgefleet_controller.service import Service

_REF = re.compile(REF_PATTERN)


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
