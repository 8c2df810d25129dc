"""Opens an onnxruntime session with the providers asked for, strictly first, and reads what ran where. Worker only."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort

from edgefleet_protocol.execution_providers import (
    ASSIGNMENT,
    CPU,
    STRICT,
    NoProvider,
    ProviderRow,
    ask_for,
    device_of,
    load_library,
    nodes_by_provider,
    rows,
)

FATAL = 4
"""A refusal is no error, and must not look like one in the log."""


@dataclass(frozen=True)
class LoadedProviders:
    """The providers that were asked for beside the CPU: rows of those whose library is here, and why others are not."""

    rows: tuple[ProviderRow, ...] = ()
    lacking: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of those that are here."""
        return tuple(row.name for row in self.rows)

    @property
    def address_bytes(self) -> int:
        """The address space that they take beyond the model's."""
        return sum(row.address_bytes for row in self.rows)


@dataclass(frozen=True)
class OpenedSession:
    """A session, how many nodes each provider runs, and why that is not all that was asked for."""

    session: Any
    nodes: dict[str, int] = field(default_factory=dict)
    why: str | None = None


def load_providers(asked: Sequence[str]) -> LoadedProviders:
    """Load the libraries of the providers asked for, before the memory is limited."""
    found: list[ProviderRow] = []
    lacking: list[str] = []
    for name in asked:
        if name != CPU:
            try:
                found.append(load_library(ort, name))
            except NoProvider as error:
                lacking.append(f"{name} does not run here: {error}")
    return LoadedProviders(tuple(found), tuple(lacking))


def open_session(path: str, options_of: Callable[[], Any], providers: LoadedProviders, threads: int) -> OpenedSession:
    """Open a file: with the providers alone, else with the CPU for the rest, else with the CPU alone.

    Args:
        path: the file.
        options_of: makes the options of one session.
        providers: those that are asked for.
        threads: how many threads one inference may use.
    """
    why = list(providers.lacking)
    if providers.rows:
        for strict in (True, False):
            try:
                session, nodes = _with(path, options_of(), providers, threads, strict)
            except Exception as error:  # a provider may raise anything: the CPU is still there
                refused = type(error).__name__
                if not strict:  # what is refused strictly is asked for again, and says the same if it fails
                    _log(error, providers.names)
                continue
            if any(nodes.get(name, 0) for name in providers.names) or (strict and nodes):
                return OpenedSession(session, nodes, "; ".join([*why, *_partly(nodes, providers)]) or None)
            refused = "it takes no node of the graph"
            break
        why.append(f"{', '.join(providers.names)} does not run the model ({refused})")
    options = options_of()
    options.add_session_config_entry(ASSIGNMENT, "1")
    session = ort.InferenceSession(path, options, providers=[CPU])
    nodes = nodes_by_provider(session) or {}
    return OpenedSession(session, nodes, "; ".join(why) or None)


def _with(
    path: str, options: Any, providers: LoadedProviders, threads: int, strict: bool
) -> tuple[Any, dict[str, int]]:
    options.add_session_config_entry(ASSIGNMENT, "1")
    if strict:
        options.add_session_config_entry(STRICT, "1")
        options.log_severity_level = FATAL
    ask_for(ort, options, providers.rows, threads)
    session = ort.InferenceSession(path, options)
    return session, nodes_by_provider(session, providers.names if strict else ()) or {}


def _partly(nodes: dict[str, int], providers: LoadedProviders) -> list[str]:
    if not (left := nodes.get(CPU, 0)):
        return []
    return [f"{', '.join(providers.names)} leaves {left} of {sum(nodes.values())} nodes to the CPU"]


def _log(error: Exception, names: tuple[str, ...]) -> None:
    """The runtime's own words stay on the device."""
    print(f"{', '.join(names)}: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)


def told_of(name: str) -> dict[str, str]:
    """What onnxruntime tells of a provider's device: `version`, `device_type`, `vendor`; empty if nothing."""
    row = rows().get(name, ProviderRow(name))
    device = None if isinstance(row, str) else device_of(ort, row)
    if device is None:
        return {"version": ort.__version__} if name in ort.get_available_providers() else {}
    version = device.ep_metadata.get("version", "")
    return {"version": version, "device_type": device.device.type.name, "vendor": device.device.vendor}


def built_in(path: str, options_of: Callable[[], Any], threads: int) -> list[dict[str, Any]]:
    """Probe the providers that are built into this runtime with the tiny model: y = x + x for one float.

    Args:
        path: the model's file.
        options_of: makes the options of one session.
        threads: how many threads one inference may use.
    """
    found = []
    for name in ort.get_available_providers():
        opened = open_session(path, options_of, load_providers((name,)), threads)
        why = opened.why
        if name in opened.nodes and opened.session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() != [2.0]:
            why = "it computes 1 + 1 wrong"
        works = name in opened.nodes and why is None
        found.append({"name": name, "works": works, "why": why, **told_of(name)})
    return found


def plugins() -> list[str]:
    """The providers that are plug-ins by a row, and whose package is installed, or brings the row."""
    from importlib.util import find_spec

    def is_there(row: ProviderRow | str) -> bool:
        try:
            return isinstance(row, str) or (row.module is not None and find_spec(row.module) is not None)
        except (ImportError, ValueError):
            return False

    return [name for name, row in rows().items() if is_there(row)]
