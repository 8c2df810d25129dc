"""An application that never stops asking, and a ledger: what devices measured against what the controller stored."""

import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
from tests.fleet.asking import ask
from tests.fleet.conftest import Agent, Fleet

PAUSE_S = 0.2


class Application:
    """Asks every agent in turn; what is not answered once a variant answers there is kept in `refused`."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.refused: list[tuple[str, int]] = []
        self._agents: list[Agent] = []
        self._running = threading.Event()
        self._idle = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask_too(self, agent: Agent) -> None:
        """Begin to ask one more."""
        self._agents.append(agent)

    def resume(self) -> None:
        """Ask."""
        self._running.set()

    def pause(self) -> None:
        """Ask no more; returns when the last answer is here."""
        with self._idle:
            self._running.clear()

    def end(self) -> None:
        """Ask never again."""
        self._ended.set()
        self._running.set()
        self._thread.join()

    def _run(self) -> None:
        image = np.zeros((28, 28))
        while self._running.wait() and not self._ended.is_set():
            for agent in list(self._agents):
                with self._idle:
                    if self._running.is_set():
                        self._ask(agent, image)
            self._ended.wait(PAUSE_S)

    def _ask(self, agent: Agent, image: np.ndarray) -> None:
        status = ask((agent.state / "endpoint").read_text(), image)[0]
        if status == 200:
            self.answered[agent.id] += 1
        elif status != 503 or self.answered[agent.id]:
            self.refused.append((agent.id, status))


class Ledger:
    """Reads the spools of agents and the controller's telemetry, beside the running processes."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def made(self, agent: Agent) -> int:
        """How many windows an agent ever made: the last number that its spool has given."""
        found = _read(agent.state / "spool.db", "SELECT seq FROM sqlite_sequence WHERE name = 'windows'")
        return found[0][0] if found else 0

    def waiting(self, agent: Agent) -> int:
        """How many windows wait in an agent's spool."""
        return int(_read(agent.state / "spool.db", "SELECT count(*) FROM windows")[0][0])

    def stored(self, agent: Agent) -> list[int]:
        """The numbers of an agent's windows that the controller has, row by row."""
        rows = "SELECT seq FROM windows WHERE device = ? ORDER BY seq"
        return [seq for (seq,) in _read(self._fleet.state / "telemetry.db", rows, agent.id)]

    def requests(self, agent: Agent) -> int:
        """How many requests the stored windows of an agent tell of."""
        rows = "SELECT coalesce(sum(requests), 0) FROM windows WHERE device = ?"
        return int(_read(self._fleet.state / "telemetry.db", rows, agent.id)[0][0])


def _read(path: Path, query: str, *parameters: object) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(query, parameters).fetchall()
