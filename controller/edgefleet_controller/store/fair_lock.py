"""A lock that is taken in the order of asking: a thread that takes it again and again starves nobody."""

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """Reentrant, as `threading.RLock`; that one knows no order, and a busy writer kept readers waiting for 30 s."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._owner != me:  # nobody but this thread makes it the owner without its asking
            with self._mutex:
                free = self._owner is None
                gate = threading.Lock()
                if free:
                    self._owner = me
                else:
                    gate.acquire()
                    self._waiting.append((me, gate))
            if not free:
                gate.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        with self._mutex:
            if not self._waiting:
                self._owner = None
                return
            self._owner, gate = self._waiting.popleft()
            gate.release()
