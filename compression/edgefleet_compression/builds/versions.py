"""The worker function that asks a version of a model, and what was made of it, the samples of a later one."""

from typing import TYPE_CHECKING

from edgefleet_compression.builds.messages import KeptAnswers, OlderVariant, VersionsOutcome, VersionsRequest
from edgefleet_compression.builds.refusals import refusing
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_compression.errors import NotApplicable
from edgefleet_contract.operations import VersionComparison
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.pairing import why_other_steps

if TYPE_CHECKING:
    from edgefleet_compression.judging import Judge
    from edgefleet_compression.models.source import Source
    from edgefleet_compression.models.splits.data import SplitName
    from edgefleet_compression.samples import Column, Samples
    from edgefleet_tasks.answer_set import AnswerSet

SPLIT: "SplitName" = "val"
SOURCE = ""
"""The source of a version, in place of a variant's id."""


@refusing
def compare_versions(request: VersionsRequest) -> VersionsOutcome:
    """Ask both source models the val samples of the newer version, compare them, and ask the older one's variants."""
    one_thread()
    from edgefleet_compression.builds.kept_answers import answer_set, kept_in
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source

    cache = Cache(request.cache_dir)
    source, before = open_source(request.files, cache).sent, open_source(request.before, cache)
    stepped = (before.sequences is not None, source.sequences is not None)
    reason = why_other_steps(before.card.ref, source.card.ref, *stepped)
    reason = reason or why_not_asked(source.data.read(SPLIT).x, before.sent.visible, before.card.ref)
    if reason is not None:
        raise NotApplicable(reason)
    request.work_dir.mkdir(parents=True, exist_ok=True)
    old, judge = before.with_data_of(source), before.sent.judge
    # Reduced by what is known of its own answers: `old` would find it anew, from these.
    then = answer_set(before.sent, old.sent.reduced(SPLIT, judge), asked=source)
    kept: dict[str, KeptAnswers] = {SOURCE: kept_in(request.work_dir / "source.answers", then)}
    not_asked: dict[str, str] = {}
    for variant in request.variants:
        found = _asked(variant, judge, old)
        if isinstance(found, str):
            not_asked[variant.id] = found
        else:
            path = request.work_dir / f"{variant.id}.answers"
            kept[variant.id] = kept_in(path, answer_set(before.sent, found, asked=source))
    now = answer_set(source, source.reduced(SPLIT))
    return VersionsOutcome(_compared(before.card.ref, then, now, source), kept, not_asked)


def _asked(variant: OlderVariant, judge: "Judge", old: "Source") -> "list[bytes] | str":
    """A variant's answers, reduced; or why it could not be asked."""
    from edgefleet_compression.onnx_graphs.session import GraphSession

    try:
        asked = old.as_taken_by(variant.path).asked(SPLIT)
        return judge.reduced(GraphSession(variant.path, variant.runtime).answering(asked))
    except Exception as error:  # a file of another time, and a binding's own types: the others are asked all the same
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _compared(before: str, then: "AnswerSet", now: "AnswerSet", source: "Source") -> VersionComparison:
    from edgefleet_tasks.pairing import paired

    found = paired(then, now, source.data.read(SPLIT).y)
    if isinstance(found, str):
        return VersionComparison(before=before, not_compared=found)
    return VersionComparison(
        before=before,
        measure=source.judge.measure,
        samples=found.samples,
        disagreement=found.disagreement.value,
        score=found.score,
        score_before=found.score_before,
        gain=-found.drop.value if found.drop else None,
        gain_ci=(-found.drop.high, -found.drop.low) if found.drop else None,
    )


def why_not_asked(samples: "Samples", before: Signature, ref: str) -> str | None:
    """Why a version cannot be asked these samples, None if it can; pure.

    Args:
        samples: of the newer version.
        before: what the older one is sent.
        ref: the older version, for the message.
    """
    tensors = {tensor.name: tensor for tensor in before.inputs}
    if len(samples.columns) == len(tensors) == 1:  # there is only one way, whatever it is called
        tensors = dict(zip(samples.columns, tensors.values(), strict=True))
    if samples.columns.keys() - tensors.keys():
        return f"{ref} takes {', '.join(tensors)[:400]}, and the samples are of {', '.join(samples.columns)[:400]}"
    refused = (_refused(column, tensors[name], ref) for name, column in samples.columns.items())
    return next((reason for reason in refused if reason), None)


def _refused(column: "Column", tensor: Tensor, ref: str) -> str | None:
    import numpy as np

    from edgefleet_protocol.datatypes import BY_NAME

    wanted, given = np.dtype(BY_NAME[tensor.datatype].numpy), column.values.dtype
    if not np.can_cast(given, wanted, "same_kind") and wanted.kind != "O":
        return f"{ref} takes {tensor.datatype}, and the samples are {given}"
    shape, taken = column.row(0).shape if len(column) else (), tensor.sample_shape
    own = shape[len(shape) - len(taken) :] if len(shape) in (len(taken), len(taken) + 1) else None  # or its steps
    if own is None or any(isinstance(axis, int) and axis != size for axis, size in zip(taken, own, strict=True)):
        return f"samples of {ref} have the shape {list(taken)}, here it is {list(shape)}"
    return None
