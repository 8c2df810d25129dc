"""Prints a variant's steps and lineage, and the result of a rebuild."""

from collections.abc import Callable, Sequence
from typing import Any

from edgefleet_contract.lineage import Lineage
from edgefleet_contract.operations import AnswerComparison, Change, RebuildResult, StepChange
from edgefleet_contract.variants import StepReport
from edgefleet_operator.figures import number, share, short, span
from edgefleet_operator.printing import console, print_facts, print_table

VERDICTS = {
    "equal": "equal: the same bytes",
    "equal_answers": "equal answers, other bytes",
    "different": "different",
}


def print_steps(steps: Sequence[StepReport]) -> None:
    """Print each step with its settings, what it made, and whether it ran or came from the cache."""
    rows = [
        (str(n), step.step, number(step.revision), short(step.digest), _settings(step))
        for n, step in enumerate(steps, start=1)
    ]
    if rows:
        print_table((">", "step", ">revision", "made", "settings..."), rows, title="Steps")


def print_lineage(lineage: Lineage | None) -> None:
    """Print what all steps share: source, data, seed, libraries and host."""
    out = console()
    out.print("Lineage", style="bold")
    if lineage is None:
        out.print("not recorded: it was built by an older version; compress its model again")
        return
    where = lineage.environment
    print_facts(
        [
            ("source model", lineage.source),
            *((f"file {name}", f"sha256 {sha256}") for name, sha256 in lineage.files.items()),
            *((f"split {name}", sha256) for name, sha256 in lineage.splits.items()),
            ("recipe", f"{lineage.recipe.name}, for {lineage.instruction_set}"),
            ("seed", str(lineage.seed)),
            ("libraries", ", ".join(f"{name} {version}" for name, version in sorted(lineage.libraries.items()))),
            ("built on", f"{where.processor} ({where.instruction_set}), {where.threads} thread"),
            ("python", where.python),
        ]
    )


def print_rebuilt(result: RebuildResult) -> None:
    """Print the verdict on a rebuilt variant, with digests and figures then and now."""
    out = console()
    out.print(VERDICTS[result.verdict], style="bold")
    for reason in result.reasons:
        out.print(reason)
    out.print(answers_line(result.answers))
    rows = [(f"{n}. {s.step}", *_both(s, short)) for n, s in enumerate(result.steps, start=1)]
    rows += [(name, *_both(pair, short)) for name, pair in (("onnx", result.onnx), ("encoding", result.encoding))]
    rows += [(name, *_both(pair, number)) for name, pair in result.figures.items()]
    rows += [(name, *_both(pair, str)) for name, pair in result.changed.items()]
    print_table(("", "then", "now", ""), rows)


def answers_line(found: AnswerComparison | None) -> str:
    """How far the answers of both files agree."""
    if found is None:
        return "answers not compared: the original file is gone"
    told = f"answers to {found.samples:,} test samples agree by {share(found.agreement)}"
    if found.same_top1 is not None:
        told = f"{found.same_top1:,} of {found.samples:,} test samples have the same top-1"
    if found.largest_difference is None:
        return f"{told}, and outputs differ in more than their numbers"
    return f"{told}, the largest difference of a number is {found.largest_difference:.3g}"


def _both(pair: Change | StepChange, show: Callable[[Any], str]) -> tuple[str, str, str]:
    return show(pair.then), show(pair.now), "" if pair.then == pair.now else "differs"


def _settings(step: StepReport) -> str:
    settings = ", ".join(f"{k}={number(v)}" for k, v in step.config.items() if v is not None)
    took = "from the cache" if step.cached else f"in {span(step.seconds)}"
    return f"{settings}; {took}" if settings else took
