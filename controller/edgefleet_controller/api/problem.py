"""Every error as problem+json (RFC 9457)."""

import sqlite3
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from edgefleet_controller.errors import ControllerError, Invalid, NotFound, Refused

_STATUS: dict[type[ControllerError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Refused: HTTPStatus.CONFLICT,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def problem(status: int, detail: str) -> JSONResponse:
    """An RFC 9457 answer."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def add_problems(app: FastAPI) -> None:
    """Answer every error of ours and of the framework's as a problem."""

    @app.exception_handler(ControllerError)
    def refused(_: Request, error: ControllerError) -> JSONResponse:
        status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        return problem(status, str(error))

    @app.exception_handler(RequestValidationError)
    def wrong_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(sqlite3.OperationalError)
    @app.exception_handler(OSError)
    def no_room(_: Request, error: Exception) -> JSONResponse:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the controller cannot write its state: {error}")
