"""The broker, embedded or the operator's own, and the credentials for it and the API."""

from dataclasses import dataclass
from pathlib import Path

from edgefleet_controller.credentials import Credentials, CredentialsError, Login, load_credentials
from edgefleet_controller.fleet.broker import EmbeddedBroker
from edgefleet_controller.settings import ControllerSettings
from edgefleet_process.errors import UnusableLogin
from edgefleet_process.logins import read_password, trusting
from edgefleet_protocol.broker_address import parse_brokers
from edgefleet_protocol.errors import NotABroker


@dataclass(frozen=True)
class Access:
    """The broker and the credentials of a running controller.

    `broker` is the embedded one, or None. `url` is the broker's address for devices, `local_url` the controller's, or
    several with commas between;
    `login` is the controller's user there. `device_username` is the user of all devices; None if each has its own, or
    if no login is needed.
    """

    credentials: Credentials | None
    broker: EmbeddedBroker | None
    url: str
    local_url: str
    login: Login | None
    ca_file: Path | None
    device_username: str | None


def open_access(settings: ControllerSettings) -> Access:
    """Load the credentials, and find the embedded broker's port unless the operator names a broker; starts nothing.

    Raises:
        CredentialsError: the credentials cannot be read.
        BrokerError: the embedded broker cannot be used.
    """
    credentials = load_credentials(settings.state)
    own = _own_login(settings)
    if settings.broker_url:
        url = _addresses(settings.broker_url)
        return Access(credentials, None, url, url, own, settings.broker_ca_file, None)
    broker = EmbeddedBroker.prepare(
        settings.state, host=settings.host, port=settings.broker_port, credentials=credentials
    )
    login = credentials.controller if credentials else None
    device = credentials.device.username if credentials else None
    return Access(credentials, broker, broker.url, broker.local_url, login, None, device)


def refuse_strangers(settings: ControllerSettings) -> None:
    """Refuse to listen beyond loopback without credentials, before anything is opened.

    Raises:
        CredentialsError: other machines could connect, and there are no credentials.
    """
    if not settings.beyond_loopback:
        return
    if load_credentials(settings.state) is None:
        raise CredentialsError(
            f"{settings.host} can be reached from other machines, but {settings.state} has no credentials: "
            "start once with --make-credentials, which prints an API token and a broker password for devices"
        )
    if settings.broker_url and _own_login(settings) is None:
        raise CredentialsError(
            f"{settings.host} can be reached from other machines: also give --broker-user and "
            f"--broker-password-file for {settings.broker_url}"
        )


def _own_login(settings: ControllerSettings) -> Login | None:
    """The login for the operator's own broker, of which each setting is obeyed or refused."""
    if settings.broker_url is None:
        _refuse_unused(settings)
        return None
    if settings.broker_port:
        raise CredentialsError(f"--broker-port is for the embedded broker, and {settings.broker_url} is used: drop one")
    _check_certificates(settings.broker_url, settings.broker_ca_file)
    if settings.broker_username is None:
        if settings.broker_password_file:
            raise CredentialsError(f"{settings.broker_password_file} is the password of no user: give --broker-user")
        return None
    if settings.broker_password_file is None:
        raise CredentialsError(f"no password for '{settings.broker_username}': give --broker-password-file")
    try:
        return Login(settings.broker_username, read_password(settings.broker_password_file))
    except UnusableLogin as error:
        raise CredentialsError(f"--broker-password-file: {error}") from None


def _refuse_unused(settings: ControllerSettings) -> None:
    given = {
        "--broker-user": settings.broker_username,
        "--broker-password-file": settings.broker_password_file,
        "--broker-ca-file": settings.broker_ca_file,
    }
    if unused := [flag for flag, value in given.items() if value is not None]:
        raise CredentialsError(f"{', '.join(unused)} would not be used: name your own broker with --broker, too")


def _addresses(text: str) -> str:
    """The addresses of the operator's brokers as they are told: each whole, with commas between."""
    try:
        return ",".join(map(str, parse_brokers(text)))
    except NotABroker as error:
        raise CredentialsError(f"--broker: {error}") from None


def _check_certificates(url: str, file: Path | None) -> None:
    if file is None:
        return
    try:
        trusting(file)
        tls = any(address.tls for address in parse_brokers(url))
    except (UnusableLogin, NotABroker) as error:
        raise CredentialsError(f"--broker-ca-file: {error}") from None
    if not tls:
        raise CredentialsError(f"--broker-ca-file is for an mqtts:// broker, and {url} is none: correct one of them")
