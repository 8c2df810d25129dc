"""What a variant may ask of onnxruntime, and that onnxruntime knows it."""

from pathlib import Path

import onnxruntime
import pytest

from edgefleet_protocol.runtime_options import ALLOWED, refusal


@pytest.mark.parametrize("name", ALLOWED)
def test_onnxruntime_knows_what_is_allowed(name: str) -> None:
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/onnxruntime_pybind11_state*.so")
    assert b"\0" + name.encode() + b"\0" in library.read_bytes()


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_passes_with_its_values_alone(name: str) -> None:
    assert refusal({name: "0"}) is None and refusal({name: "1"}) is None
    assert (refusal({name: "99"}) or "").startswith(f"runtime entry '{name}' is '99': write a whole number from 0 to ")


@pytest.mark.parametrize(
    "name",
    [
        "session.load_model_format",
        "session.optimized_model_filepath",
        "session.enable_profiling",
        "session.intra_op_num_threads",
        "ep.share_ep_contexts",
        "session.x64quantprecision ",
        "",
    ],
)
def test_whatever_else_is_refused_with_what_is_allowed(name: str) -> None:
    told = refusal({"session.x64quantprecision": "1", name: "1"})
    assert told and told.startswith(f"runtime entry '{name}' is not allowed; allowed are session.disable_double")
