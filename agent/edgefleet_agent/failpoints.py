"""The agent's failpoints."""

from typing import Literal, get_args

from edgefleet_process.failpoints import Failpoints

# Each stands for one place in the code; its comment says what has happened there and what has not.
AgentFailpoint = Literal[
    # start
    "waking",  # identity and boot count are read or made, and not saved
    "endpoint_written",  # the endpoint listens and its file says where; nothing is resumed yet
    "answering_again",  # the worker of the last run's variant is back; nothing was reported
    # every file that is replaced, by its name
    "file_written",  # the new file is synced beside the old one, which still has the name
    # every phase, by its name
    "saving",  # decided, not on the disk
    "saved",  # on the disk, not in the journal, not acted on
    "journaled",  # in the journal too, not acted on
    # manifest and download
    "desired_received",  # a new generation has come, and nothing of it is saved
    "small_blob_received",  # a manifest, a golden set or a hash list is in memory
    "small_blob_stored",  # and on the disk, not checked
    "manifest_checked",  # it is the one that was named, and fits this device
    "space_checked",  # the disk has room; nothing is reserved
    "space_reserved",  # the encoding's file has its final size, and no content
    "chunk_written",  # its hash matched; not synced, not in the bitmap
    "chunks_synced",  # on the disk, not in the bitmap on the disk
    "bitmap_replaced",  # the bitmap on the disk says so
    "download_resumed",  # what the last run had synced was read back
    "download_complete",  # every chunk is synced; the phase is still `downloading`
    # the slot
    "encoding_verified",  # its sha256 is the manifest's
    "model_unfolded",  # the model is in the scratch folder and matches the manifest; the slot is not complete
    "slot_synced",  # the slot is complete and synced, under another name
    "slot_cleared",  # what had its name is gone; it does not have it yet
    "slot_renamed",  # it has its name; the folder is not synced
    "slot_placed",  # it is durable; the phase is still `verified`
    "manifest_renewed",  # an existing slot has another manifest; the phase is still `notified`
    # proof
    "candidate_loaded",  # a worker has loaded the candidate, and was not asked yet
    "self_test_passed",  # its answers match the recorded ones; the loop does not know yet
    "trial_begun",  # the candidate answers; the phase was saved before
    "trial_held",  # the candidate stays, and that is not saved
    "old_worker_ended",  # the commit is saved and done
    "rolled_back",  # the old variant answers again, or nothing does; that was saved before
    "adopted",  # the answering variant answers for a new generation
    "answering_stopped",  # nothing answers, as was wanted
    # tidying
    "tidying",  # an attempt has ended; everything it no longer needs is still there
    "slot_collected",  # a slot that no model needs is gone
    "downloads_collected",  # and every download that no attempt needs
    # telling
    "report_sent",  # a report was handed to the client library; it may never have left
    "window_inserted",  # a window is in the spool's open transaction
    "window_spooled",  # and committed there
    "window_sent",  # a window was handed to the client library
    "acked",  # the controller has a window, and it is still in the spool
    "window_forgotten",  # and no longer in the spool
]

_failpoints: Failpoints[AgentFailpoint] = Failpoints(get_args(AgentFailpoint))
POINTS, arm, reach = _failpoints.points, _failpoints.arm, _failpoints.reach
