"""Which addresses a client's URL may reach: the whole table, at the edges of every network."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurir.networks import NEVER, SPECIAL, refusal


def words(text: str) -> list[str]:
    return text.split()


REFUSED = words("""
0.0.0.0 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.64.0.1 100.127.255.255 100.100.100.200 127.0.0.0
127.0.0.1 127.1.2.3 127.255.255.255 169.254.0.0 169.254.0.1 169.254.169.254 169.254.170.2 169.254.255.255 172.16.0.0
172.16.0.1 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.0 192.168.1.1
192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254
255.255.255.255
:: ::1 0:0:0:0:0:0:0:1 ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:169.254.169.254
::ffff:a9fe:a9fe ::ffff:192.168.1.1 64:ff9b::10.0.0.1 64:ff9b::7f00:1 64:ff9b::169.254.169.254 64:ff9b:1::1 100::1
2001::1 2001:0:a9fe:a9fe::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:c0a8:101::1 3fff::1
5f00::1 fc00::1 fd00::1 fd00:ec2::254 fdff:ffff::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 ff0e::1
::10.0.0.1 ::169.254.169.254 ::ffff:0:10.0.0.1
""")

#: What a name server or a URL may hold that looks like an address to some program, and is none.
NO_ADDRESS = words("""
localhost 127.1 127.0.1 0 1 2130706433 0x7f000001 0x7f.0.0.1 017700000001 0177.0.0.1 127.0.0.01 127.0.0.1. 127.0.0.1:80
[::1] ::ffff:127.0.0.01 1.2.3 1.2.3.4.5 256.1.1.1 1.1.1.1/32 example.com １２７.0.0.1 ::g fe80::1::2
""")

OPEN = words("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
::ffff:8.8.8.8 2606:4700::1111 2001:200::1 2a00:1450::1 2003::1 2400::1 2620:fe::fe
""")


def test_the_table_has_at_least_sixty_refused_forms():
    assert len(set(REFUSED)) >= 60


@pytest.mark.parametrize("host", REFUSED)
def test_an_address_that_is_not_public_is_refused_and_named(host):
    why = refusal(host)
    assert why is not None
    assert "address" in why


@pytest.mark.parametrize("host", [*NO_ADDRESS, "", " ", "%", "%eth0", "127.0.0.1\n"])
def test_what_is_no_address_is_refused(host):
    assert refusal(host) is not None
    assert refusal(host, [ip_network("0.0.0.0/0"), ip_network("::/0")]) is not None


@pytest.mark.parametrize("host", OPEN)
def test_a_public_address_may_be_reached(host):
    assert refusal(host) is None


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("192.168.1.1", "192.168.1.0/24"),
        ("::1", "::1/128"),
        ("fd12::1", "fd12::/16"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
    ],
)
def test_the_operator_may_open_a_private_network_and_opens_nothing_else(host, network):
    assert refusal(host, [ip_network(network)]) is None
    assert refusal("172.16.0.1", [ip_network(network)]) is not None
    assert refusal("fd99::1", [ip_network(network)]) is not None


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
    ],
)
def test_metadata_and_link_local_addresses_are_never_reached_whatever_is_allowed(host):
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    assert refusal(host, everything) is not None


@given(st.sampled_from([*NEVER, *SPECIAL]), st.data())
def test_every_address_of_every_network_of_the_tables_is_refused(network, data):
    offset = data.draw(st.integers(0, network.num_addresses - 1))
    assert refusal(str(network[offset])) is not None


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_refused_whenever_the_plain_one_is(address):
    if refusal(str(address)) is not None:
        assert refusal(f"::ffff:{address}") is not None
        assert refusal(f"64:ff9b::{address}") is not None
