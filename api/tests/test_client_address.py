"""Whose request it is. Spoofed headers decide nothing: would fail if the leftmost hop, the other header, or an
untrusted peer were believed."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from limena.client_address import client_address, network_of, parse_address

PROXY, SECOND = "10.0.0.1", "10.0.9.9"
TRUSTED = [ipaddress.ip_network("10.0.0.0/16")]
CLIENT = "203.0.113.7"


def seen(peer: str, *values: str, header: str = "x-forwarded-for") -> str:
    headers = Headers(raw=[(header.encode(), value.encode()) for value in values])
    return str(client_address(ipaddress.ip_address(peer), headers, header=header, trusted=TRUSTED))


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        (PROXY, (), PROXY),
        (PROXY, (CLIENT,), CLIENT),
        (PROXY, (f"1.2.3.4, {CLIENT}",), CLIENT),  # what the client invented stands on the left
        (PROXY, ("1.2.3.4", CLIENT), CLIENT),  # two lines are one list
        (PROXY, (f"1.2.3.4, {CLIENT}, {SECOND}",), CLIENT),  # two proxies
        (PROXY, (f"{CLIENT}:4711",), CLIENT),
        (PROXY, ("[2001:db8::1]:4711",), "2001:db8::1"),
        (PROXY, ("2001:db8::1",), "2001:db8::1"),
        (PROXY, (f"::ffff:{CLIENT}",), CLIENT),
        (PROXY, (SECOND,), SECOND),
        (PROXY, (f"{CLIENT}, unknown",), PROXY),
        (PROXY, (f"{CLIENT}, ",), PROXY),
        (PROXY, ("x" * 5000,), PROXY),
        (CLIENT, ("1.2.3.4",), CLIENT),  # nobody whom we trust
        (CLIENT, (PROXY,), CLIENT),
    ],
)
def test_x_forwarded_for(peer: str, values: tuple[str, ...], expected: str) -> None:
    assert seen(peer, *values) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"for=1.2.3.4, for={CLIENT};proto=https;by=10.0.0.1", CLIENT),
        (f'proto=https;For="{CLIENT}:4711"', CLIENT),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=_hidden", PROXY),
        ("for=unknown", PROXY),
        ("proto=https", PROXY),
        (f"xfor={CLIENT}", PROXY),
    ],
)
def test_forwarded(value: str, expected: str) -> None:
    assert seen(PROXY, value, header="forwarded") == expected


def test_the_header_that_is_not_configured_is_not_read() -> None:
    headers = Headers({"forwarded": "for=1.2.3.4", "x-forwarded-for": CLIENT})
    peer = ipaddress.ip_address(PROXY)
    assert str(client_address(peer, headers, header="x-forwarded-for", trusted=TRUSTED)) == CLIENT


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60), max_size=5))
def test_a_stranger_is_who_he_is_whatever_he_says(values: list[str]) -> None:
    headers = Headers(raw=[(b"x-forwarded-for", value.encode("latin-1")) for value in values])
    peer = ipaddress.ip_address(CLIENT)
    assert client_address(peer, headers, header="x-forwarded-for", trusted=TRUSTED) == peer


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    parse_address(text)


def test_an_ipv6_client_is_its_64() -> None:
    first, same, other = map(ipaddress.ip_address, ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"))
    assert network_of(first) == network_of(same) == "2001:db8:0:1::/64"
    assert network_of(first) != network_of(other)
    assert network_of(ipaddress.ip_address(CLIENT)) == CLIENT
