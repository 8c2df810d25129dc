"""The phases of an execution: one device in one rollout, or one attempt as the device reports it."""

from typing import Literal, get_args

OnTheWay = Literal[
    "assigned",  # planned; the device has not answered
    "notified",  # the device has read its desired state
    "downloading",
    "verified",  # complete, and every digest matches
    "staged",  # in a slot of its own, waiting to be activated
    "self_test",  # answers the golden set, offline
    "trial",  # answers live; the old variant is kept warm
]
EndedWell = Literal["committed"]
EndedOtherwise = Literal[
    "already_installed",
    "no_variant",
    "deferred",  # left out: two agents report under the device's id, or its agent lacks a feature
    "superseded",
    "removed",
    "cancelled",
]
EndedInFailure = Literal[
    "rejected",  # refused before anything was touched
    "failed_no_change",  # failed while the old variant went on answering
    "failed_rolled_back",  # failed in the trial; the old variant answers again
    "failed_unsafe",  # failed, and nothing answers
    "timed_out",  # went silent on the way
    "unreachable",  # never heard from
]
Phase = Literal[OnTheWay, EndedWell, EndedOtherwise, EndedInFailure]

ON_THE_WAY: tuple[Phase, ...] = get_args(OnTheWay)
FAILED: frozenset[Phase] = frozenset(get_args(EndedInFailure))
ENDED_OTHERWISE: frozenset[Phase] = frozenset(get_args(EndedOtherwise))
ENDED: frozenset[Phase] = frozenset(get_args(EndedWell)) | ENDED_OTHERWISE | FAILED
"""Final within one generation."""

PHASES: frozenset[str] = frozenset(ON_THE_WAY) | ENDED

DECIDED: frozenset[Phase] = ENDED - ENDED_OTHERWISE - {"unreachable"}
"""What a gate counts: devices with an outcome, never all that were targeted."""

ReasonCode = Literal[
    "manifest_invalid",  # the manifest is not the named blob, or cannot be read
    "wrong_hardware",  # made for another instruction set
    "runtime_too_old",  # needs a newer onnxruntime
    "agent_too_old",  # needs a feature that this agent lacks
    "outside_window",  # waits: its region's window for this is closed
    "no_space",  # not enough disk; the detail says how much is needed and free
    "blob_corrupt",  # a blob is complete, but does not match its digest
    "download_stalled",  # nothing arrived for too long
    "out_of_memory",  # needs more memory than the device has, or than its worker may use
    "load_failed",  # onnxruntime cannot load the file
    "self_test_failed",  # answers differ from the recorded ones
    "worker_crashed",
    "worker_timed_out",
    "trial_failed",  # errors while answering live
    "interrupted",  # the agent was killed during self-test or trial, and restarted
    "looping",  # too many attempts at one generation
    "nothing_to_return_to",  # told to roll back, but no old variant is there
]
OUTSIDE_WINDOW: ReasonCode = "outside_window"
