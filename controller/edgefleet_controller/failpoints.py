"""The controller's failpoints."""

from typing import Literal, get_args

from edgefleet_process.failpoints import Failpoints

# Each stands for one place in the code; its comment says what has happened there and what has not.
ControllerFailpoint = Literal[
    # the conductor's loop
    "tick_begun",  # nothing was read
    "turn_begun",  # a rollout's transaction is open
    "joined",  # late devices are in it
    "decided",  # what to do is known, and none of it done
    "carried_out",  # the decisions of one kind, by its name, are in the transaction
    "turn_written",  # all of them are
    "turn_committed",  # and on the disk; no device was told
    "turn_told",  # every device was told
    "desired_published",  # one device was told, the next one not
    # an operator's orders, by their names
    "order_written",  # in the transaction
    "order_committed",  # on the disk; no device was told, nor the operator
    "order_told",  # every device was told, the operator not
    # a rollout's start
    "rollout_written",  # in the transaction, without its devices
    "executions_written",  # with them
    "rollout_committed",  # on the disk; the operator was not told
    # what devices say
    "batch_begun",  # read from the queue, nothing is written
    "report_taken",  # one device's snapshot is in the transaction
    "reports_committed",  # the batch's reports are on the disk, its telemetry is not
    "batch_committed",  # the telemetry too; nobody was told
    "batch_acknowledged",  # devices may forget their windows; who must be told what to run was not
    "batch_told",  # they were
    # the registry
    "blob_written",  # synced, under no name
    "blob_named",  # it has its name; the store does not know it
    "blob_known",  # the store does; the sender was not told
    "model_checked",  # its files are what its card says, and it is not registered
    "model_registered",  # it is; the sender was not told
    "operation_accepted",  # a build is written down and not begun
    "variant_delivered",  # a variant's blobs are there, and no row names them
    "variants_published",  # rows and choices are; the operation is still running
    "operation_closed",  # it is not
    "model_removed",  # in the transaction
    "model_forgotten",  # on the disk; the operator was not told
    "device_removed",  # its rows are gone in the transaction, and what the broker retained for it
    "device_forgotten",  # on the disk; its telemetry is still there
    # housekeeping
    "slice_added",  # a slice of windows is in the roll-ups' transaction, and not marked as rolled up
    "slice_rolled",  # marked too
    "slice_deleted",  # old windows are deleted in the transaction, how far is not written
    "slice_forgotten",  # it is
    "blob_forgotten",  # devices may no longer ask for a blob; its file is there
    "blob_removed",  # it is gone
]

_failpoints: Failpoints[ControllerFailpoint] = Failpoints(get_args(ControllerFailpoint))
POINTS, arm, reach = _failpoints.points, _failpoints.arm, _failpoints.reach
