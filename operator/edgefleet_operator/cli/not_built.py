"""Says which recipes gave no variant and why, each reason once."""

from collections.abc import Iterator, Mapping

from edgefleet_contract.operations import BuildResult


def not_built_lines(result: BuildResult) -> Iterator[str]:
    """A line for each reason why recipes failed, then for each why they don't apply to this model or these devices."""
    for reason, recipes in _by_reason(result.failed).items():
        yield f"{', '.join(recipes)} {'was' if len(recipes) == 1 else 'were'} not built: {reason}"
    yield from not_applicable_lines(result)


def not_applicable_lines(result: BuildResult) -> Iterator[str]:
    """A line for each reason why recipes don't apply, or what a search left out doesn't."""
    for reason, recipes in _by_reason(result.not_applicable).items():
        yield f"{', '.join(recipes)} {'does' if len(recipes) == 1 else 'do'} not apply: {reason}"


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for recipe, reason in reasons.items():
        found.setdefault(reason, []).append(recipe)
    return found
