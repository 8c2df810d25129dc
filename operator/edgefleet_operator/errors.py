"""What can go wrong on the operator's side.

OperatorError
├── ApiError             nothing came of asking the controller
│   ├── NoAnswer         it was not reached, or broke off: what was asked may have been done
│   ├── NotUnderstood    its answer is not of the contract: another version, or no controller at all
│   ├── Unauthorized     401: the token is missing or wrong
│   ├── NotFound         404: no such thing
│   ├── Conflict         409: well-formed, but not possible as things stand
│   ├── Invalid          400, 413, 422, or refused before it was sent: what was asked is wrong
│   ├── ControllerFault  500 and more: a fault of the controller
│   └── Unavailable      503: it cannot just now; asking again may help
├── WaitTimeout          the time is up; what was waited for goes on
└── ReaderMissing        nothing here reads a file of that kind
"""


class OperatorError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class ApiError(OperatorError):
    """Nothing came of asking the controller; `status` is that of its answer, None where there was none."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class NoAnswer(ApiError):  # noqa: N818 - reads as the statement it makes, as the others do
    """The controller was not reached, or broke off."""


class NotUnderstood(ApiError):  # noqa: N818
    """The answer is not of the contract."""


class Unauthorized(ApiError):  # noqa: N818
    """The token is missing or wrong."""


class NotFound(ApiError):  # noqa: N818
    """No such thing."""


class Conflict(ApiError):  # noqa: N818
    """Well-formed, but not possible as things stand."""


class Invalid(ApiError):  # noqa: N818
    """What was asked is wrong."""


class ControllerFault(ApiError):  # noqa: N818
    """A fault of the controller."""


class Unavailable(ApiError):  # noqa: N818
    """The controller cannot just now; `retry_after_s` says when to ask again, where it knows."""

    def __init__(self, detail: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, status)
        self.retry_after_s = retry_after_s


class WaitTimeout(OperatorError):  # noqa: N818
    """The time is up; what was waited for goes on."""


class ReaderMissing(OperatorError):  # noqa: N818
    """Nothing here reads a file of that kind."""


OF_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    503: Unavailable,
}


def error_of(status: int, detail: str, retry_after: str | None = None) -> ApiError:
    """The error that an answer is.

    Args:
        status: of the answer.
        detail: what it says was wrong.
        retry_after: its header of that name.
    """
    kind = OF_STATUS.get(status, ControllerFault if status >= 500 else ApiError)
    if kind is Unavailable:
        return Unavailable(detail, status, float(retry_after) if retry_after and retry_after.isdecimal() else None)
    return kind(detail, status)
