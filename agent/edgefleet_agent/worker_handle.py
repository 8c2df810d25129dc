"""The supervisor's side of a worker: start it, ask it with a deadline, kill it."""

import logging
import math
import os
import resource
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgefleet_agent import pipe_frames
from edgefleet_agent.child_process import ChildProcess
from edgefleet_agent.errors import (
    Busy,
    ModelFailed,
    OutOfMemory,
    RequestError,
    SlotRotten,
    WorkerDied,
    WorkerError,
    WorkerTimedOut,
)
from edgefleet_agent.signatures import shown_shape, signature_of
from edgefleet_agent.worker_memory import BYTES_PER_THREAD
from edgefleet_process.children import WORKER_ENVIRONMENT, run_module
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol import execution_providers
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.messages import ModelFailure
from edgefleet_protocol.ran_on import ProviderState, RanOn
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.state import SequenceState

log = logging.getLogger("edgefleet.agent")

CPU = (execution_providers.CPU,)
LOAD_TIMEOUT_S = 60.0
SLOW_DISK_BYTES_PER_S = 10e6
"""What the slowest cards that are sold for computers promise: a large model may take so much longer to load."""
SELF_TEST_TIMEOUT_S = 300.0
ASK_TIMEOUT_S = 10.0
ENDS_WITHIN_S = 0.5
"""How long a worker that has closed its pipe may take to end, before it is killed."""
MOST = 0.5
"""The share of its memory that a worker must have used for a crash to count as out of memory. Its limit counts address
space, of which models leave up to half untouched; an allocation that fails at once is an error, not a crash."""


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker runs: the ONNX file, session configuration entries, and how many threads it may use.

    With `sha256`, the file is checked at every start: bits rot, and a wrong weight answers, too. `unfolded_bytes` is
    the size of the weights in memory, `address_bytes` the address space that loading and answering took at the build,
    both by the manifest. `providers` are asked for in order; `Worker.ran_on` says what runs where. With `offers`, it
    tells of the providers that the runtime has.
    `signature` is what the manifest says of inputs and outputs; without it, the session's own words are. `scorer` says
    how answers are counted, see `scoring.scorer_of`; without it, they are not. `state` says which tensors of the
    signature are the state of sequences. `room_bytes` is the most that the model may take, whatever its manifest says;
    0 without a limit.
    """

    path: Path
    runtime: dict[str, str]
    threads: int = 1
    sha256: str | None = None
    unfolded_bytes: int = 0
    address_bytes: int = 0
    providers: tuple[str, ...] = CPU
    signature: Signature | None = None
    scorer: str | None = None
    state: SequenceState | None = None
    room_bytes: int = 0
    offers: bool = False


@dataclass(frozen=True)
class GoldenOrder:
    """A self-test to run: `header` says which golden set, task and form, `recorded` are the answers to compare with."""

    header: dict[str, Any]
    recorded: bytes


@dataclass(frozen=True)
class WorkerAnswer:
    """One answer: `outputs` describe the tensors in `data`, in order, and `sizes` say how many bytes each has.

    `not_finite` says what has NaN or infinity where none may be, empty if nothing. `waited_s` is how long the request
    waited for those before it. `Worker.counted` tells what it counts as. `state` is that of its sequence from now on.
    """

    outputs: list[dict[str, Any]]
    sizes: list[int]
    data: bytes
    not_finite: str
    waited_s: float
    pending: "PendingCount"
    state: bytes = b""


@dataclass(frozen=True)
class AnswerCount:
    """What the rows of an answer count as, and their reduced form, which only a worker reads; may be of no rows."""

    categories: tuple[str, ...] = ()
    answers: bytes = b""


NOT_COUNTED = AnswerCount()


class PendingCount:
    """What an answer counts as, which follows it: whoever reads the pipe next makes it known."""

    def __init__(self) -> None:
        self.known = threading.Event()
        self.count = NOT_COUNTED


@dataclass(frozen=True)
class Unscored:
    """Why answers have no score; `bad` of the labels are none."""

    sentence: str
    bad: int = 0


class _Exchanged(NamedTuple):
    reply: dict[str, Any]
    data: bytes
    waited_s: float
    pending: PendingCount | None


def load_timeout_s(path: Path) -> float:
    """How long a worker may take to load a file, in seconds; one that is not there takes no longer."""
    try:
        return LOAD_TIMEOUT_S + path.stat().st_size / SLOW_DISK_BYTES_PER_S
    except OSError:
        return LOAD_TIMEOUT_S


def _check(spec: WorkerSpec) -> None:
    try:
        rotten = spec.sha256 is not None and digest_of_file(spec.path) != spec.sha256
    except OSError as error:
        raise SlotRotten(f"{spec.path.name} of the slot cannot be read: {error.strerror}") from None
    if rotten:
        raise SlotRotten(f"{spec.path.name} of the slot does not match its manifest")


class Worker:
    """One worker process with a loaded model.

    Raises:
        SlotRotten: the file has changed on disk.
        ModelFailed: onnxruntime refused the model.
        OutOfMemory: the model needs more memory than the worker may have.
        WorkerDied: the process ended during the load.
        WorkerTimedOut: it did not load in time.
    """

    def __init__(self, spec: WorkerSpec, ask_timeout_s: float = ASK_TIMEOUT_S) -> None:
        _check(spec)
        self._lock = threading.Lock()
        self.ask_timeout_s = ask_timeout_s
        self._hung: WorkerTimedOut | None = None
        self.died_scoring = False
        """Whether it ended while it scored labels."""
        self._pipe, theirs = socket.socketpair()
        with theirs:
            command = run_module("edgefleet_agent.worker_main", str(theirs.fileno()))
            self._process = ChildProcess(command, theirs.fileno(), os.environ | WORKER_ENVIRONMENT)
        self._frames = pipe_frames.FrameReader(self._pipe)
        self._owed: PendingCount | None = None
        self._resident_bytes, self.granted_bytes = 0, math.inf
        self._threads = spec.threads
        load = {
            "op": "load",
            "path": str(spec.path),
            "runtime": spec.runtime,
            "threads": spec.threads,
            "unfolded_bytes": spec.unfolded_bytes,
            "address_bytes": spec.address_bytes,
            "room_bytes": spec.room_bytes,
            "providers": spec.providers,
            "signature": spec.signature.told() if spec.signature else None,
            "scorer": spec.scorer,
            "state": spec.state.told() if spec.state else None,
            "offers": spec.offers,
        }
        try:
            reply = self._exchange(load, b"", load_timeout_s(spec.path)).reply
        except Exception:
            self.kill()
            raise
        whole = spec.signature or signature_of(reply["inputs"], reply["outputs"])
        self.signature = spec.state.visible(whole) if spec.state else whole
        self._resident_bytes, self.granted_bytes = reply["resident_bytes"], reply["granted_bytes"] or math.inf
        self._limit_bytes: int = reply["limit_bytes"]
        self._providers_bytes: int = reply["providers_bytes"]
        self.ran_on = RanOn(nodes=reply["nodes"], why=reply["why"])
        self.devices: dict[str, dict[str, str]] = reply["devices"]
        self.offered = tuple(ProviderState.model_validate(one) for one in reply.get("offered", ()))
        self.plugins: tuple[str, ...] = tuple(reply.get("plugins", ()))

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that run some of its nodes, the CPU last."""
        return tuple(sorted(self.ran_on.nodes or CPU, key=lambda name: name in CPU))

    @property
    def row_bytes(self) -> int:
        """The bytes that one sample takes, at least 1; a size that may vary counts as 1."""
        inputs = self.signature.inputs
        return max(1, sum(BY_NAME[one.datatype].size_bytes * math.prod(map(abs, shown_shape(one))) for one in inputs))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.status is None

    def ask(self, tensors: list[dict[str, Any]], data: bytes) -> WorkerAnswer:
        """Run one request; the state of its sequence follows the tensors in `data`, unless that begins with it.

        Raises:
            RequestError: the request's values are invalid.
            WorkerError: the worker or its model failed.
        """
        exchanged = self._exchange({"op": "infer", "inputs": tensors}, data, self.ask_timeout_s)
        reply, pending = exchanged.reply, exchanged.pending or PendingCount()
        shaped = zip(self.signature.outputs, reply["shapes"], strict=True)
        outputs = [{"name": told.name, "datatype": told.datatype, "shape": shape} for told, shape in shaped]
        sizes, size = reply["sizes"], sum(reply["sizes"])
        data, state = exchanged.data[:size], exchanged.data[size:]
        return WorkerAnswer(outputs, sizes, data, reply["not_finite"], exchanged.waited_s, pending, state)

    def counted(self, answer: WorkerAnswer) -> AnswerCount:
        """What an answer of this worker counts as: most often it is known by the time that the reply is written.

        Nothing, if the model does not do its task, or the worker has ended since. A request that came meanwhile makes
        it known before it is sent on, so that nobody waits for the requests of others.
        """
        pending = answer.pending
        if not pending.known.is_set() and self._lock.acquire(blocking=False):
            try:
                if self._owed is pending:
                    self._settle(self.ask_timeout_s)
            except (TimeoutError, pipe_frames.FrameError, OSError):
                self._process.kill()  # whoever asks next finds out
            finally:
                self._lock.release()
        else:
            pending.known.wait(self.ask_timeout_s)
        return pending.count

    def score(self, scorer: str, answers: bytes, labels: list[Any]) -> list[float] | Unscored:
        """Score answers of any worker by their labels.

        Args:
            scorer: the `scorer` of the worker that gave them.
            answers: as `AnswerCount` has them.
            labels: one for each.

        Raises:
            WorkerError: the worker failed.
        """
        reply = self._exchange({"op": "score", "scorer": scorer, "labels": labels}, answers, self.ask_timeout_s).reply
        if "scores" in reply:
            return [float(score) for score in reply["scores"]]
        return Unscored(str(reply["unscored"]), int(reply.get("bad", 0)))

    def self_test(self, order: GoldenOrder) -> dict[str, Any]:
        """Answer the golden set: `count`, `agreement`, `difference` and `scaling`; or `refused`.

        Each sample must be answered within a client's timeout.

        Raises:
            WorkerError: the worker or its model failed.
        """
        deadline = time.monotonic() + SELF_TEST_TIMEOUT_S
        recorded, reply = order.recorded, {"more": True}
        while reply.get("more"):
            if time.monotonic() > deadline:
                self.kill()
                raise WorkerTimedOut(f"the golden set was not answered within {SELF_TEST_TIMEOUT_S:g} s")
            begin = {"op": "self_test", "begin": bool(recorded), **order.header}
            reply = self._exchange(begin, recorded, self.ask_timeout_s).reply
            recorded = b""
        return reply

    def limit(self, room_bytes: int) -> None:
        """Let the model take no more than this from now on; what it has taken stays its own."""
        room_bytes += BYTES_PER_THREAD * self._threads + self._providers_bytes
        if room_bytes >= self.granted_bytes or not self._limit_bytes or not self.alive:
            return
        self._limit_bytes -= int(self.granted_bytes) - room_bytes
        self.granted_bytes = room_bytes
        with suppress(OSError):  # it has ended meanwhile
            resource.prlimit(self.pid, resource.RLIMIT_AS, (self._limit_bytes, self._limit_bytes))

    def kill(self) -> None:
        """End the process at once and reap it."""
        self._process.kill()
        self._pipe.close()

    def retire(self, patience_s: float = 1.0) -> None:
        """End the process once its current request is answered, or after `patience_s`."""
        held = self._lock.acquire(timeout=patience_s)
        try:
            if held and self._owed:
                with suppress(TimeoutError, pipe_frames.FrameError, OSError):
                    self._settle(patience_s)
            self.kill()
        finally:
            if held:
                self._lock.release()

    def _death(self, error: Exception) -> WorkerError:
        """Why a worker that no longer speaks has ended."""
        by_itself = self._process.ends_within(ENDS_WITHIN_S)
        self._process.kill()
        if self._hung:  # whoever waited in line behind the request that hung was not failed by a crash
            return WorkerTimedOut(str(self._hung))
        status = self._process.status
        if status == -signal.SIGXCPU:
            return WorkerTimedOut("the worker used more processor time than one request may")
        took_bytes = self._process.peak_bytes - self._resident_bytes
        # The system kills whoever takes most when its memory runs out.
        of_memory = took_bytes > MOST * self.granted_bytes or (by_itself and status == -signal.SIGKILL)
        return WorkerDied(f"the worker ended with status {status}: {error}", of_memory=of_memory)

    def _exchange(self, header: dict[str, Any], data: bytes, timeout_s: float) -> _Exchanged:
        came_s, scoring = time.monotonic(), False
        if not self._lock.acquire(timeout=timeout_s):
            raise Busy
        try:
            begun_s = time.monotonic()
            deadline = begun_s + timeout_s  # waiting in line does not count
            header["cpu_s"] = int(timeout_s * self._threads) + 1
            if self._owed:
                self._settle(timeout_s)
            pipe_frames.send(self._pipe, header, data, timeout_s)
            scoring = header["op"] == "score"  # what it died of before is its own
            reply, data = self._frames.receive(deadline - time.monotonic())
            if "shapes" in reply:  # an answer, and what it counts as follows
                self._owed = PendingCount()
            pending = self._owed
        except TimeoutError:
            self.died_scoring |= scoring
            self._hung = WorkerTimedOut(f"no answer within {timeout_s:g} s: the worker was killed")
            self._process.kill()
            raise self._hung from None
        except (pipe_frames.FrameError, OSError) as error:
            self.died_scoring |= scoring
            raise self._death(error) from None
        finally:
            self._lock.release()
        if "error" in reply:
            raise _error_in(reply)
        return _Exchanged(reply, data, begun_s - came_s, pending)

    def _settle(self, timeout_s: float) -> None:
        """Receive what the last answer counts as, under the lock."""
        pending, self._owed = self._owed, None
        assert pending is not None  # asked only then
        try:
            told, answers = self._frames.receive(timeout_s)
            pending.count = AnswerCount(tuple(told["categories"]), answers)
        finally:
            pending.known.set()


def _error_in(reply: dict[str, Any]) -> RequestError | WorkerError:
    """The error that a worker told of; the runtime's own words go to the log and no further."""
    told = str(reply["error"])
    if reply.get("bad_input"):
        return RequestError(400, told)
    if text := reply.get("text"):
        log.warning("a worker's model failed: %s", " ".join(str(text).split()))
    failure = ModelFailure.model_validate(reply["failure"]) if "failure" in reply else None
    return OutOfMemory(told, failure) if reply.get("memory") else ModelFailed(told, failure)
