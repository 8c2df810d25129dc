"""Each part of a broker's address is obeyed or refused."""

import pytest

from edgefleet_protocol.broker_address import BrokerAddress, BrokerOrder, parse_broker, parse_brokers
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
        *("mqtt:// b", "mqtt://b:18 83", "MQTT//b", "mqtt://a..b", "mqtt://.", f"mqtt://{64 * 'a'}.example"),
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


def test_addresses_are_told_as_they_are_read() -> None:
    text = "mqtt://near:1883,mqtts://[fe80::1]:8883"
    found = parse_brokers(" mqtt://near , mqtts://[fe80::1]/")
    assert found == (BrokerAddress("near", 1883, False), BrokerAddress("fe80::1", 8883, True))
    assert ",".join(map(str, found)) == text and parse_brokers(text) == found


@pytest.mark.parametrize(
    "text", ["mqtt://a,", ",mqtt://a", "mqtt://a,,mqtt://b", "mqtt://a,http://b", "mqtt://a mqtt://b"]
)
def test_one_wrong_address_refuses_all(text: str) -> None:
    with pytest.raises(NotABroker, match="mqtt://HOST:PORT"):
        parse_brokers(text)


def test_an_address_that_is_named_twice_is_refused() -> None:
    with pytest.raises(NotABroker, match=r"mqtt://a:1883 is named twice: name each once"):
        parse_brokers("mqtt://a,mqtt://b,mqtt://a:1883")


A, B, C = parse_brokers("mqtt://a,mqtt://b,mqtt://c")


def test_after_a_failure_the_next_is_tried_and_after_the_last_the_first() -> None:
    order, tried = BrokerOrder((A, B, C)), []
    for _ in range(4):
        tried.append(order.address)
        order.ended(steady=False)
    assert tried == [A, B, C, A]


def test_after_a_connection_that_lasted_the_first_is_tried_again() -> None:
    order = BrokerOrder((A, B, C))
    order.ended(steady=False)
    assert order.address == B
    order.ended(steady=True)
    assert order.address == A


def test_one_that_fell_silent_is_left_for_the_next() -> None:
    order = BrokerOrder((A, B))
    order.ended(steady=True, silent=True)
    assert (order.address, order.rounds) == (B, 0)
    order.ended(steady=True, silent=True)
    assert order.address == A


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pauses_grow_once_all_have_failed(count: int) -> None:
    order, rounds = BrokerOrder((A, B, C)[:count]), []
    for _ in range(6):
        order.ended(steady=False)
        rounds.append(order.rounds)
    assert rounds == [failures // count for failures in range(1, 7)]
    order.ended(steady=True)
    assert order.rounds == 0
