"""Refuses what a request asks for and nothing would obey: unknown parameters, values of another type, stray bodies,
and keys that are there twice.

One dependency of all routes, so that a new route needs nothing of its own.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from operator import itemgetter
from typing import Any, get_args, get_origin

from fastapi import HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from edgefleet_controller.errors import Invalid
from edgefleet_profiles.spelling import models_in, nearest

NOTHING = (b"", b"{}", b"null")


async def refuse_inexact(request: Request) -> None:
    """See that every part of a request is known, and of its type.

    Raises:
        Invalid: a query parameter is unknown or there twice, or a body where none is read.
        RequestValidationError: a value in the body is of another type.
        HTTPException: a key in the body is there twice.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    _check_query(request, route)
    if shape := body_shape(route):
        _check_body(await request.body(), shape)
    # A route that takes the request reads the body itself, as it comes.
    elif route.dependant.request_param_name is None and (await request.body()).strip() not in NOTHING:
        raise Invalid(f"{request.method} {request.url.path} takes no body: send none")


def body_shape(route: object) -> type[BaseModel] | None:
    """The shape of a route's body, if it has one."""
    body = getattr(route, "body_field", None)
    return next(models_in(body.field_info.annotation), None) if body else None


def _check_query(request: Request, route: APIRoute) -> None:
    known = dict(_parameters(route.dependant))
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            advice = nearest(name[:100], known) if known else "this takes none"
            raise Invalid(f"unknown query parameter '{name[:100]}': {advice}")
        if given.count(name) > 1 and not _is_list(known[name]):
            raise Invalid(f"the query parameter '{name}' is there {given.count(name)} times: give it once")


def _parameters(of: Dependant) -> Iterator[tuple[str, Any]]:
    """The query parameters of a route and of what it depends on, by name."""
    yield from ((field.alias, field.field_info.annotation) for field in of.query_params)
    for inner in of.dependencies:
        yield from _parameters(inner)


def _is_list(annotation: object) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))


def _check_body(body: bytes, shape: type[BaseModel]) -> None:
    if not body:
        return  # the framework says that it is missing
    try:
        shape.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None
    # What a shape has accepted is JSON, and not too deep. Numbers stay texts: a long one takes long to read.
    json.loads(body, object_pairs_hook=_each_once, parse_int=str, parse_float=str)


def _each_once(pairs: Sequence[tuple[str, object]]) -> None:
    """Which of two values was meant, nobody knows: JSON leaves it open, and readers differ."""
    name, times = max(Counter(key for key, _ in pairs).items(), key=itemgetter(1), default=("", 0))
    if times > 1:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body has the key '{name[:100]}' {times} times: give it once")
