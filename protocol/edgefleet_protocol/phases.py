"""The states of an execution: one device in one rollout, or one attempt as the device tells it."""

from typing import Literal, get_args

OnTheWay = Literal[
    "assigned",  # planned; the device has not answered
    "notified",  # the device has read its desired state
    "downloading",
    "verified",  # every byte is there and is what its digest says
    "staged",  # in a slot of its own, waiting to be activated
    "self_test",  # answers the golden set, off line
    "trial",  # answers live; the old variant is kept warm
]
EndedWell = Literal["committed"]
EndedOtherwise = Literal[
    "already_installed",
    "no_variant",
    "deferred",  # passed over: two agents report under the device's id, or its agent lacks a feature
    "superseded",
    "removed",
    "cancelled",
]
EndedInFailure = Literal[
    "rejected",  # refused before anything was touched
    "failed_no_change",  # failed while the old variant went on answering
    "failed_rolled_back",  # failed in the trial; the old variant answers again
    "failed_unsafe",  # failed, and nothing answers
    "timed_out",  # was under way and fell silent
    "unreachable",  # was never heard
]
Phase = Literal[OnTheWay, EndedWell, EndedOtherwise, EndedInFailure]

ON_THE_WAY: tuple[Phase, ...] = get_args(OnTheWay)
FAILED: frozenset[Phase] = frozenset(get_args(EndedInFailure))
ENDED_OTHERWISE: frozenset[Phase] = frozenset(get_args(EndedOtherwise))
ENDED: frozenset[Phase] = frozenset(get_args(EndedWell)) | ENDED_OTHERWISE | FAILED
"""No way leads out of these within the same generation."""

PHASES: frozenset[str] = frozenset(ON_THE_WAY) | ENDED

DECIDED: frozenset[Phase] = ENDED - ENDED_OTHERWISE - {"unreachable"}
"""What a gate counts: devices that proved something, never all that were targeted."""

ReasonCode = Literal[
    "manifest_invalid",  # the manifest is not the blob that was named, or cannot be read
    "wrong_hardware",  # made for another instruction set
    "runtime_too_old",  # needs a newer onnxruntime
    "agent_too_old",  # needs a feature that this agent lacks
    "no_space",  # not enough disk, with need and have
    "blob_corrupt",  # a blob is complete and is not what its digest says
    "download_stalled",  # nothing arrived for too long
    "out_of_memory",  # needs more memory than the device has, or than its worker is given
    "load_failed",  # onnxruntime does not load the file
    "self_test_failed",  # other answers than the ones recorded
    "worker_crashed",
    "worker_timed_out",
    "trial_failed",  # errors while answering live
    "interrupted",  # the agent was killed in self-test or trial and came back
    "looping",  # too many attempts at one generation
    "nothing_to_return_to",  # a way back was asked for and no old variant is there
]
