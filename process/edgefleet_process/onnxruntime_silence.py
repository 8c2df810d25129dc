"""Keeps onnxruntime from reporting to its maker, as recent versions do by default."""

import os

SILENT = {"ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables in which onnxruntime writes no device id, keeps no queue and sends nothing."""


def silence_onnxruntime() -> None:
    """Set `SILENT` in this process and those that it starts, whatever was set before.

    A package of ours that imports onnxruntime calls this in its `__init__`: afterwards it would be too late.
    """
    os.environ.update(SILENT)
