"""Everything that is wrong with what was given, in one refusal: nobody should learn of it one try at a time."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from edgefleet_compression.errors import CompressionError, SeveralFaults
from edgefleet_contract.errors import ContractError

P = ParamSpec("P")
T = TypeVar("T")


class Faults:
    """Collects what checks refuse."""

    def __init__(self) -> None:
        self._found: list[Exception] = []

    def check(self, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What a check returns; None if it refused, which is kept."""
        try:
            return look(*args, **kwargs)
        except (CompressionError, ContractError) as error:
            each = error.each if isinstance(error, SeveralFaults) else (error,)
            told = {str(known) for known in self._found}
            self._found += [one for one in each if str(one) not in told]  # two splits of one array say the same
            return None

    def __bool__(self) -> bool:
        return bool(self._found)

    def refuse(self) -> None:
        """Raise what was found: a single fault as it was, several as one that tells each.

        Raises:
            CompressionError, ContractError: at least one check refused.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise SeveralFaults(tuple(self._found))
