"""When to restart the embedded broker after a full disk, from which it does not recover by itself. No I/O.

Measured with nats-server 2.15: after a failed write, a stream stays broken. Connected devices stay connected but cannot
report, and once disconnected they cannot come back.
"""

STARVED_BYTES = 1024 * 1024
"""With less free than this, a write of the broker may have failed."""
FED_BYTES = 16 * 1024 * 1024
"""With this much free it works again; the gap avoids constant restarts on a disk that stays nearly full."""


class BrokerRestart:
    """Decides at every tick, from the free space."""

    def __init__(self) -> None:
        self._starved = False

    def is_over(self, free_bytes: int) -> bool:
        """True once, when there is space again after a full disk."""
        if free_bytes < STARVED_BYTES:
            self._starved = True
        over = self._starved and free_bytes >= FED_BYTES
        self._starved = self._starved and not over
        return over
