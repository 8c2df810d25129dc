"""What `edgefleet_operator` exports is what it says, all of it is there, and every error is told by it."""

import inspect

import edgefleet_operator
from edgefleet_operator import errors


def test_everything_that_is_exported_is_there_and_in_order() -> None:
    assert edgefleet_operator.__all__ == sorted(edgefleet_operator.__all__)
    assert all(getattr(edgefleet_operator, name) for name in edgefleet_operator.__all__)


def test_every_error_is_exported() -> None:
    defined = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, Exception)}
    assert defined <= set(edgefleet_operator.__all__)


def test_the_tree_at_the_top_of_errors_is_the_tree() -> None:
    drawn: list[tuple[str, str]] = []
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if name and hasattr(errors, name):
            depth = line.index(name)
            above[depth] = name
            drawn.append((name, next((above[d] for d in range(depth - 1, -1, -1) if d in above), "Exception")))
    defined = {(one.__name__, one.__base__.__name__) for one in vars(errors).values() if inspect.isclass(one)}
    assert set(drawn) == defined
