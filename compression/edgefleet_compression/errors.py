"""What can go wrong between a model and its variants; what is wrong with its card is a ContractError.

CompressionError
├── GraphError          the ONNX file that a model was brought as cannot be taken
│   └── SeveralFaults   for more than one reason
├── ArchitectureError   no such architecture, or arguments or weights that don't fit it
├── DataError           the data file lacks what a step needs
│   └── Unreadable      a file or a row that was to be packed cannot be read
├── RecipeError         the recipe cannot run: unknown step, wrong order, wrong settings
│   └── NotApplicable   the recipe is right, but not for this model or these processors
├── DeclarationError    a step's file does not declare what it must
├── StepError           a step ran and did not do what it is for
│   └── NothingChanged  the step left the model as it was
├── MeasureError        a variant cannot be measured on this host
├── SearchError         a search cannot be begun as it was asked for
├── CalledOff           nobody wants the work any more, and it was ended
└── WorkerLostError     a worker process is gone: it crashed, or was ended
    ├── WorkerTimeoutError   it made no progress, or had no more time
    └── WorkerMemoryError    it took more memory than it may
"""

import errno


class CompressionError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class GraphError(CompressionError):
    """The ONNX file that a model was brought as cannot be taken."""


class SeveralFaults(GraphError):  # noqa: N818 - reads as what it is
    """A model and its files cannot be taken for more than one reason; `each` holds them."""

    def __init__(self, each: "tuple[Exception, ...]") -> None:
        told = "; ".join(f"({number}) {error}" for number, error in enumerate(each, start=1))
        super().__init__(f"{len(each)} things are wrong: {told}")
        self.each = each

    def __reduce__(self) -> "tuple[type[SeveralFaults], tuple[tuple[Exception, ...]]]":
        return type(self), (self.each,)


class ArchitectureError(CompressionError):
    """No such architecture, or arguments or weights that don't fit it."""


class DataError(CompressionError):
    """The data file lacks what a step needs."""


class Unreadable(DataError):  # noqa: N818 - reads as the statement it makes
    """A file or a row that was to be packed cannot be read."""


class RecipeError(CompressionError):
    """The recipe cannot run: unknown step, wrong order, wrong settings."""


class NotApplicable(RecipeError):  # noqa: N818 - reads as the statement it makes
    """The recipe is right, but not for this model or these processors."""


class DeclarationError(CompressionError):
    """A step's file does not declare what it must."""


class StepError(CompressionError):
    """A step ran and did not do what it is for."""


class NothingChanged(StepError):  # noqa: N818 - reads as the statement it makes
    """The step left the model as it was."""


class MeasureError(CompressionError):
    """A variant cannot be measured on this host."""


class SearchError(CompressionError):
    """A search cannot be begun as it was asked for."""


class CalledOff(CompressionError):  # noqa: N818 - reads as the statement it makes
    """Nobody wants the work any more, and it was ended."""


class WorkerLostError(CompressionError):
    """A worker process is gone: it crashed, or was ended."""


class WorkerTimeoutError(WorkerLostError):
    """A worker process made no progress, or had no more time, and was ended."""


class WorkerMemoryError(WorkerLostError):
    """A worker process took more memory than it may, and was ended."""


def is_full_disk(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; libraries that write in other languages only say so in words."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
