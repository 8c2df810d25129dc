"""Error responses as problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from edgefleet_contract.faults import first_fault
from edgefleet_contract.problems import MEDIA_TYPE, Problem
from edgefleet_controller.api.exactness import body_shape
from edgefleet_controller.errors import ControllerError, Invalid, NotFound, Refused, StoreError
from edgefleet_controller.trouble import why_unavailable

_STATUS: dict[type[ControllerError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Refused: HTTPStatus.CONFLICT,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
}

# Python 3.13 renamed these; our answers should not depend on the version of Python.
_PHRASES = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}

MAX_DETAIL = 2000
RETRY_AFTER_S = 10
METHODS = ("GET", "PUT", "POST", "DELETE")


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An RFC 9457 response."""
    # It may quote what the caller sent, and a lone surrogate cannot be encoded as UTF-8.
    readable = detail[:MAX_DETAIL].encode("utf-8", "backslashreplace").decode()
    body = Problem(title=_phrase(status), status=status, detail=readable)
    return JSONResponse(body.model_dump(), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare that a route may answer with these errors."""
    return {status: {"model": Problem, "description": _phrase(status)} for status in statuses}


def describe_problems(description: dict[str, Any]) -> None:
    """Describe every error in OpenAPI as a problem, in place of the framework's own form."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in description["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    answer |= {"description": _phrase(int(status)), "content": content}
    for unused in ("HTTPValidationError", "ValidationError"):
        description["components"]["schemas"].pop(unused, None)


def add_problems(app: FastAPI) -> None:
    """Answer every error, ours or the framework's, with a problem."""

    @app.exception_handler(ControllerError)
    def refused(_: Request, error: ControllerError) -> JSONResponse:
        status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        return problem(status, str(error))

    @app.exception_handler(RequestValidationError)
    def wrong_request(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, first_fault(error.errors(), of=body_shape(request.scope.get("route")))
        )

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := ", ".join(_allowed(app, request))):
            return problem(error.status_code, f"method not allowed here: use {allowed}", {"Allow": allowed})
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem(error.status_code, f"there is nothing at {request.scope['path']}: see /docs")
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(UnicodeEncodeError)
    def no_text(_: Request, error: UnicodeEncodeError) -> JSONResponse:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"a text contains an invalid character: {error.reason}")

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return problem(HTTPStatus.BAD_REQUEST, "the request ended before its body was complete: send it again")

    @app.exception_handler(Exception)
    def our_fault(_: Request, error: Exception) -> JSONResponse:
        # The server logs it with its traceback.
        detail = f"internal error ({type(error).__name__}): see the controller's log"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)

    @app.exception_handler(StoreError)
    @app.exception_handler(OSError)
    def unavailable(_: Request, error: Exception) -> JSONResponse:
        if (why := why_unavailable(error)) is None:
            raise error  # a bug: log its traceback
        detail = f"{why}; nothing was changed, so send the request again after that"
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(RETRY_AFTER_S)})


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """The methods of a path; the framework itself names only those of a single route."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]
