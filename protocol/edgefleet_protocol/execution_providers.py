"""What onnxruntime computes with: a table of providers that are plug-ins, and how a session is asked for any.

A provider that is built into the runtime needs no row. Nothing here imports onnxruntime: who has it hands it in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from edgefleet_process.installed import brought, package_of, said

CPU = "CPUExecutionProvider"
GROUP = "edgefleet.providers"
"""The entry points by which packages bring rows, each under its provider's name; a row of ours is never replaced."""
MB = 2**20
ASSIGNMENT = "session.record_ep_graph_assignment_info"
STRICT = "session.disable_cpu_ep_fallback"


class NoProvider(Exception):  # noqa: N818 - reads as the statement it makes
    """A provider cannot be asked for here; the message says why."""


@dataclass(frozen=True)
class ProviderRow:
    """A provider that needs more than its name.

    Attributes:
        name: as onnxruntime knows it.
        module: has `get_library_path()`, the plug-in's library; None if the provider is built in.
        options: make it compute in fp32 as the CPU does; `{threads}` stands for how many threads a session may use.
        address_bytes: the address space that it takes beyond the model's, once its library is loaded.
        device_type: of onnxruntime's devices, which one is asked for; empty: the first.
    """

    name: str
    module: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    address_bytes: int = 0
    device_type: str = ""


OWN: tuple[ProviderRow, ...] = (
    # Without the hint it computes in bf16 where the processor can: golden answers differ. It ignores unknown options.
    ProviderRow(
        "OpenVINOExecutionProvider",
        module="onnxruntime_ep_openvino",
        options={
            "load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": {threads}}}',
        },
        # Under a worker's limit it took 34 MB on one thread and 69 on four, where the CPU takes 5; up to 250 on a Xeon.
        address_bytes=256 * MB,
        device_type="CPU",
    ),
)


@cache
def rows() -> Mapping[str, ProviderRow | str]:
    """Every row by its provider's name: ours, and those that packages bring; one that does not load says why."""
    found: dict[str, ProviderRow | str] = {}
    for entry in brought(GROUP).entries:
        try:
            row = entry.load()
            fits = isinstance(row, ProviderRow) and row.name == entry.name
            found[entry.name] = row if fits else f"{package_of(entry)} brings no row of that name: correct the package"
        except Exception as error:  # whatever a package does, the others stay
            found[entry.name] = f"{package_of(entry)} does not load ({said(error)}): repair or uninstall it"
    return {**found, **{row.name: row for row in OWN}}


def row_of(name: str) -> ProviderRow:
    """The row of a provider, an empty one if it needs none.

    Raises:
        NoProvider: the package that brings it does not load.
    """
    row = rows().get(name, ProviderRow(name))
    if isinstance(row, str):
        raise NoProvider(row)
    return row


def load_library(runtime: Any, name: str) -> ProviderRow:
    """Load a provider's library into this process, once; that takes address space which no limit should count.

    Args:
        runtime: the module onnxruntime.
        name: the provider.

    Raises:
        NoProvider: the runtime does not have it, and no package brings it, or its library does not load.
    """
    row = row_of(name)
    if row.module is None:
        if name not in runtime.get_available_providers():
            raise NoProvider("the installed onnxruntime does not have it, and no plug-in for it is known")
        return row
    if _devices(runtime, row):
        return row
    try:
        module = import_module(row.module)
    except ImportError as error:
        raise NoProvider(f"its plug-in cannot be imported ({said(error)}): install the package that has it") from None
    try:
        runtime.register_execution_provider_library(name, module.get_library_path())
    except Exception as error:
        if "already registered" not in str(error):
            raise NoProvider(f"its library does not load ({said(error)[:300]})") from None
    if not _devices(runtime, row):
        kind = f" of type {row.device_type}" if row.device_type else ""
        raise NoProvider(f"its plug-in finds no device{kind} that it supports on this machine")
    return row


def device_of(runtime: Any, row: ProviderRow) -> Any | None:
    """The device of a provider whose library is loaded, as onnxruntime tells of it; None if it tells of none."""
    return next(iter(_devices(runtime, row)), None)


def _devices(runtime: Any, row: ProviderRow) -> list[Any]:
    if not hasattr(runtime, "get_ep_devices"):  # an older onnxruntime
        return []
    wanted = (d for d in runtime.get_ep_devices() if d.ep_name == row.name)
    return [d for d in wanted if row.device_type in ("", d.device.type.name)]


def ask_for(runtime: Any, options: Any, rows_asked: Iterable[ProviderRow], threads: int) -> None:
    """Ask for providers in the options of a session, the preferred one first; the CPU runs what they leave.

    Args:
        runtime: the module onnxruntime.
        options: a `SessionOptions`.
        rows_asked: their rows, from `load_library`.
        threads: how many threads the session may use.
    """
    for row in rows_asked:
        told = {key: value.replace("{threads}", str(threads)) for key, value in row.options.items()}
        if row.module is None:
            options.add_provider(row.name, told)
        else:
            options.add_provider_for_devices(_devices(runtime, row)[:1], told)


def nodes_by_provider(session: Any, strictly: Sequence[str] = ()) -> dict[str, int] | None:
    """How many nodes of a graph each provider runs, by the session's own assignment; its list of providers lies.

    Args:
        session: an `InferenceSession` with the entry ASSIGNMENT.
        strictly: those that were asked for, if the CPU was forbidden: one alone runs all that there is.

    Returns:
        None if an older runtime cannot tell.
    """
    try:
        assigned = session.get_provider_graph_assignment_info()
    except AttributeError:
        return {strictly[0]: 0} if len(strictly) == 1 else None
    found: dict[str, int] = {}
    for part in assigned:
        found[part.ep_name] = found.get(part.ep_name, 0) + len(part.get_nodes())
    return found
