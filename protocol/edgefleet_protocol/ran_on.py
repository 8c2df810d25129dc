"""What a device reports of its execution providers: which work, and what its variants run on."""

from pydantic import Field

from edgefleet_protocol.fields import Count, Text, Word
from edgefleet_protocol.part import Part


class ProviderState(Part):
    """An execution provider as an agent found it at its start: whether it works, and if not, `why`.

    `version`, `device_type` and `vendor` are what onnxruntime tells of the device that it computes on, if it does.
    """

    name: Word
    works: bool
    why: Text | None = None
    version: Word = ""
    device_type: Word = ""
    vendor: Word = ""

    @property
    def told(self) -> str:
        """It for people, in one line."""
        named = f"{self.name} {self.version}".strip()
        if not self.works:
            return f"{named} does not work ({self.why})"
        return f"{named} works{f' on {self.vendor} {self.device_type}' if self.device_type else ''}"


class RanOn(Part):
    """What a variant runs on: how many nodes of its graph each execution provider has, by the session's assignment.

    `why` says why that is not what was asked for: the CPU runs some of the nodes, or all of them.
    """

    nodes: dict[Word, Count] = Field(default_factory=dict, max_length=64)
    why: Text | None = None

    @property
    def told(self) -> str:
        """It for people, in one line."""
        nodes = ", ".join(f"{name} {count} {'node' if count == 1 else 'nodes'}" for name, count in self.nodes.items())
        return f"{nodes or 'unknown'}{f' ({self.why})' if self.why else ''}"
