"""The metrics of a variant; None means not measured, never 0."""

from pydantic import ConfigDict

from edgefleet_contract.base import Shape


class Metrics(Shape):
    """The same figures for every variant.

    Accuracies are shares (0 to 1), measured with the ONNX file in onnxruntime: choices are based on `accuracy_val`,
    reports on `accuracy_test`, with its 95 % Wilson interval `accuracy_test_ci`; `agreement_val` and `agreement`
    are the shares of val and test inputs with the source model's top-1. `drop_val` and `drop_test` are the source
    model's accuracy minus the variant's, each with the 95 % interval of the paired difference.

    Latencies are wall-clock milliseconds of one inference, batch 1, one thread, on `measured_on`; `latency_ratio` is
    the variant's CPU time divided by that of the source's fp32 file, measured alternately. Sizes are in bytes; memory
    is the growth of resident memory from loading and running, and of address space, both at their peaks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy_val: float | None = None
    accuracy_test: float | None = None
    accuracy_test_ci: tuple[float, float] | None = None
    test_samples: int | None = None
    drop_val: float | None = None
    drop_val_ci: tuple[float, float] | None = None
    drop_test: float | None = None
    drop_test_ci: tuple[float, float] | None = None
    agreement_val: float | None = None
    agreement: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    latency_ratio: float | None = None
    measured_on: str | None = None
    instruction_set: str | None = None
    file_bytes: int | None = None
    encoding_bytes: int | None = None
    parameters: int | None = None
    peak_rss_mb: float | None = None
    peak_address_mb: float | None = None
    mj_per_inference: float | None = None
    build_s: float | None = None
