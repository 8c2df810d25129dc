"""How onnxruntime runs a graph for us: on one thread, as on a device, and without its warnings."""

from collections.abc import Mapping

import onnxruntime

from edgefleet_protocol.runtime_options import session_entries

ERRORS_ONLY = 3


def one_thread(entries: Mapping[str, str] | None = None) -> onnxruntime.SessionOptions:
    """Options of a session on one thread.

    Args:
        entries: session configuration entries, those of a variant's `runtime` block.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    for key, value in session_entries(entries or {}).items():
        options.add_session_config_entry(key, value)
    return options
