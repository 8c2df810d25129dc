"""What is known of every variant; None means not measured, never 0."""

from pydantic import ConfigDict

from edgefleet_contract.base import Shape


class Metrics(Shape):
    """The same figures for every variant.

    Accuracies are shares (0 to 1) of the ONNX file in onnxruntime: `accuracy_val` is what choices are made on,
    `accuracy_test` what is reported, `accuracy_test_ci` its 95 % Wilson interval; `agreement_val` and `agreement`
    are the shares of val and of test inputs with the source model's top-1. `drop_val` and `drop_test` are the shares
    that the source model has right beyond the variant, each with the 95 % interval of the paired difference.

    Latencies are wall milliseconds of one inference, batch 1, one thread, on `measured_on`; `latency_ratio` is the
    variant's CPU time by that of the source's fp32 file, taken in turns. Sizes are bytes, memory is the growth of
    resident memory by loading and running.
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
    mj_per_inference: float | None = None
    build_s: float | None = None
