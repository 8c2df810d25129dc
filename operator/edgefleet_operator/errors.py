"""What can go wrong on the operator's side.

OperatorError
├── ApiError       the controller refused, or was not reached
└── ReaderMissing  nothing here reads a file of that kind
"""


class OperatorError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class ApiError(OperatorError):
    """The controller refused, in its own words, or was not reached: then `status` is None."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class ReaderMissing(OperatorError):  # noqa: N818 - reads as the statement it makes
    """Nothing here reads a file of that kind."""
