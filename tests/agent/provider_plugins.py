"""Packages that bring execution providers, for tests: each is written into a folder that goes onto Python's path."""

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

OPENVINO = "OpenVINOExecutionProvider"
CPU = "CPUExecutionProvider"
AUTO = "OpenVINOExecutionProvider.AUTO"
"""The same library has another provider, which is in no table: tests bring a row for it."""

needs_openvino = pytest.mark.skipif(
    find_spec("onnxruntime_ep_openvino") is None,
    reason=f"the plug-in has no wheel for {sys.platform} on {platform.machine()}",
)

SHADOW = '''
"""The real library, told that the processor is Intel's: it offers no device on others, which run it as well."""
import ctypes, onnxruntime
from pathlib import Path

INTEL = 0x8086
REAL = {real!r}


def get_library_path():
    cpu = next(d for d in onnxruntime.get_ep_devices() if d.ep_name == "CPUExecutionProvider").device
    struct = ctypes.c_void_p.from_address(id(cpu) + 16).value  # OrtHardwareDevice: type, vendor's id, ...
    vendor = ctypes.c_uint32.from_address(struct + 4)
    assert vendor.value == cpu.vendor_id, "onnxruntime's struct has changed"
    vendor.value = INTEL
    assert cpu.vendor_id == INTEL
    return REAL
'''


def bring_openvino(site: Path) -> None:
    """The plug-in as it is on an Intel machine."""
    import onnxruntime_ep_openvino

    site.mkdir(exist_ok=True)
    shadow = SHADOW.format(real=onnxruntime_ep_openvino.get_library_path())
    (site / "onnxruntime_ep_openvino.py").write_text(shadow)


def bring(site: Path, name: str, row: str, **modules: str) -> None:
    """A package with a row under an entry point; `row` is Python, `modules` are other modules by name."""
    site.mkdir(exist_ok=True)
    stem = "row_" + "".join(c if c.isalnum() else "_" for c in name).lower()
    imported = "from edgefleet_protocol.execution_providers import ProviderRow\n"
    for module, text in {stem: f"{imported}ROW = {row}\n", **modules}.items():
        (site / f"{module}.py").write_text(text)
    info = site / f"{stem}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {stem}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgefleet.providers]\n{name} = {stem}:ROW\n")
