"""What the pages on the protocol say of a field, computed from the models: its type, and what it is if absent."""

import dataclasses
import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from edgefleet_profiles.names import Name
from edgefleet_protocol.fields import Count, Digest, Id, Millis, Share, Tally, Text, Word
from edgefleet_protocol.messages import Generation
from edgefleet_protocol.phases import Phase

NAMED: dict[str, Any] = {
    "digest": Digest,
    "id": Id,
    "name": Name,
    "word": Word,
    "text": Text,
    "count": Count,
    "tally": Tally,
    "generation": Generation,
    "millis": Millis,
    "share": Share,
    "phase": Phase,
}
"""The types that the pages name, and describe once."""
NOT_OF_THE_TYPE = {"title", "default", "description"}

Schema = dict[str, Any]


@cache
def schema_of(kind: Any) -> Schema:
    """The JSON schema of a type."""
    return TypeAdapter(kind).json_schema()


def described(schema: Schema, *, by_name: bool = True) -> str:
    """A JSON schema in the words of the tables; `by_name` if a type that has a name is called by it."""
    schema = {key: value for key, value in schema.items() if key not in NOT_OF_THE_TYPE}
    if by_name and (name := next((name for name, kind in NAMED.items() if schema_of(kind) == schema), None)):
        return name
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(described(each) for each in schema["anyOf"])
    match schema["type"]:
        case "string":
            return f"string{_form(schema)}"
        case "integer" | "number":
            return f"{schema['type']}{_range(schema)}"
        case "array":
            kind = "set" if schema.get("uniqueItems") else "list"
            item = described(schema["items"])
            item = f"({item})" if " or " in item else item
            return f"{kind} of {item}{_at_most(schema.get('maxItems'))}"
        case "object":
            return f"table of {_entries(schema)}{_at_most(schema.get('maxProperties'))}"
        case kind:
            return str(kind)


@cache
def cells(kind: type) -> dict[str, tuple[str, str]]:
    """By field of a model, the cells on its type and on its absence."""
    told = schema_of(kind)["properties"]
    return {name: (described(told[name]), absent) for name, absent in _absences(kind).items()}


def _absences(kind: type) -> dict[str, str]:
    if dataclasses.is_dataclass(kind):
        return {
            field.name: "required" if field.default is dataclasses.MISSING else f"`{json.dumps(field.default)}`"
            for field in dataclasses.fields(kind)
        }
    return {
        name: "required" if field.is_required() else f"`{_default(field.get_default(call_default_factory=True))}`"
        for name, field in kind.model_fields.items()
    }


def _default(value: Any) -> str:
    return json.dumps(TypeAdapter(Any).dump_python(value, mode="json", exclude_defaults=True))


def _form(schema: Schema) -> str:
    if pattern := schema.get("pattern"):
        return f" that matches `{pattern.strip('^$')}`"
    if values := schema.get("enum"):
        return f", one of {len(values)}"
    most = schema.get("maxLength")
    return f", at most {most:,} characters" if most else ""


def _range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if schema["type"] == "integer" and below is not None:
        high, below = below - 1, None
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    bounds = {"above": above, "at least": low, "below": below, "at most": high}
    return "".join(f", {words} {_number(bound)}" for words, bound in bounds.items() if bound is not None)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _entries(schema: Schema) -> str:
    if by_pattern := schema.get("patternProperties"):
        ((pattern, value),) = by_pattern.items()
        return f"{described(value)} by {described({'type': 'string', 'pattern': pattern})}"
    key = {"type": "string", **schema.get("propertyNames", {})}
    return f"{described(schema['additionalProperties'])} by {described(key)}"


def _at_most(most: int | None) -> str:
    return f", at most {most:,}" if most is not None else ""
