"""What pydantic finds wrong is told in plain words: what is asked for, and what was given."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.names import Name


class Inner(BaseModel):
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    many: Annotated[list[int], Field(max_length=2)] = []


class Given(BaseModel):
    number: int = 1
    strict: Annotated[int, Field(strict=True)] = 1
    ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    on: bool = False
    text: Annotated[str, Field(min_length=1)] = "x"
    order: Literal["up", "down"] = "up"
    names: dict[Name, Name] = {}
    inner: Inner = Inner()
    ruled: int = 0

    @field_validator("ruled")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd, which nobody wants: give an even number, or 0")
        return value


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"number": "x"}, "number", "must be a whole number, not 'x'"),
        ({"number": 1.5}, "number", "must be a whole number, not 1.5"),
        ({"strict": True}, "strict", "must be a whole number, not true"),
        ({"strict": "1"}, "strict", "must be a whole number, not '1'"),
        ({"ratio": -1}, "ratio", "must be at least 0, not -1"),
        ({"ratio": float("nan")}, "ratio", "must be a finite number, not nan"),
        ({"on": "perhaps"}, "on", "must be true or false, not 'perhaps'"),
        ({"text": ""}, "text", "must have at least 1 character, not ''"),
        ({"text": 5}, "text", "must be text, not 5"),
        ({"text": None}, "text", "must be text, not null"),
        ({"order": "left"}, "order", "must be 'up' or 'down', not 'left'"),
        ({"names": {"N o": "x"}}, "names.N o", "'N o' is not a name: use lower-case letters, digits, '-' and '_', at"),
        ({"names": []}, "names", "must be a table of names and values, not a list"),
        ({"inner": {"share": 1}}, "inner.share", "must be below 1, not 1"),
        ({"inner": {"many": [1, 2, 3]}}, "inner.many", "must have at most 2 items, not 3"),
        ({"inner": 3}, "inner", "must be a table of names and values, not 3"),
        ({"ruled": 3}, "ruled", "odd, which nobody wants: give an even number, or 0"),
    ],
)
def test_each_kind_of_fault_says_what_is_asked_for(given: dict[str, Any], place: str, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Given.model_validate(given)
    first = refused.value.errors()[0]
    assert place_of(first) == place
    assert words_of(first).startswith(told)
    assert not any(word in words_of(first) for word in ("Input", "valid", "should", "Value error"))
