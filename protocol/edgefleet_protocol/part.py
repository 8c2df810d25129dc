"""What messages are made of."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
