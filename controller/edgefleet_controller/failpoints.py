"""The controller's failpoints."""

from typing import Literal, get_args

from edgefleet_process.failpoints import Failpoints

# Each is one place in the code; its comment says what has happened by then and what has not.
ControllerFailpoint = Literal[
    # the start
    "broker_begun",  # the broker's process is there, and may not answer yet
    "broker_taken",  # the broker answers; nothing else was started
    "parts_started",  # everything runs; the broker does not outlive us yet
    # the conductor's loop
    "tick_begun",  # nothing read
    "turn_begun",  # a rollout's transaction open
    "joined",  # late devices added in the transaction
    "decided",  # decisions made, none carried out
    "carried_out",  # decisions of one kind (the name that is passed) in the transaction
    "turn_written",  # all decisions in the transaction
    "turn_committed",  # committed; no device told
    "turn_told",  # every device told
    "desired_published",  # one device told, the next not
    # an operator's orders; the order's name is passed
    "order_written",  # in the transaction
    "order_committed",  # committed; neither devices nor operator told
    "order_told",  # every device told; the operator not
    # starting a rollout
    "rollout_written",  # in the transaction, without its devices
    "executions_written",  # in the transaction, with its devices
    "rollout_committed",  # committed; the operator not told
    # messages from devices
    "batch_begun",  # read from the queue; nothing written
    "report_taken",  # one device's snapshot in the transaction
    "reports_committed",  # the batch's reports committed, its telemetry not
    "batch_committed",  # telemetry committed too; nothing acknowledged
    "batch_acknowledged",  # devices may drop their windows; devices that are behind not told
    "batch_told",  # devices that are behind told
    # the registry
    "blob_written",  # synced, but not renamed
    "blob_named",  # renamed; not in the store
    "blob_known",  # in the store; the sender not told
    "model_checked",  # files match the card; not registered
    "model_registered",  # registered; the sender not told
    "operation_accepted",  # a build recorded, but not begun
    "variant_delivered",  # a variant's blobs written; no row names them
    "variants_published",  # rows and choices written; the operation still running
    "operation_closed",  # the operation ended
    "model_removed",  # in the transaction
    "model_forgotten",  # committed; the operator not told
    "device_removed",  # its rows deleted in the transaction, and its retained message cleared
    "device_forgotten",  # committed; its telemetry still there
    # housekeeping
    "slice_added",  # a slice of windows added in the roll-ups' transaction; not marked as rolled up
    "slice_rolled",  # marked as rolled up
    "slice_deleted",  # old windows deleted in the transaction; progress not written
    "slice_forgotten",  # progress written
    "blob_forgotten",  # devices may no longer ask for the blob; its file still there
    "blob_removed",  # its file deleted
]

_failpoints: Failpoints[ControllerFailpoint] = Failpoints(get_args(ControllerFailpoint))
POINTS, arm, reach = _failpoints.points, _failpoints.arm, _failpoints.reach
