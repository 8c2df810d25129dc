"""What can go wrong on the operator's side.

OperatorError
├── ApiError             a request to the controller failed
│   ├── NoAnswer         it was not reached, or the connection broke: the request may have been carried out
│   ├── NotUnderstood    its answer doesn't match the contract: another version, or not a controller
│   ├── Unauthorized     401: the token is missing or wrong
│   ├── NotFound         404: no such thing
│   ├── Conflict         409: well-formed, but not possible in the current state
│   ├── Invalid          400, 413, 422, or refused before it was sent: the request is wrong
│   ├── ControllerFault  500 and above: a fault in the controller
│   └── Unavailable      503: not possible right now; try again later
├── WaitTimeout          the time is up; the work goes on
├── UnusableFile         a file on this machine can't be read, or isn't what it should be
└── ReaderMissing        no reader for this kind of file is installed
"""


class OperatorError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class ApiError(OperatorError):
    """A request to the controller failed; `status` is its answer's HTTP status, or None without an answer."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class NoAnswer(ApiError):  # noqa: N818 - named for what happened, like the others
    """The controller was not reached, or the connection broke; the request may have been carried out."""


class NotUnderstood(ApiError):  # noqa: N818
    """The answer doesn't match the contract."""


class Unauthorized(ApiError):  # noqa: N818
    """The token is missing or wrong."""


class NotFound(ApiError):  # noqa: N818
    """No such thing."""


class Conflict(ApiError):  # noqa: N818
    """The request is well-formed, but not possible in the current state."""


class Invalid(ApiError):  # noqa: N818
    """The request is wrong."""


class ControllerFault(ApiError):  # noqa: N818
    """A fault in the controller."""


class Unavailable(ApiError):  # noqa: N818
    """The controller can't do this right now; `retry_after_s` says when to try again, if it knows."""

    def __init__(self, detail: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, status)
        self.retry_after_s = retry_after_s


class WaitTimeout(OperatorError):  # noqa: N818
    """The time is up; the work goes on."""


class UnusableFile(OperatorError):  # noqa: N818
    """A file on this machine can't be read, or isn't what it should be."""


class ReaderMissing(OperatorError):  # noqa: N818
    """No reader for this kind of file is installed."""


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
    """Make the error for an answer.

    Args:
        status: the answer's HTTP status.
        detail: what the answer says was wrong.
        retry_after: the answer's Retry-After header.
    """
    kind = OF_STATUS.get(status, ControllerFault if status >= 500 else ApiError)
    if kind is Unavailable:
        return Unavailable(detail, status, float(retry_after) if retry_after and retry_after.isdecimal() else None)
    return kind(detail, status)
