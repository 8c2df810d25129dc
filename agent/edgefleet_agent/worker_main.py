"""The worker: a process with one onnxruntime session, under resource limits, that may be killed at any time.

`worker_handle.py` starts `python -m edgefleet_agent.worker_main FD` with one end of a socket pair as descriptor FD. The
worker ends when the other end closes, even in the middle of a run.
"""

import math
import os
import re
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgefleet_agent import pipe_frames
from edgefleet_agent.golden_run import GoldenRun
from edgefleet_agent.provider_session import LoadedProviders, built_in, load_providers, open_session, plugins, told_of
from edgefleet_agent.runtime_failure import failure_of
from edgefleet_agent.scoring import BadLabels, Scorer, not_finite_in, scorer_of
from edgefleet_agent.signatures import difference, signature_of
from edgefleet_agent.stepping import NotServed, SteppedModel
from edgefleet_agent.worker_memory import BYTES_PER_THREAD, WEIGHT_COPIES
from edgefleet_protocol.datatypes import BY_NAME, BY_RUNTIME, BYTES, pack_texts, size_of, texts_in
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.state import SequenceState

HEADROOM_BYTES = 64 * 1024 * 1024
"""Over what was measured: another instruction set packs weights otherwise, and a request is copied twice. The least
limit that models of 32 kB to 64 MB need on the measuring host is 0.48 to 1.03 of that figure."""
SHARE_OF_RAM = 0.5
"""The share of the machine's memory that a manifest may claim for one worker."""
NO_MEMORY = re.compile(r"bad_alloc|(failed|unable) to allocate", re.IGNORECASE)
RENEW_S = 0.5
"""How long a limit of CPU time stays fresh: renewing it takes two system calls, too many for every request."""

Reply = tuple[dict[str, Any], bytes]


class BadInput(Exception):  # noqa: N818 - reads as the statement it makes
    """The request's fault, not the model's."""


class Model:
    """One loaded model.

    Args:
        order: `path`, `runtime` (session configuration entries), `threads`, and perhaps `signature` and `state` of the
            manifest, and `scorer`, see `scoring.scorer_of`.
        providers: those that it is to run on; the CPU is always there.
    """

    def __init__(self, order: dict[str, Any], providers: LoadedProviders) -> None:
        self._golden: GoldenRun | None = None
        # No custom-op library is ever registered, and a slot has no file that external data could name.
        self.opened = open_session(order["path"], lambda: options_of(order), providers, int(order["threads"]))
        self._session = self.opened.session
        self.inputs = [_describe(tensor) for tensor in self._session.get_inputs()]
        self.outputs = [_describe(tensor) for tensor in self._session.get_outputs()]
        whole = found = signature_of(self.inputs, self.outputs)
        if claimed := order.get("signature"):
            whole = Signature.of(claimed)
            if told := difference(whole, found):
                raise NotServed(told)
        state = SequenceState.of(kept) if (kept := order.get("state")) else None
        self._stepped = SteppedModel(self._session, whole, state)
        self._signature = self._stepped.signature
        self._scorer = _scorer(order.get("scorer"), self._signature)
        self._names = [tensor.name for tensor in self._signature.outputs]
        # Without a task nobody knows what is read.
        self._read: Sequence[int] = range(len(self._names))
        if self._scorer:
            self._read = self._scorer.places_read(len(self._names))
        self._answered: list[NDArray[Any]] = []
        self._asked = 0

    def answer(self, tensors: list[dict[str, Any]], data: bytes) -> Reply:
        """Run one request; `tensors` give the name, type and shape of each tensor in `data`, in order.

        For a model with state, that follows the tensors, unless a sequence begins, and the next follows the answer.
        """
        feed, at = {}, 0
        for tensor in tensors:
            array, at = _unpacked(tensor, data, at)
            if not_finite_in([array]) is not None:
                raise BadInput(f"input '{tensor['name']}' contains values that are not finite")
            feed[tensor["name"]] = array
        results, state = self._stepped.run(feed, self._stepped.state_in(data, at))
        parts = [_packed(result) for result in results]
        bad = not_finite_in(results, self._read, self._names) or self._stepped.not_finite_in(state)
        told = {
            "shapes": [result.shape for result in results],
            "sizes": [len(part) for part in parts],
            "not_finite": bad or "",
        }
        self._answered, self._asked = [] if bad else results, self._samples_in(feed)
        return told, b"".join([*parts, *(array.tobytes() for array in state)])

    def _samples_in(self, feed: dict[str, NDArray[Any]]) -> int:
        batched = (one for one in self._signature.inputs if one.batched)
        return next((int(feed[one.name].shape[one.batch_axis]) for one in batched), 1)

    def count(self) -> Reply:
        """What the answers that were given last count as, and their reduced form; nothing if the task cannot tell."""
        results, self._answered = self._answered, []
        if self._scorer is None or not results:
            return {"categories": []}, b""
        try:
            categories, packed = self._scorer.counted(results, self._signature, self._asked)
        except (ValueError, LookupError, TypeError) as error:
            return {"categories": [], "why": str(error)[:200]}, b""
        return {"categories": categories}, packed

    def self_test(self, order: dict[str, Any], recorded: bytes) -> Reply:
        """Begin a self-test, or go on with it for about a second; see `GoldenRun`."""
        if order["begin"]:
            self._golden = GoldenRun(self._stepped, order, recorded)
        return (self._golden.go_on() if self._golden else {"refused": "no self-test has begun"}), b""


def options_of(order: dict[str, Any]) -> Any:
    """The options of a session: the manifest's entries, and how many threads it may use."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(order["threads"])
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in order["runtime"].items():
        options.add_session_config_entry(key, value)
    return options


def _describe(tensor: Any) -> dict[str, Any]:
    datatype = BY_RUNTIME.get(tensor.type)
    if datatype is None:
        raise NotServed(f"'{tensor.name}' is a {tensor.type}, which the agent does not serve")
    shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
    return {"name": tensor.name, "datatype": datatype.name, "shape": shape}


def _unpacked(tensor: dict[str, Any], data: bytes, at: int) -> tuple[NDArray[Any], int]:
    """A tensor of a request, and where the next one begins."""
    count = math.prod(tensor["shape"])
    if tensor["datatype"] != BYTES:
        array = np.frombuffer(data, BY_NAME[tensor["datatype"]].numpy, count, at)
        return array.reshape(tensor["shape"]), at + array.nbytes
    try:
        texts = [text.decode() for text in texts_in(data, count, at)]
    except UnicodeDecodeError:
        raise BadInput(f"input '{tensor['name']}' has a text that is not UTF-8") from None
    return np.array(texts, object).reshape(tensor["shape"]), at + size_of(BYTES, data, count, at)


def _packed(result: NDArray[Any]) -> bytes:
    return pack_texts(str(text).encode() for text in result.flat) if result.dtype.kind == "O" else result.tobytes()


def _scorer(text: str | None, signature: Signature) -> Scorer | None:
    """What counts the answers; None if the model does not do the task: its self-test has said so, or will."""
    if text is None:
        return None
    try:
        scorer = scorer_of(text)
        return None if scorer.task.fits(signature, scorer.spec) else scorer
    except ValueError as error:
        print(f"answers are not counted: {error}", file=sys.stderr, flush=True)
        return None


def score(order: dict[str, Any], packed: bytes) -> Reply:
    """Score kept answers by their labels: `scores`, or what is wrong with the labels."""
    try:
        found = scorer_of(order["scorer"]).scores(packed, order["labels"])
    except ValueError as error:
        return {"unscored": str(error)}, b""
    if isinstance(found, BadLabels):
        return {"unscored": found.sentence, "bad": found.count}, b""
    return {"scores": found}, b""


def limit_memory(
    file_bytes: int,
    unfolded_bytes: int,
    address_bytes: int,
    threads: int,
    room_bytes: int = 0,
    providers_bytes: int = 0,
) -> tuple[int, int, int]:
    """Limit the address space to what the imports took plus what the model needed at its build or may need by its size.

    The libraries of execution providers are among the imports; `providers_bytes` is what they take at work.

    What the file's size implies is always granted. What a manifest claims is granted up to the machine's memory if it
    was measured, up to a share of it if it follows from the weights. Whatever that comes to, `room_bytes` is the most
    that the supervisor has for this model; 0 without a budget.

    Returns:
        The most that was resident so far, how much more it may take, and the limit itself; 0 without a limit.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():  # macOS has neither the count nor the limit
        return 0, 0, 0
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    ram_bytes = os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()
    unfolded = min(WEIGHT_COPIES * unfolded_bytes, int(SHARE_OF_RAM * ram_bytes))
    measured = min(address_bytes, ram_bytes)
    model = max(WEIGHT_COPIES * file_bytes, unfolded, measured)
    granted = min(HEADROOM_BYTES + model, room_bytes or sys.maxsize) + BYTES_PER_THREAD * threads + providers_bytes
    resource.setrlimit(resource.RLIMIT_AS, (used + granted, used + granted))
    # Of the same count as the supervisor's once this process has ended, which goes on from that of its parent.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, granted, used + granted


class CpuLimit:
    """Limits the CPU time of one request; a worker as a whole has no limit."""

    def __init__(self) -> None:
        self._seconds, self._renewed_s = 0, -math.inf

    def renew(self, seconds: int) -> None:
        """Allow `seconds` more, plus two at most."""
        now_s = time.monotonic()
        if seconds == self._seconds and now_s - self._renewed_s < RENEW_S:
            return
        self._seconds, self._renewed_s = seconds, now_s
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 2 + seconds, resource.RLIM_INFINITY))


def end_with_supervisor(descriptor: int) -> None:
    """End this process when the other end of the pipe closes, even in the middle of a run."""
    poll = select.poll()
    poll.register(descriptor, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll()
    os._exit(0)


class WorkerLoop:
    """Answers frames until the pipe closes."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe, self._frames = pipe, pipe_frames.FrameReader(pipe)
        self._model: Model | None = None
        self._cpu = CpuLimit()

    def run(self) -> None:
        """Answer one frame after the other."""
        while True:
            try:
                header, data = self._frames.receive(None)
            except (pipe_frames.FrameError, TimeoutError):
                return
            except MemoryError:  # the supervisor sees what this worker took, and tells the client
                print("a request needed more memory than its worker may take", file=sys.stderr, flush=True)
                return
            self._cpu.renew(int(header["cpu_s"]))
            reply, data = self._reply(header, data)
            try:
                pipe_frames.send(self._pipe, reply, data, None)  # a supervisor that stops reading closes or kills
                if self._model and "shapes" in reply:  # the client has its answer while we count
                    pipe_frames.send(self._pipe, *self._model.count(), None)
            except pipe_frames.FrameError:
                return

    def _reply(self, header: dict[str, Any], data: bytes) -> Reply:
        try:
            if header["op"] == "load":
                return self._load(header)
            if header["op"] == "score":
                return score(header, data)
            if self._model is None:
                return {"error": "nothing is loaded"}, b""
            if header["op"] == "self_test":
                return self._model.self_test(header, data)
            return self._model.answer(header["inputs"], data)
        except BadInput as error:
            return {"error": str(error), "bad_input": True}, b""
        except NotServed as error:
            return {"error": str(error)}, b""
        except Exception as error:  # whatever the model does, the supervisor gets an answer
            text = f"{type(error).__name__}: {error}"[:1000]
            failure = failure_of(error, loading=header["op"] == "load")
            return {
                "error": str(failure),
                "failure": asdict(failure),
                "text": text,
                "memory": isinstance(error, MemoryError) or bool(NO_MEMORY.search(text)),
            }, b""

    def _load(self, order: dict[str, Any]) -> Reply:
        size_bytes = Path(order["path"]).stat().st_size
        claims = int(order.get("unfolded_bytes") or 0), int(order.get("address_bytes") or 0)
        providers = load_providers(order.get("providers") or ())
        there = load_providers(ort.get_available_providers() if order.get("offers") else ())
        providers_bytes = max(providers.address_bytes, there.address_bytes)
        room = int(order["threads"]), int(order.get("room_bytes") or 0), providers_bytes
        resident_bytes, granted_bytes, limit_bytes = limit_memory(size_bytes, *claims, *room)
        self._model = model = Model(order, providers)
        told: dict[str, Any] = {
            "inputs": model.inputs,
            "outputs": model.outputs,
            "nodes": model.opened.nodes,
            "why": model.opened.why,
            "providers_bytes": providers_bytes,
            "devices": {name: told_of(name) for name in providers.names},
        }
        if order.get("offers"):
            told["offered"] = built_in(order["path"], lambda: options_of(order), int(order["threads"]))
            told["plugins"] = plugins()
        limits = {"resident_bytes": resident_bytes, "granted_bytes": granted_bytes, "limit_bytes": limit_bytes}
        return told | limits, b""


def main() -> None:
    """Serve the descriptor named on the command line."""
    # Ctrl-C reaches the whole process group: ending is up to the supervisor. Onnxruntime's prints go to stderr.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    pipe = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=end_with_supervisor, args=(pipe.fileno(),), daemon=True).start()
    WorkerLoop(pipe).run()
    os._exit(0)


if __name__ == "__main__":
    main()
