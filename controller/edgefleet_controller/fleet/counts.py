"""What is counted of the messages from devices since the start: each counter's name, and what it counts."""

from typing import Literal, get_args

MessageKind = Literal["reported", "presence", "telemetry", "want"]
WhyNotTaken = Literal["set_aside", "of_pending", "outside_window", "not_for_it", "dropped", "not_stored"]
Counted = Literal[MessageKind, WhyNotTaken, "newer_phases", "windows", "windows_repeated", "windows_set_aside"]

MESSAGE_KINDS: tuple[MessageKind, ...] = get_args(MessageKind)
NOT_TAKEN: dict[WhyNotTaken, str] = {
    "set_aside": "unreadable",
    "of_pending": "of a device that waits to be accepted",
    "outside_window": "a want while its region delivers nothing",
    "not_for_it": "a want on another device's channel, or for what its device was not told of",
    "dropped": "the queue was full",
    "not_stored": "the store could not take them",
}
OTHERS: dict[Counted, str] = {
    "newer_phases": "Attempts reported in a phase that only newer agents know, at every report.",
    "windows": "Telemetry windows stored, each once.",
    "windows_repeated": "Telemetry windows that came again, after they were stored.",
    "windows_set_aside": "Telemetry messages that cannot be read or contradict themselves; nothing of them counts.",
}
ALL: tuple[Counted, ...] = (*MESSAGE_KINDS, *NOT_TAKEN, *OTHERS)
