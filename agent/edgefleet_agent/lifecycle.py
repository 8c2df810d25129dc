"""The lifecycle of one attempt at one generation: a table, and nothing else.

A row says: in this phase, this event moves the attempt to that phase and has that effect. The phase is on the disk
before the effect begins. A missing row is a bug and raises.
"""

from typing import Literal

from edgefleet_agent.errors import NoSuchTransition
from edgefleet_protocol.phases import ENDED, ON_THE_WAY, Phase

Event = Literal[
    "desired",  # a generation that is new to this device
    "nothing_wanted",  # its manifest is None
    "already_answering",  # the wanted variant answers already
    "on_disk",  # the variant has a slot
    "accepted",  # the manifest fits this device, and the bytes are to be fetched
    "refused",  # the manifest does not fit this device
    "no_space",  # the disk is full, for now
    "room",  # another try is worth it
    "downloaded",  # every byte has arrived and matches its digest
    "unpacked",  # the variant is in a slot of its own
    "activate",  # the controller wants it to answer, and it may switch now
    "told",  # the controller asked for the switch, or withdrew that, before this device could switch
    "passed",  # the golden set came out as recorded
    "held",  # it answered for the whole trial
    "failed",
    "failed_alone",  # it failed in the trial, without an old variant
    "superseded",  # a higher generation has come
    "restarted",  # the agent started and found the attempt in this phase
    "looping",  # the same, too often
]
Effect = Literal[
    "none",
    "inspect",  # fetch the manifest and check it
    "wait",  # keep what is here, and check now and then for room
    "stop_answering",
    "adopt",  # the answering variant now answers for this generation
    "download",
    "unpack",
    "settle",  # wait in the slot until activation is asked for
    "self_test",
    "start_trial",
    "commit",  # the old worker ends
    "clear",  # stop what this attempt has begun; the old variant goes on answering
    "roll_back",  # the old variant answers again
    "fall_silent",  # stop the trial's variant; nothing answers
]

ASSIGNED: Phase = "assigned"
"""Where every attempt begins: the device does not know of it yet."""

# fmt: off
_TABLE: dict[tuple[Phase, Event], tuple[Phase, Effect]] = {
    ("assigned",    "desired"):           ("notified",           "inspect"),

    ("notified",    "nothing_wanted"):    ("removed",            "stop_answering"),
    ("notified",    "already_answering"): ("already_installed",  "adopt"),
    ("notified",    "on_disk"):           ("staged",             "settle"),
    ("notified",    "accepted"):          ("downloading",        "download"),
    ("notified",    "refused"):           ("rejected",           "clear"),
    ("notified",    "failed"):            ("failed_no_change",   "clear"),
    ("notified",    "told"):              ("notified",           "none"),
    ("notified",    "no_space"):          ("notified",           "wait"),
    ("notified",    "room"):              ("notified",           "inspect"),

    ("downloading", "downloaded"):        ("verified",           "unpack"),
    ("downloading", "failed"):            ("failed_no_change",   "clear"),
    ("downloading", "told"):              ("downloading",        "none"),
    ("downloading", "no_space"):          ("notified",           "wait"),

    ("verified",    "unpacked"):          ("staged",             "settle"),
    ("verified",    "failed"):            ("failed_no_change",   "clear"),
    ("verified",    "told"):              ("verified",           "none"),
    ("verified",    "no_space"):          ("notified",           "wait"),

    ("staged",      "told"):              ("staged",             "none"),
    ("staged",      "activate"):          ("self_test",          "self_test"),

    ("self_test",   "passed"):            ("trial",              "start_trial"),
    ("self_test",   "failed"):            ("failed_no_change",   "clear"),

    ("trial",       "held"):              ("committed",          "commit"),
    ("trial",       "failed"):            ("failed_rolled_back", "roll_back"),
    ("trial",       "failed_alone"):      ("failed_unsafe",      "fall_silent"),

    # A higher generation always wins; what this attempt has begun is undone.
    ("notified",    "superseded"):        ("superseded",         "clear"),
    ("downloading", "superseded"):        ("superseded",         "clear"),
    ("verified",    "superseded"):        ("superseded",         "clear"),
    ("staged",      "superseded"):        ("superseded",         "clear"),
    ("self_test",   "superseded"):        ("superseded",         "clear"),
    ("trial",       "superseded"):        ("superseded",         "roll_back"),

    # After a power cut: harmless work goes on; what may have caused it is not done twice.
    ("notified",    "restarted"):         ("notified",           "inspect"),
    ("downloading", "restarted"):         ("downloading",        "download"),
    ("verified",    "restarted"):         ("verified",           "unpack"),
    ("staged",      "restarted"):         ("staged",             "settle"),
    ("self_test",   "restarted"):         ("failed_no_change",   "clear"),
    ("trial",       "restarted"):         ("failed_rolled_back", "clear"),
    ("notified",    "looping"):           ("rejected",           "clear"),
    ("downloading", "looping"):           ("rejected",           "clear"),
    ("verified",    "looping"):           ("rejected",           "clear"),
    ("staged",      "looping"):           ("rejected",           "clear"),
    # ("self_test" | "trial", "looping"): cannot happen, one restart ends them.
}
# fmt: on


def step(phase: Phase, event: Event) -> tuple[Phase, Effect]:
    """The next phase, and the effect once it is saved.

    Raises:
        NoSuchTransition: the table has no row for them.
    """
    try:
        return _TABLE[phase, event]
    except KeyError:
        raise NoSuchTransition(f"no row for '{event}' in phase '{phase}': a bug, please report it") from None


def on_the_way(phase: Phase) -> bool:
    """Whether an attempt in this phase is under way."""
    return phase in ON_THE_WAY and phase not in ENDED


def is_last_word(phase: Phase) -> bool:
    """Whether nothing follows this phase; a superseded attempt has a successor that cleans up after it."""
    return phase in ENDED and phase != "superseded"


def rows() -> dict[tuple[Phase, Event], tuple[Phase, Effect]]:
    """The whole table, for tests and for documents."""
    return dict(_TABLE)
