"""Settings: from a TOML file, overridden by EDGEFLEET_* variables, overridden by the command line."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgefleet_agent.errors import SettingsError
from edgefleet_process.causes import in_words
from edgefleet_process.environment import PREFIX
from edgefleet_process.errors import TooLarge
from edgefleet_process.logins import read_password
from edgefleet_process.reading import read_at_most
from edgefleet_profiles.errors import NotToml
from edgefleet_profiles.faults import place_of, words_of
from edgefleet_profiles.names import Name
from edgefleet_profiles.selector import PROFILE_LABELS
from edgefleet_profiles.spelling import nearest_field
from edgefleet_profiles.toml import parse_toml
from edgefleet_protocol.broker_address import BrokerAddress, parse_brokers
from edgefleet_protocol.errors import NotABroker
from edgefleet_protocol.messages import MAX_LABELS

MOST_BYTES = 2**20
"""Of the file of settings, so that a wrong name cannot fill the memory."""
DEFAULT_HTTP = "127.0.0.1:8080"
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
Seconds = Annotated[float, Field(ge=0.1, le=86400)]


class BrokerSettings(BaseModel):
    """The brokers' addresses, tried in order, and our login; its password is read from its file at every connect."""

    model_config = ConfigDict(frozen=True)

    addresses: Annotated[tuple[BrokerAddress, ...], Field(min_length=1)]
    ca_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None

    def password(self) -> str | None:
        """The password, if there is a file with it.

        Raises:
            UnusableLogin: the file cannot be used.
        """
        return read_password(self.password_file) if self.password_file else None


class AgentSettings(BaseModel):
    """All settings of one agent; see `edgefleet-agent run --help`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    device: Name
    broker: Annotated[tuple[str, ...], Field(min_length=1)]
    region: Name
    link: Name
    hardware: Name | None = None
    simulate_hardware: Name | None = None
    catalogue: Path | None = None
    http: str = DEFAULT_HTTP
    http_names: tuple[str, ...] = ()
    heartbeat_s: Seconds = 60.0
    window_s: Seconds = 60.0
    stall_s: Annotated[float, Field(ge=0.1, le=30 * 86400)] = 6 * 3600.0
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mb: Annotated[int, Field(ge=64, le=2**24)] | None = None
    labels: dict[Name, Name] = Field(default_factory=dict, max_length=MAX_LABELS)
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    log_format: Literal["text", "json"] = "text"
    failpoint: str | None = None

    @field_validator("labels", mode="after")
    @classmethod
    def _labels_leave_facts_alone(cls, given: dict[str, str]) -> dict[str, str]:
        if taken := sorted(given.keys() & PROFILE_LABELS):
            raise ValueError(f"'{taken[0]}' is a fact of every device and no label of yours: give it another name")
        return given

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_from_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        pairs = [pair.partition("=") for pair in given.split(",") if pair]
        return {key.strip(): value.strip() for key, _, value in pairs}

    @field_validator("broker", mode="before")
    @classmethod
    def _brokers_from_text(cls, given: Any) -> Any:
        parts = [given] if isinstance(given, str) else given
        whole = isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts)
        return [one.strip() for part in parts for one in part.split(",")] if whole else given

    @field_validator("http_names", mode="before")
    @classmethod
    def _names_from_text(cls, given: Any) -> Any:
        return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given

    @field_validator("http_names", mode="after")
    @classmethod
    def _names_of_hosts(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in given if not _HOST_NAME.fullmatch(name)]:
            raise ValueError(f"'{wrong[0]}' is no name of a host: give it alone, such as gateway.example.org")
        return given

    @property
    def broker_settings(self) -> BrokerSettings:
        """The parts of the brokers' addresses.

        Raises:
            SettingsError: one is not an mqtt:// or mqtts:// address, or the login says what would not be obeyed.
        """
        try:
            addresses = parse_brokers(",".join(self.broker))
        except NotABroker as error:
            raise SettingsError(f"invalid broker: {error}") from None
        if self.ca_file and not any(address.tls for address in addresses):
            raise SettingsError("ca_file is for an mqtts:// broker: remove it, or write mqtts://HOST:PORT")
        if self.password_file and self.username is None:
            raise SettingsError("password_file is set without username: give the broker's user, too")
        return BrokerSettings(
            addresses=addresses,
            ca_file=self.ca_file,
            username=self.username,
            password_file=self.password_file,
        )

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of the endpoint.

        Raises:
            SettingsError: it is not HOST:PORT, with an IPv6 address in brackets.
        """
        found = _ADDRESS.fullmatch(self.http)
        if found is None or int(found[3]) > 65535:
            raise SettingsError(f"invalid http '{self.http}': write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
        return found[1] or found[2], int(found[3])


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> AgentSettings:
    """Merge the layers and validate the result.

    Args:
        flags: the command line, by setting; `config` names the file.
        environment: EDGEFLEET_DEVICE and so on: the setting's name in capitals.

    Raises:
        SettingsError: what is missing or wrong, in one line.
    """
    fields = AgentSettings.model_fields
    variables = {name: environment[PREFIX + name.upper()] for name in fields if PREFIX + name.upper() in environment}
    config = flags.get("config") or environment.get(PREFIX + "CONFIG")
    merged: dict[str, Any] = {}
    for layer in (_read(Path(config)) if config else {}, variables, {k: v for k, v in flags.items() if k != "config"}):
        # Each of the two ways to name the hardware replaces the other.
        if layer.keys() & {"hardware", "simulate_hardware"}:
            merged = {k: v for k, v in merged.items() if k not in ("hardware", "simulate_hardware")}
        merged |= layer
    if merged.get("hardware") and merged.get("simulate_hardware"):
        raise SettingsError("hardware and simulate_hardware exclude each other: set one")
    try:
        return AgentSettings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_first_fault(error)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_at_most(MOST_BYTES, path).decode())
    except TooLarge:
        raise SettingsError(f"{path} has more than {MOST_BYTES:,} bytes: give the TOML file of settings") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings cannot be read: {in_words(error)}; give --config a TOML file") from None
    except NotToml as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    name = place_of(fault)
    if fault["type"] == "missing":
        flag = "--" + name.replace("_", "-")
        return f"'{name}' is not set: give {flag}, {PREFIX}{name.upper()}, or {name} = ... in the --config file"
    if fault["type"] == "extra_forbidden":
        return f"unknown setting '{name}': {nearest_field(AgentSettings, fault['loc'])}"
    return f"{name}: {words_of(fault)}"
