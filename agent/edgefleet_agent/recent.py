"""The last answers by request id, for labels that come later: small, and bounded whatever clients ask."""

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

MAX_RECENT = 10_000
MAX_ROWS_BYTES = 1024 * 1024
"""What the classes of all these answers take at most: a single request may have thousands of rows."""
MAX_SCOPES = 1000
"""Far more variants than answer within ten thousand requests."""
NO_SINGLE = 2**32 - 1
ID_BYTES = 12
"""Enough to tell 10,000 ids apart; an id itself may have 200 characters."""


@dataclass(frozen=True)
class Key:
    """What a window is about."""

    model: str
    model_version: int
    variant: str
    generation: int


@dataclass(frozen=True)
class AnswerScope:
    """What many answers share: who gave them, from how many classes, and the labels' texts by class."""

    key: Key
    of: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class RecentAnswer:
    """One answer: the class of each row; none if the model is not a classifier."""

    scope: AnswerScope
    classes: tuple[int, ...]
    labelled: bool


class RecentAnswers:
    """The last answers; the oldest make room. Not for several threads at once.

    They lie in a ring of plain bytes: ten thousand objects that live for minutes would take ten times as much, and keep
    the heap from giving back what short-lived ones took beside them.

    Args:
        at_most: how many.
        rows_bytes: what the classes of all batches may take; the newest answer is kept whatever it takes.
    """

    def __init__(self, at_most: int = MAX_RECENT, rows_bytes: int = MAX_ROWS_BYTES) -> None:
        self._at_most, self._rows_bytes = at_most, rows_bytes
        self._digests = bytearray(at_most * ID_BYTES)
        self._scope_of = array("H", bytes(2 * at_most))
        self._class_of = array("I", bytes(4 * at_most))
        self._labelled = bytearray(at_most)
        self._batches: OrderedDict[int, bytes] = OrderedDict()  # by place, the oldest first
        self._batches_bytes = 0
        self._scopes: dict[AnswerScope, int] = {}
        self._next = 0

    def keep(self, request_id: str, key: Key, classes: list[int], of: int, names: tuple[str, ...]) -> None:
        """Keep an answer, in place of an older one with this id.

        Args:
            request_id: the id that a label may name.
            key: who answered.
            classes: the class of each row.
            of: how many classes each row was chosen from.
            names: the labels' texts by class; may be empty.
        """
        scope, place = self._number(AnswerScope(key, of, names)), self._next
        self._forget(place)
        self._digests[place * ID_BYTES : (place + 1) * ID_BYTES] = _digest(key.model, request_id)
        self._scope_of[place], self._labelled[place] = scope, False
        self._class_of[place] = classes[0] if len(classes) == 1 else NO_SINGLE
        if len(classes) > 1:
            self._batches[place] = array(_code(of), classes).tobytes()
            self._batches_bytes += len(self._batches[place])
        while self._batches_bytes > self._rows_bytes and len(self._batches) > 1:
            self._forget(next(iter(self._batches)))
        self._next = (place + 1) % self._at_most

    def find(self, model: str, request_id: str) -> RecentAnswer | None:
        """The answer to a request, if it is one of the last."""
        place = self._place(model, request_id)
        if place is None:
            return None
        scope = list(self._scopes)[self._scope_of[place]]
        classes: tuple[int, ...] = ()
        if self._class_of[place] != NO_SINGLE:
            classes = (self._class_of[place],)
        elif packed := self._batches.get(place):
            classes = tuple(array(_code(scope.of), packed))
        return RecentAnswer(scope, classes, bool(self._labelled[place]))

    def mark_labelled(self, model: str, request_id: str) -> None:
        """Note that an answer has had its label: of what it said, nothing is needed any more."""
        place = self._place(model, request_id)
        if place is not None:
            self._labelled[place] = True
            self._drop_batch(place)

    def _place(self, model: str, request_id: str) -> int | None:
        """Where the newest answer with this id lies."""
        digest, found = _digest(model, request_id), list[int]()
        at = self._digests.find(digest)
        while at >= 0:
            if at % ID_BYTES == 0:
                found.append(at // ID_BYTES)
            at = self._digests.find(digest, at + 1)
        return min(found, key=lambda place: (self._next - 1 - place) % self._at_most, default=None)

    def _forget(self, place: int) -> None:
        self._digests[place * ID_BYTES : (place + 1) * ID_BYTES] = bytes(ID_BYTES)
        self._drop_batch(place)

    def _drop_batch(self, place: int) -> None:
        self._batches_bytes -= len(self._batches.pop(place, b""))

    def _number(self, scope: AnswerScope) -> int:
        """The number of a scope; beyond the last one, all begins anew."""
        if scope not in self._scopes and len(self._scopes) == MAX_SCOPES:
            self._scopes.clear()
            for place in range(self._at_most):
                self._forget(place)
        return self._scopes.setdefault(scope, len(self._scopes))


def _code(of: int) -> str:
    """The array code that holds an index of so many classes."""
    return "B" if of <= 2**8 else "H" if of <= 2**16 else "I"


def _digest(model: str, request_id: str) -> bytes:
    return blake2b(f"{model}\0{request_id}".encode(errors="surrogatepass"), digest_size=ID_BYTES).digest()
