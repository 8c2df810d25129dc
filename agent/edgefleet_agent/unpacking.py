"""Makes a slot of a finished download, on a thread of its own."""

from edgefleet_agent.device import Device
from edgefleet_agent.download import unpack
from edgefleet_agent.errors import Rejected
from edgefleet_agent.events import Unpacked
from edgefleet_protocol.messages import Attempt


class Unpacking:
    """One unpacking; `run` blocks, so it needs a thread, and posts `Unpacked`."""

    def __init__(self, model: str, attempt: Attempt, device: Device) -> None:
        self._model, self._attempt, self._device = model, attempt, device

    def run(self) -> None:
        """Make a slot of what was downloaded."""
        refused = None
        try:
            unpack(self._device.downloads, self._attempt.manifest or "", self._device.slots)
        except Rejected as error:
            refused = error
        self._device.post(Unpacked(self._model, self._attempt.generation, refused))
