"""The last answers by request id, for labels that come later: small, and bounded whatever clients ask."""

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b

MAX_RECENT = 10_000
MAX_KEPT_BYTES = 8 * 2**20
"""What all these answers take at most, reduced: one has up to 4 KB, and a single request may have thousands of rows."""
PAGE_BYTES = 64 * 1024
MAX_SCOPES = 1000
"""Far more variants than answer within ten thousand requests."""
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
    """What many answers share: who gave them, and how they are scored; see `scoring.scorer_of`."""

    key: Key
    scorer: str


@dataclass(frozen=True)
class RecentAnswer:
    """One answer: its rows, reduced; empty if it was not counted, was too large to keep, or has had its label."""

    scope: AnswerScope
    answers: bytes
    labelled: bool


@dataclass
class _Page:
    """Answers one after the other, and how many of them are still needed."""

    data: bytearray = field(default_factory=bytearray)
    needed: int = 0


class RecentAnswers:
    """The last answers; the oldest make room. Not for several threads at once.

    They lie in pages of plain bytes: ten thousand objects that live for minutes would take several times as much, and
    keep the heap from giving back what short-lived ones took beside them. A page is given up as a whole, once none of
    its answers is needed.

    Args:
        at_most: how many.
        kept_bytes: what they may take; the newest is kept whatever it takes.
    """

    def __init__(self, at_most: int = MAX_RECENT, kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._at_most, self._kept_bytes = at_most, kept_bytes
        self._digests = bytearray(at_most * ID_BYTES)
        self._scope_of = array("H", bytes(2 * at_most))
        self._page_of, self._begin_of, self._size_of = (array("I", bytes(4 * at_most)) for _ in range(3))
        self._labelled = bytearray(at_most)
        self._pages: OrderedDict[int, _Page] = OrderedDict()
        self._bytes = 0
        self._scopes: dict[AnswerScope, int] = {}
        self._first = self._count = 0
        """How many answers there were before the first whose bytes may be kept, and in all."""

    def keep(self, request_id: str, key: Key, answers: bytes, scorer: str) -> None:
        """Keep an answer, in place of an older one with this id.

        Args:
            request_id: the id that a label may name.
            key: who answered.
            answers: its rows, reduced; may be empty.
            scorer: how they are scored.
        """
        scope, place = self._number(AnswerScope(key, scorer)), self._count % self._at_most
        self._forget(place)
        self._digests[place * ID_BYTES : (place + 1) * ID_BYTES] = _digest(key.model, request_id)
        self._scope_of[place], self._labelled[place] = scope, False
        self._count += 1
        self._put(place, answers)
        self._first = max(self._first, self._count - self._at_most)
        while self._bytes > self._kept_bytes and self._first < self._count - 1:
            self._drop(self._first % self._at_most)
            self._first += 1

    def find(self, model: str, request_id: str) -> RecentAnswer | None:
        """The answer to a request, if it is one of the last."""
        place = self._place(model, request_id)
        if place is None:
            return None
        answers, size = b"", self._size_of[place]
        if size:
            begin = self._begin_of[place]
            answers = bytes(self._pages[self._page_of[place]].data[begin : begin + size])
        scope = list(self._scopes)[self._scope_of[place]]
        return RecentAnswer(scope, answers, bool(self._labelled[place]))

    def mark_labelled(self, model: str, request_id: str) -> None:
        """Note that an answer has had its label: of what it said, nothing is needed any more."""
        place = self._place(model, request_id)
        if place is not None:
            self._labelled[place] = True
            self._drop(place)

    def _place(self, model: str, request_id: str) -> int | None:
        """Where the newest answer with this id lies."""
        digest, found = _digest(model, request_id), list[int]()
        at = self._digests.find(digest)
        while at >= 0:
            if at % ID_BYTES == 0:
                found.append(at // ID_BYTES)
            at = self._digests.find(digest, at + 1)
        return min(found, key=lambda place: (self._count - 1 - place) % self._at_most, default=None)

    def _forget(self, place: int) -> None:
        self._digests[place * ID_BYTES : (place + 1) * ID_BYTES] = bytes(ID_BYTES)
        self._drop(place)

    def _put(self, place: int, answers: bytes) -> None:
        if not answers:
            return
        number = next(reversed(self._pages), 0)
        if not self._pages or len(self._pages[number].data) + len(answers) > PAGE_BYTES:
            number = (number + 1) % 2**32
            self._pages[number] = _Page()
        page = self._pages[number]
        self._page_of[place], self._begin_of[place], self._size_of[place] = number, len(page.data), len(answers)
        page.data += answers
        page.needed += 1
        self._bytes += len(answers)

    def _drop(self, place: int) -> None:
        """Forget what an answer said; a page goes with the last of its answers."""
        if not self._size_of[place]:
            return
        self._size_of[place] = 0
        page = self._pages[self._page_of[place]]
        page.needed -= 1
        if not page.needed:
            self._bytes -= len(page.data)
            del self._pages[self._page_of[place]]

    def _number(self, scope: AnswerScope) -> int:
        """The number of a scope; beyond the last one, all begins anew."""
        if scope not in self._scopes and len(self._scopes) == MAX_SCOPES:
            self._scopes.clear()
            for place in range(self._at_most):
                self._forget(place)
        return self._scopes.setdefault(scope, len(self._scopes))


def _digest(model: str, request_id: str) -> bytes:
    return blake2b(f"{model}\0{request_id}".encode(errors="surrogatepass"), digest_size=ID_BYTES).digest()
