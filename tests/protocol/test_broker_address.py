"""Each part of a broker's address is obeyed or refused."""

import pytest

from edgefleet_protocol.broker_address import BrokerAddress, parse_broker
from edgefleet_protocol.errors import NotABroker


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://broker", BrokerAddress("broker", 1883, False)),
        ("mqtts://broker/", BrokerAddress("broker", 8883, True)),
        ("mqtt://10.0.0.5:31000", BrokerAddress("10.0.0.5", 31000, False)),
        ("mqtts://[fe80::1]:1", BrokerAddress("fe80::1", 1, True)),
    ],
)
def test_an_address(text: str, address: BrokerAddress) -> None:
    assert parse_broker(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "broker", "broker:1883", "http://broker", "mqtt://", "mqtt://:1883", "mqtt://b:0", "mqtt://b:99999"),
        *("mqtt://b:port", "mqtt://b/path", "mqtt://b?keepalive=5", "mqtt://b#x", "mqtt://[::1", "mqtt://b\n:1"),
        *("mqtt:// b", "mqtt://b:18 83", "MQTT//b"),
    ],
)
def test_what_is_no_address_or_says_more_is_refused(text: str) -> None:
    with pytest.raises(NotABroker, match="mqtt://HOST:PORT"):
        parse_broker(text)


@pytest.mark.parametrize("login", ["user:geheim", "user:ge/heim", ":geheim", "user:ge@heim", "geheim"])
def test_a_login_has_no_place_in_an_address_nor_in_the_message(login: str) -> None:
    with pytest.raises(NotABroker) as refused:
        parse_broker(f"mqtt://{login}@broker:1883")
    assert "heim" not in str(refused.value)
