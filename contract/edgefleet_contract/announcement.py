"""Where to reach a controller: a file in its state folder, for commands on the same machine."""

from edgefleet_contract.base import Shape

ANNOUNCED_IN = "controller.json"
"""The file's name, in the state folder."""


class Announcement(Shape):
    """The URLs of the API and of the broker, and the controller's process id."""

    api: str
    broker: str
    pid: int
