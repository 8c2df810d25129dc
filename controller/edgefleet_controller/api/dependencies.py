"""How routes get the service, and how they parse a model reference."""

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
    """Name and version from a model reference such as `fashion@1`.

    Raises:
        Invalid: not a model reference.
    """
    found = _REF.fullmatch(ref)
    if found is None:
        raise Invalid(f"'{ref[:100]}' is not a model reference: write NAME@VERSION, for example fashion@1")
    return found[1], int(found[2])
