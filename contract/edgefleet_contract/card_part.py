"""What all parts of a model card have in common."""

from pydantic import BaseModel, ConfigDict


class CardPart(BaseModel):
    """A part of the card; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
