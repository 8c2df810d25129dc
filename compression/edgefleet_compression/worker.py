"""What a worker process does as it starts; for `initializer` of a spawned process pool."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def warm_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone: a spawned worker would live on for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, name="parent-watch", daemon=True).start()


def one_thread() -> None:
    """Let torch compute on one thread: workers share the host's cores by being several."""
    import torch

    torch.set_num_threads(1)
