"""One sample as requests: with the batch axis where the model has one, step by step where it has state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.models.public_model import MadeSample, MadeSamples


@dataclass(frozen=True)
class SampleRequest:
    """Inputs as the model takes them; of a model with state the place in its sequence, which is numbered from 1."""

    inputs: Mapping[str, MadeSample]
    id: str
    sample: int
    sequence: int = 0
    first: bool = True
    last: bool = True


@dataclass(frozen=True)
class Ranks:
    """How many axes each input has, by its name, and which of them are the model's state."""

    inputs: Mapping[str, int]
    state: Mapping[str, str] = field(default_factory=dict)
    """By input, the output that is its next value."""


def requests_of(samples: MadeSamples, ranks: Ranks, prefix: str) -> Iterator[SampleRequest]:
    """All samples as requests, in order.

    Args:
        samples: as they were made, without a batch axis.
        ranks: of the inputs.
        prefix: of the requests' ids.
    """
    for place in range(len(next(iter(samples.inputs.values())))):
        one = {name: rows[place] for name, rows in samples.inputs.items()}
        if not ranks.state:
            yield SampleRequest(_batched(one, ranks), f"{prefix}-{place}", place)
            continue
        steps = list(_steps(one, ranks))
        for number, inputs in enumerate(steps):
            ends = number == 0, number == len(steps) - 1
            yield SampleRequest(inputs, f"{prefix}-{place}-{number}", place, place + 1, *ends)


def _batched(one: Mapping[str, MadeSample], ranks: Ranks) -> dict[str, MadeSample]:
    return {name: value[None] if value.ndim == ranks.inputs[name] - 1 else value for name, value in one.items()}


def _steps(one: Mapping[str, MadeSample], ranks: Ranks) -> Iterator[dict[str, MadeSample]]:
    """An input with steps is as long as the others of its kind; the others are the same at every step."""
    longer = {name for name, value in one.items() if value.ndim >= ranks.inputs[name] > 0}
    for number in range(min(len(one[name]) for name in longer)):
        yield _batched({name: value[number] if name in longer else value for name, value in one.items()}, ranks)


def labels_in_json(samples: MadeSamples) -> Sequence[object] | None:
    """The labels as JSON takes them."""
    return None if samples.labels is None else [label.tolist() for label in samples.labels]
