"""What can go wrong on a device, by whose fault it is.

AgentError
├── SettingsError      the operator's: a setting is missing or wrong
├── RequestError       a client's: its request cannot be answered; carries the HTTP status
│   ├── Busy               the worker is answering another request
│   ├── OtherInputs        what answers now takes other inputs than what answered when it was read
│   │   └── SequenceEnded     its sequence cannot go on with what answers now
│   └── RequestTooLarge    it needs more than a worker may take
├── Rejected           the controller's: this device must not run a manifest; carries the reason code
│   └── NoSpace            the disk's: not enough room, for now; carries how much is needed
├── WorkerError        a variant's: its worker cannot answer
│   ├── WorkerDied         the process has ended
│   ├── WorkerTimedOut     no answer within the deadline; the process was killed
│   ├── OutOfMemory        the model needs more memory than its worker may have
│   ├── SlotRotten         the slot's files have changed on disk
│   └── ModelFailed        onnxruntime refused to load or to run the model
└── NoSuchTransition   ours: the lifecycle table has no row for this phase and event
"""

from edgefleet_protocol.messages import ModelFailure
from edgefleet_protocol.phases import ReasonCode


class AgentError(Exception):
    """Root of this package's errors; the message says what was wrong and what to do."""


class SettingsError(AgentError):
    """A setting is missing or wrong."""


class RequestError(AgentError):
    """A client's request that cannot be answered.

    Args:
        status: the HTTP status that says why.
        message: what was wrong, for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Busy(RequestError):  # noqa: N818 - reads as the statement it makes
    """The worker answered another request for as long as this one could wait."""

    def __init__(self) -> None:
        super().__init__(503, "the model is busy: try again")


class OtherInputs(RequestError):  # noqa: N818
    """Another variant answers than when the request was read, and it takes other inputs.

    Args:
        message: what it takes, for the client.
    """

    def __init__(self, message: str) -> None:
        super().__init__(409, message)


class SequenceEnded(OtherInputs):
    """The sequence of the request cannot go on with what answers now."""


class RequestTooLarge(RequestError):  # noqa: N818
    """The request needs more memory or time than a worker may take, and is larger than any that was answered.

    Args:
        size_bytes: its input.
        rows: how many rows of input have been answered at a time.
        row_bytes: the size of one.
    """

    def __init__(self, size_bytes: int, rows: int, row_bytes: int) -> None:
        super().__init__(
            413,
            f"the request's input of {size_bytes:,} bytes needs more memory or time than the model may take here: "
            f"send {rows:,} {'row' if rows == 1 else 'rows'} of {row_bytes:,} bytes at a time, as was answered before",
        )


class Rejected(AgentError):  # noqa: N818
    """A manifest that this device must not run, or a blob that does not match its digest.

    Args:
        reason: the code that the controller acts on.
        detail: what is wrong, for people.
        failure: what its model's runtime met, if it was that.
    """

    def __init__(self, reason: ReasonCode, detail: str, failure: ModelFailure | None = None) -> None:
        super().__init__(detail)
        self.reason: ReasonCode = reason
        self.failure = failure


class NoSpace(Rejected):
    """The disk does not have enough room, for now.

    Args:
        detail: need and have, or the disk's error, for people.
        need_bytes: how much must be free before another try; 0 when a write failed and only time will tell.
    """

    def __init__(self, detail: str, need_bytes: int = 0) -> None:
        super().__init__("no_space", detail)
        self.need_bytes = need_bytes


class WorkerError(AgentError):
    """A worker cannot answer.

    Args:
        message: why; no text of the model's runtime, which may carry values of an input.
        failure: what the runtime met, if it was that.
    """

    reason: ReasonCode = "worker_crashed"

    def __init__(self, message: str, failure: ModelFailure | None = None) -> None:
        super().__init__(message)
        self.failure = failure


class WorkerDied(WorkerError):  # noqa: N818
    """The worker's process has ended.

    Args:
        message: how.
        of_memory: whether it had taken most of the memory that it may, or the system ended it.
    """

    def __init__(self, message: str, *, of_memory: bool = False) -> None:
        super().__init__(message)
        self.of_memory = of_memory


class WorkerTimedOut(WorkerError):  # noqa: N818
    """The worker missed its deadline and was killed."""

    reason = "worker_timed_out"


class OutOfMemory(WorkerError):  # noqa: N818
    """The model needs more memory than its worker may have; the worker still runs."""

    reason = "out_of_memory"


class SlotRotten(WorkerError):  # noqa: N818
    """The slot's files have changed since the variant was installed; no worker was started."""

    reason = "blob_corrupt"


class ModelFailed(WorkerError):  # noqa: N818
    """Onnxruntime refused to load or to run the model; the worker still runs."""

    reason = "load_failed"


class NoSuchTransition(AgentError):  # noqa: N818
    """The lifecycle table has no row for this phase and event: our bug."""
