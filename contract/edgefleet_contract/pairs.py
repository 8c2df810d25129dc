"""Two variants beside each other, by their answers to the same samples."""

from typing import Literal

from edgefleet_contract.base import Shape


class PairView(Shape):
    """What `devices` devices have, and what they would get, compared by their answers to all of val.

    `before` and `after` are variants. `asked` says whose answers those of `before` are: its own, or those of the source
    model it was made from where its own were not kept. `disagreement` is a share by the measure of the task, `drop` how
    much lower the scores of `after` are, each with the interval of 95 %; scores are null if `not_scored` says why.
    `not_compared` says why there are no figures at all. `refused` says why a rollout of this is refused unless it
    accepts the drop, and `signature_change` what applications must do, for which it must accept the signature.
    """

    before: str
    before_model: str | None = None
    after: str
    after_model: str
    devices: int
    asked: Literal["variant", "source model"] = "variant"
    measure: str | None = None
    samples: int | None = None
    disagreement: float | None = None
    disagreement_ci: tuple[float, float] | None = None
    score_before: float | None = None
    score: float | None = None
    drop: float | None = None
    drop_ci: tuple[float, float] | None = None
    not_scored: str | None = None
    not_compared: str | None = None
    refused: str | None = None
    signature_change: str | None = None
