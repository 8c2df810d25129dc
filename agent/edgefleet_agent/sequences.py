"""The sequences of models with state: which are under way, and the state of each, as bytes that only a worker reads.

A state changes only once an answer was given, and the worker has none of its own: its death, the end of a trial and a
switch lose nothing. Requests of one sequence are answered one after the other, as they came.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgefleet_agent.errors import Busy, RequestError, SequenceEnded
from edgefleet_protocol.manifest import Core
from edgefleet_protocol.signature import Tensor
from edgefleet_protocol.state import MAX_STATE_BYTES

MOST_SEQUENCES = 4096
MOST_IN_LINE = 8
"""Requests of one sequence at once: an eighth of the connections that the endpoint has."""
MAX_ID = 128
WAIT_S = 10.0
"""As long as one request may take."""
ID, START, END = "sequence_id", "sequence_start", "sequence_end"
PARAMETERS = (ID, START, END)
BEGIN = f"begin with {START}"
SequenceKey = tuple[str, int | str]
"""A model, and the id that the application gave the sequence: 7 is another one than "7"."""


@dataclass(frozen=True)
class SequenceStep:
    """A request's place in its sequence."""

    id: int | str
    starts: bool = False
    ends: bool = False


@dataclass(frozen=True)
class KeptState:
    """What a variant keeps of a sequence: the inputs that take it, by name, type and shape, and its outputs' names."""

    variant: str
    version: int
    tensors: tuple[tuple[str, Tensor], ...]
    carries: bool
    idle_s: float
    size_bytes: int

    @classmethod
    def of(cls, variant: str, version: int, core: Core) -> "KeptState | None":
        """The state of a variant's sequences; None without one."""
        state, signature = core.state, core.signature
        if state is None or signature is None:
            return None
        ends = zip(state.pairs, state.tensors(signature), strict=True)
        tensors = tuple((pair.gives, tensor) for pair, tensor in ends)
        return cls(variant, version, tensors, state.carries, state.idle_s, state.size_bytes(signature))

    def takes(self, kept: "KeptState") -> bool:
        """Whether a sequence goes on here with the state that another variant kept: the newer version says."""
        if kept.variant == self.variant:
            return True
        newer = self if self.version >= kept.version else kept
        return newer.carries and kept.tensors == self.tensors


def step_of(parameters: dict[str, Any], has_state: bool) -> SequenceStep | None:
    """Which step of which sequence a request is; None for a model without state.

    Args:
        parameters: the request's.
        has_state: whether the model has.

    Raises:
        RequestError: 400, with what is wrong and what is expected.
    """
    given = [name for name in PARAMETERS if name in parameters]
    if not has_state:
        if given:
            raise RequestError(400, f"'{given[0]}' is of no use: this model keeps no state, so leave it out")
        return None
    sequence, flags = parameters.get(ID), [parameters.get(name, False) for name in (START, END)]
    if sequence is None:
        raise RequestError(400, f"this model keeps state: name the sequence of this step with {ID}, and {BEGIN}")
    whole = isinstance(sequence, int) and not isinstance(sequence, bool) and 0 < sequence < 2**64
    if not whole and not (isinstance(sequence, str) and 0 < len(sequence) <= MAX_ID):
        raise RequestError(400, f"{ID} must be a whole number above 0, or a text of at most {MAX_ID} characters")
    if not all(isinstance(flag, bool) for flag in flags):
        raise RequestError(400, f"{START} and {END} must be true or false")
    return SequenceStep(sequence, *flags)


@dataclass
class _Kept:
    """A sequence that is under way; before its first answer it has no state, and holds its place."""

    kind: KeptState
    state: bytes = b""
    used_s: float = 0.0
    asked: bool = True

    def is_over(self, now_s: float) -> bool:
        return not self.asked and now_s - self.used_s > self.kind.idle_s


class Turn:
    """One request's turn at its sequence; of one thread."""

    def __init__(self, sequences: "Sequences", key: SequenceKey, step: SequenceStep, kept: _Kept | None) -> None:
        self._sequences, self._key, self.step = sequences, key, step
        self._kept = kept

    def refusal(self, kind: KeptState) -> SequenceEnded | None:
        """Why the sequence cannot go on with a variant; None if it can."""
        kept = self._kept
        if kept is None or kind.takes(kept.kind):
            return None
        return SequenceEnded(
            f"{_named(self.step.id)} was ended by version {kind.version} of the model, which does not take the state "
            f"of version {kept.kind.version}: {BEGIN}"
        )

    def given(self, kind: KeptState) -> bytes:
        """The state for this step; nothing for the first one, which begins with zeros.

        Raises:
            RequestError: 503: no other sequence can be kept.
        """
        if self._kept:
            return self._kept.state
        if not self.step.ends:
            self._sequences.hold_place(self._key, kind)
        return b""

    def took(self, kind: KeptState, state: bytes) -> None:
        """Keep what an answer that was given left of the state, unless the sequence ends with it."""
        self._sequences.keep(self._key, None if self.step.ends else _Kept(kind, state))


class Sequences:
    """The sequences under way, of all models, within bounds; any thread may ask.

    Args:
        monotonic_s: the monotonic clock, in seconds.
        at_most: how many may be under way.
        at_most_bytes: the states of all together.
        wait_s: how long a request waits for those of its sequence before it.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        at_most: int = MOST_SEQUENCES,
        at_most_bytes: int = MAX_STATE_BYTES,
        wait_s: float = WAIT_S,
    ) -> None:
        self._wait_s = wait_s
        self._monotonic_s, self._at_most, self._at_most_bytes = monotonic_s, at_most, at_most_bytes
        self._lock = threading.Lock()
        self._kept: dict[SequenceKey, _Kept] = {}
        self._bytes = 0
        self._lines: dict[SequenceKey, deque[threading.Event]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def turn(self, model: str, step: SequenceStep) -> Iterator[Turn]:
        """Wait for those of the same sequence that came before, and hold the next ones until this one is over.

        Raises:
            RequestError: 400: the sequence is not under way; 503: too many of its requests wait; 409, from within: it
                has ended, and is forgotten.
        """
        key = (model, step.id)
        mine = self._line_up(key, step)
        replaces = False
        try:
            if not mine.wait(self._wait_s):
                raise Busy
            replaces = step.starts and key in self._kept
            yield Turn(self, key, step, self._begun(key, step))
        except SequenceEnded:
            self.keep(key, None)
            raise
        except RequestError as error:
            if not replaces:
                raise
            told = f"{error}; the {_named(step.id)} that was under way has ended with this start: {BEGIN}"
            raise RequestError(error.status, told) from error
        finally:
            self._next(key, mine)

    def hold_place(self, key: SequenceKey, kind: KeptState) -> None:
        """Hold a place for a sequence that begins, if need be that of one that was idle for too long.

        Raises:
            RequestError: 503.
        """
        with self._lock:
            self._drop(key)
            if not self._has_room(kind):
                now_s = self._monotonic_s()
                for over in [one for one, kept in self._kept.items() if kept.is_over(now_s)]:
                    self._drop(over)
            if not self._has_room(kind):
                told = f"{len(self._kept):,} sequences are under way, as many as are kept here"
                raise RequestError(503, f"{told}: end some with {END}, or wait until some were idle for long enough")
            self._put(key, _Kept(kind))

    def keep(self, key: SequenceKey, kept: _Kept | None) -> None:
        """Put a sequence in the place of what was kept of it; None ends it."""
        with self._lock:
            self._drop(key)
            if kept:
                self._put(key, kept)

    def _line_up(self, key: SequenceKey, step: SequenceStep) -> threading.Event:
        mine = threading.Event()
        with self._lock:
            line = self._lines.setdefault(key, deque())
            if len(line) >= MOST_IN_LINE:
                told = f"{len(line)} requests of {_named(step.id)} wait already: send the next once one is answered"
                raise RequestError(503, told)
            line.append(mine)
            if line[0] is mine:
                mine.set()
        return mine

    def _begun(self, key: SequenceKey, step: SequenceStep) -> _Kept | None:
        """What is kept of a sequence, at its turn; None for one that starts, which ends the one before.

        Also if it is not answered: Triton ends it as the start comes, and an application that starts has no use for it.
        """
        with self._lock:
            kept = self._kept.get(key)
            over = kept is not None and kept.is_over(self._monotonic_s())
            if step.starts or over:
                self._drop(key)
            if step.starts:
                return None
            if kept is None:
                raise RequestError(400, f"{_named(step.id)} is not under way: {BEGIN}")
            if over:
                told = f"{_named(step.id)} was idle for over {kept.kind.idle_s:g} s, and has ended"
                raise RequestError(400, f"{told}: {BEGIN}")
            kept.asked = True
            return kept

    def _next(self, key: SequenceKey, mine: threading.Event) -> None:
        with self._lock:
            line = self._lines[key]
            if line[0] is mine and (kept := self._kept.get(key)):
                kept.asked = False
                if not kept.state:  # its first step got no answer
                    self._drop(key)
            line.remove(mine)
            if line:
                line[0].set()
            else:
                del self._lines[key]

    def _has_room(self, kind: KeptState) -> bool:
        return len(self._kept) < self._at_most and self._bytes + kind.size_bytes <= self._at_most_bytes

    def _put(self, key: SequenceKey, kept: _Kept) -> None:
        kept.used_s = self._monotonic_s()
        self._kept[key] = kept
        self._bytes += kept.kind.size_bytes

    def _drop(self, key: SequenceKey) -> None:
        if dropped := self._kept.pop(key, None):
            self._bytes -= dropped.kind.size_bytes


def _named(sequence: int | str) -> str:
    return f"sequence {sequence}" if isinstance(sequence, int) else f"sequence '{sequence}'"
