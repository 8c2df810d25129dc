"""Opens a session on the execution providers that a variant names, if this host has them, else the CPU; says which."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime

from edgefleet_compression.onnx_graphs.options import one_thread
from edgefleet_protocol.execution_providers import (
    ASSIGNMENT,
    CPU,
    STRICT,
    NoProvider,
    ask_for,
    load_library,
    nodes_by_provider,
)
from edgefleet_protocol.runtime_options import providers_in


class OpenedGraph(NamedTuple):
    """A session, and the provider that its answers and figures are of."""

    session: Any
    provider: str


def open_graph(path: Path, runtime: Mapping[str, str] | None = None) -> OpenedGraph:
    """Open a file on one thread.

    What this host does not have, or what runs no node of the graph here, measures nothing: the CPU does then, and the
    figures are filed as the CPU's.

    Args:
        path: the file.
        runtime: the entries of the variant's `runtime` block.
    """
    for name in providers_in(runtime or {}):
        if name == CPU:
            break
        if (session := _on(path, runtime, name)) is not None:
            return OpenedGraph(session, name)
    return OpenedGraph(onnxruntime.InferenceSession(str(path), one_thread(runtime), providers=[CPU]), CPU)


def _on(path: Path, runtime: Mapping[str, str] | None, name: str) -> Any | None:
    """A session on a provider, strictly first, as a device opens it; None if it runs nothing here."""
    try:
        row = load_library(onnxruntime, name)
    except NoProvider:
        return None
    for strict in (True, False):
        options = one_thread(runtime)
        options.log_severity_level = 4  # a refusal is no error
        options.add_session_config_entry(ASSIGNMENT, "1")
        if strict:
            options.add_session_config_entry(STRICT, "1")
        try:
            ask_for(onnxruntime, options, [row], threads=1)
            session: Any = onnxruntime.InferenceSession(str(path), options)
        except Exception:  # noqa: S112 - whatever a provider raises, the CPU is asked next
            continue
        if name in (nodes_by_provider(session, (name,) if strict else ()) or {}):
            return session
    return None
