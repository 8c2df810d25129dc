"""Runs a loaded model on one sample or one step of a sequence: the state goes in with a step, and the next comes out.

In the worker, which keeps none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefleet_agent.scoring import not_finite_in
from edgefleet_protocol.datatypes import BY_NAME
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.state import SequenceState

Arrays = Sequence[NDArray[Any]]


class NotServed(Exception):  # noqa: N818 - reads as the statement it makes
    """The model is of a kind that the agent does not serve; the words are ours."""


class SteppedModel:
    """A session, its state apart from what applications see.

    Args:
        session: of onnxruntime.
        signature: what the file takes and gives, the state with it.
        state: which of these are the state; None without one.

    Raises:
        NotServed: the state is not of this model.
    """

    def __init__(self, session: Any, signature: Signature, state: SequenceState | None) -> None:
        self._session, self._state = session, state
        self.signature = signature
        self._taken: list[tuple[str, tuple[int, ...], np.dtype[Any]]] = []
        gives: list[str] = []
        if state:
            try:
                state.check(signature)
            except ValueError as error:
                raise NotServed(str(error)) from None
            self.signature = state.visible(signature)
            for tensor in state.tensors(signature):
                shape = tuple(size for size in tensor.shape if isinstance(size, int))
                self._taken.append((tensor.name, shape, np.dtype(BY_NAME[tensor.datatype].numpy)))
            gives = [pair.gives for pair in state.pairs]
        self._gives = gives
        self._names = [tensor.name for tensor in self.signature.outputs] + gives

    @property
    def keeps_state(self) -> bool:
        """Whether it is asked step by step."""
        return self._state is not None

    def run(self, feed: Mapping[str, NDArray[Any]], state: Arrays = ()) -> tuple[list[NDArray[Any]], Arrays]:
        """The outputs that applications see, and the next state.

        Args:
            feed: what applications send.
            state: what the last step gave; nothing begins a sequence, with zeros.

        Raises:
            NotServed: the next state has other sizes than the state.
        """
        given = state or [np.zeros(shape, dtype) for _, shape, dtype in self._taken]
        named = {name: array for (name, _, _), array in zip(self._taken, given, strict=True)}
        results = [np.asarray(result) for result in self._session.run(self._names, {**feed, **named})]
        count = len(self.signature.outputs)
        outputs, following = results[:count], results[count:]
        for (name, shape, dtype), found in zip(self._taken, following, strict=True):
            if (found.shape, found.dtype) != (shape, dtype):
                raise NotServed(
                    f"the next state of '{name}' is {found.dtype} {list(found.shape)}: the state is {dtype} "
                    f"{list(shape)}, at every step"
                )
        return outputs, following

    def not_finite_in(self, state: Arrays) -> str | None:
        """Which part of a next state has NaN or infinity, in words; None if none has: no sequence goes on with such."""
        return not_finite_in(state, range(len(state)), self._gives)

    def state_in(self, data: bytes, at: int) -> Arrays:
        """The state that follows the inputs of a request, from `at` on; nothing if nothing does."""
        found: list[NDArray[Any]] = []
        for _, shape, dtype in self._taken if at < len(data) else ():
            array = np.frombuffer(data, dtype, int(np.prod(shape, dtype=np.int64)), at).reshape(shape)
            found.append(array)
            at += array.nbytes
        return found
