"""The mark of a setting that describes and decides nothing; every other setting is obeyed or refused."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class DescriptionOnly:
    """Marks a field that nothing obeys, with the reason; it is part of the field's JSON schema."""

    why: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": f"description only: {self.why}"}


def described_only(model: type[BaseModel]) -> dict[str, str]:
    """The fields of a model that only describe, each with the reason."""
    marks: dict[str, Any] = {
        name: next((mark for mark in field.metadata if isinstance(mark, DescriptionOnly)), None)
        for name, field in model.model_fields.items()
    }
    return {name: mark.why for name, mark in marks.items() if mark}
