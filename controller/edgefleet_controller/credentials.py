"""Credentials for the broker and the API: made once, printed once, and stored as hashes where possible."""

import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from edgefleet_controller.errors import ControllerError
from edgefleet_process.causes import in_words
from edgefleet_process.durable import replace_file

CONTROLLER_USER, DEVICE_USER = "controller", "device"


class CredentialsError(ControllerError):
    """Credentials are missing or cannot be read."""


@dataclass(frozen=True)
class Login:
    """A user of the broker; `repr` hides the password, to keep it out of logs."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username!r}, ***)"


@dataclass(frozen=True)
class Credentials:
    """What is stored: only a hash of the API's token, but the broker's passwords in clear, as it needs them."""

    token_sha256: str
    controller_password: str
    device_password: str

    @property
    def controller(self) -> Login:
        """How the controller itself logs in to the embedded broker."""
        return Login(CONTROLLER_USER, self.controller_password)

    @property
    def device(self) -> Login:
        """How devices log in to the embedded broker."""
        return Login(DEVICE_USER, self.device_password)

    def admits(self, token: str) -> bool:
        """Whether this is the API's token, compared in constant time."""
        return hmac.compare_digest(sha256(token.encode()).hexdigest(), self.token_sha256)


def load_credentials(state: Path) -> Credentials | None:
    """The credentials of a state folder; None if none were made.

    Raises:
        CredentialsError: the file cannot be read.
    """
    path = _file(state)
    try:
        return Credentials(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise CredentialsError(
            f"{path} cannot be read ({in_words(error)}): restore it, or delete it and start with --make-credentials"
        ) from None


def make_credentials(state: Path) -> tuple[Credentials, str]:
    """Make the credentials of a state folder, replacing any that exist.

    Returns:
        What is stored, and the API's token, which is not.
    """
    token = f"ef_{secrets.token_urlsafe(32)}"
    made = Credentials(
        token_sha256=sha256(token.encode()).hexdigest(),
        controller_password=secrets.token_urlsafe(24),
        device_password=secrets.token_urlsafe(24),
    )
    replace_file(_file(state), json.dumps(asdict(made)).encode(), private=True)
    return made, token


def _file(state: Path) -> Path:
    return state / "credentials.json"
