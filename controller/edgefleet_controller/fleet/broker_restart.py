"""The embedded broker does not write again by itself after its disk was full: when it has to be started again. No I/O.

Measured with nats-server 2.15: a write that fails leaves its stream broken for good. Devices that are connected stay
so, cannot report, and once they are gone cannot come back.
"""

STARVED_BYTES = 1024 * 1024
"""With less than this a write of the broker may have failed."""
FED_BYTES = 16 * 1024 * 1024
"""With so much it can work again; the gap keeps a disk at its edge from restarting it all the time."""


class BrokerRestart:
    """Told at every tick how much room there is."""

    def __init__(self) -> None:
        self._starved = False

    def is_over(self, free_bytes: int) -> bool:
        """True once, when there is room again after there was none."""
        if free_bytes < STARVED_BYTES:
            self._starved = True
        over = self._starved and free_bytes >= FED_BYTES
        self._starved = self._starved and not over
        return over
