"""Holds a plug-in's task to the interface: what it returns is looked at, and what it raises becomes one line."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from edgefleet_process.installed import said
from edgefleet_protocol.answers import MAX_ANSWER_BYTES
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import CATEGORIES, STRATA, Spec
from edgefleet_tasks.errors import PluginFails
from edgefleet_tasks.task import DECLARABLE, UNDECLARED, Outputs, ReadsDeclared, Refusal, RunComparison, Task

MAX_NAME = 200

Returned = TypeVar("Returned")


class GuardedTask:
    """A task of a plug-in.

    Args:
        task: the plug-in's own.
        whose: how messages name it.
    """

    def __init__(self, task: Task[Any], whose: str) -> None:
        self._task, self._whose = task, whose
        self.name, self.measure, self.headlined = task.name, task.measure, task.headlined
        self.loss, self.scores_alone = task.loss, task.scores_alone
        self.reads = task.reads if isinstance(task, ReadsDeclared) else DECLARABLE
        self.reads_all = bool(getattr(task, "reads_all", True))

    def fits(self, signature: Signature, spec: Spec) -> Refusal | None:
        """See `Task.fits`."""
        call = lambda: self._task.fits(signature, spec)  # noqa: E731
        return self._called("fits", call, lambda told: told is None or isinstance(told, Refusal), "a Refusal or None")

    def spec(self, signature: Signature, val: Iterable[Outputs], declared: Spec = UNDECLARED) -> Spec:
        """See `Task.spec`."""
        return self._called("spec", lambda: self._task.spec(signature, val, declared), _is(Spec), "a Spec")

    def misdeclared(self, signature: Signature, declared: Spec, found: Spec) -> Refusal | None:
        """See `ReadsDeclared.misdeclared`; a task that says nothing of it takes everything."""
        if not isinstance(self._task, ReadsDeclared):
            return None
        task = self._task
        call = lambda: task.misdeclared(signature, declared, found)  # noqa: E731
        return self._called(
            "misdeclared", call, lambda one: one is None or isinstance(one, Refusal), "a Refusal or None"
        )

    def label(self, raw: Any, spec: Spec) -> Any:
        """See `Task.label`."""
        return self._called("label", lambda: self._task.label(raw, spec), lambda _: True, "a label")

    def reduce(self, outputs: Outputs, spec: Spec) -> list[bytes]:
        """See `Task.reduce`."""
        samples = len(outputs[0]) if len(outputs) else 0
        wanted = f"a list of bytes, at most {MAX_ANSWER_BYTES} for each of {samples} samples"
        return self._called("reduce", lambda: self._task.reduce(outputs, spec), _are_answers(samples), wanted)

    def score(self, answer: bytes, label: Any, spec: Spec) -> float:
        """See `Task.score`."""
        return self._called("score", lambda: self._task.score(answer, label, spec), _is_share, "from 0 to 1")

    def agree(self, one: bytes, other: bytes, spec: Spec) -> float:
        """See `Task.agree`."""
        return self._called("agree", lambda: self._task.agree(one, other, spec), _is_share, "from 0 to 1")

    def category(self, answer: bytes, spec: Spec) -> int:
        """See `Task.category`."""
        wanted = f"a whole number below {CATEGORIES}"
        return self._called("category", lambda: self._task.category(answer, spec), _is_below(CATEGORIES), wanted)

    def category_name(self, category: int, spec: Spec) -> str:
        """See `Task.category_name`."""
        wanted = f"a text of 1 to {MAX_NAME} characters"
        return self._called("category_name", lambda: self._task.category_name(category, spec), _is_name, wanted)

    def stratum(self, answer: bytes, spec: Spec) -> int:
        """See `Task.stratum`."""
        wanted = f"a whole number below {STRATA}"
        return self._called("stratum", lambda: self._task.stratum(answer, spec), _is_below(STRATA), wanted)

    def headline(self, answers: Sequence[bytes], labels: Sequence[Any], spec: Spec) -> Interval:
        """See `Task.headline`."""
        call = lambda: self._task.headline(answers, labels, spec)  # noqa: E731
        return self._called("headline", call, _is(Interval), "an Interval")

    def compare(self, found: Sequence[bytes], recorded: Sequence[bytes], spec: Spec) -> RunComparison:
        """See `Task.compare`."""
        call = lambda: self._task.compare(found, recorded, spec)  # noqa: E731
        return self._called("compare", call, _is(RunComparison), "a RunComparison")

    def _called(
        self, method: str, call: Callable[[], Returned], is_right: Callable[[Any], bool], wanted: str
    ) -> Returned:
        """What a method returns.

        Raises:
            ValueError: the method says that what it was given is wrong.
            PluginFails: it failed, or returned something else than it may.
        """
        try:
            returned = call()
        except (ValueError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            raise PluginFails(f"{self._whose} fails in {method} ({said(error)}): repair or uninstall it") from error
        if not is_right(returned):
            raise PluginFails(f"{self._whose} returns {returned!r:.60} from {method}: it must be {wanted}")
        return returned


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda returned: isinstance(returned, kind)


def _is_share(returned: Any) -> bool:
    return isinstance(returned, float | int) and math.isfinite(returned) and 0 <= returned <= 1


def _is_name(returned: Any) -> bool:
    return isinstance(returned, str) and 1 <= len(returned) <= MAX_NAME


def _is_below(most: int) -> Callable[[Any], bool]:
    return lambda returned: isinstance(returned, int) and 0 <= returned < most


def _are_answers(samples: int) -> Callable[[Any], bool]:
    def are(returned: Any) -> bool:
        if not isinstance(returned, list) or len(returned) != samples:
            return False
        return all(isinstance(one, bytes) and len(one) <= MAX_ANSWER_BYTES for one in returned)

    return are
