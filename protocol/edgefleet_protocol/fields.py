"""Field types shared by messages: what a receiver accepts, and its limits."""

from typing import Annotated

from pydantic import Field, StringConstraints

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{16,64}$")]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Millis = Annotated[int, Field(ge=0, lt=2**48)]
Text = Annotated[str, StringConstraints(max_length=2000)]
Word = Annotated[str, StringConstraints(max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]

MAX_TALLY = 2**40 - 1
Tally = Annotated[int, Field(ge=0, le=MAX_TALLY)]
"""A count in one window; small enough that sums over a fleet and over years fit into 63 bits."""
