"""How far one public model came through the loop: a cell for each stage, with the reason where it stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

from rich.console import Console

from benchmarks.models.public_model import PublicModel
from benchmarks.result import Row

LoopStage = Literal["add", "compress", "rollout", "self-test", "requests", "feedback", "rollback"]
STAGES: tuple[LoopStage, ...] = ("add", "compress", "rollout", "self-test", "requests", "feedback", "rollback")
YES, NO, NONE, NOT_REACHED = "yes", "no", "none", ""
MOST_CHARACTERS = 300


class StageFailed(Exception):  # noqa: N818 - a reason in a cell
    """A stage did not do what it is for; the message is the reason."""


@dataclass
class LoopRow:
    """The cells of one model; `reason` is of the first stage that failed, `notes` goes into the JSON alone."""

    model: PublicModel
    cells: dict[LoopStage, str] = field(default_factory=dict)
    reason: str = ""
    variant: str = ""
    encoding_bytes: int | None = None
    near: float | None = None
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: LoopStage) -> Iterator[None]:
        """Do a stage; whatever is raised is why it failed, and is raised on."""
        began = monotonic()
        try:
            yield
        except Exception as error:
            said = " ".join((str(error) or type(error).__name__).split())[:MOST_CHARACTERS]
            self.cells[stage], self.reason = NO, self.reason or f"{stage}: {said}"
            raise StageFailed(said) from error
        finally:
            self.notes.setdefault("seconds by stage", {})[stage] = round(monotonic() - began, 1)
        self.cells.setdefault(stage, YES)

    @property
    def whole(self) -> bool:
        """Whether every stage was passed that there is for this model."""
        return all(self.cells.get(stage) in (YES, NONE) for stage in STAGES)

    def rows(self) -> list[Row]:
        """The row of the table, and one of the other table that says why this stopped."""
        near = None if self.near is None else round(self.near, 4)
        first: Row = {
            "model": self.model.name,
            "task": self.model.task,
            "samples": self.model.samples,
            **{stage: self.cells.get(stage, NOT_REACHED) for stage in STAGES},
            "variant": self.variant,
            "KB": None if self.encoding_bytes is None else round(self.encoding_bytes / 1024),
            "near": near,
            "s": round(self.seconds),
            "notes": {"source": self.model.source, "samples": self.model.of, **self.notes},
        }
        return [first, *([{"stopped": self.model.name, "reason": self.reason}] if self.reason else [])]

    def tell(self, console: Console) -> None:
        """One line, as soon as it is known."""
        told = "whole" if self.whole else self.reason
        console.print(f"  {self.model.name}, {self.seconds:.0f} s: {told}", highlight=False)
