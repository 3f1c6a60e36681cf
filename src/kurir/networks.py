"""Which addresses a URL that a client gave may reach: none that is private, unless the operator allows its network.

Link-local addresses and the clouds' metadata services are refused even then. The table is explicit because
``ipaddress.is_global`` differs between Python versions. Sources: the IANA special-purpose address registries for IPv4 and
IPv6; addresses that embed an IPv4 address (RFC 4291, 6052, 3056, 8215) are judged by the embedded one too.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Never reachable, whatever the operator allows.
NEVER: Final = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254/128",  # AWS by IPv6
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure: a public address that answers inside its machines only
            "192.0.0.192/32",  # Oracle
        ),
    )
)

#: Reachable only where the operator allows the network.
SPECIAL: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/96",  # unspecified, loopback, and the addresses that hold an IPv4 address in the oldest way
            "::ffff:0:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fec0::/10",
            "ff00::/8",
        ),
    )
)


def refusal(host: str, allowed: Iterable[Network] = ()) -> str | None:
    """Return why the IP address *host* may not be reached, or None when it may.

    *allowed* are the networks that the operator opened. A text that is no IP address is refused.
    """
    try:
        address: Address = ip_address(host.partition("%")[0])
    except ValueError:
        return f"{host} is no IP address"
    networks = tuple(allowed)
    for each in _faces(address):
        if any(each in network for network in NEVER if network.version == each.version):
            return f"{address} is a link-local or metadata address, which is never reached"
        special = any(each in network for network in SPECIAL if network.version == each.version)
        if special and not any(each in network for network in networks if network.version == each.version):
            return f"{address} is not a public address (allow_networks can open its network)"
    return None


def holds(networks: Iterable[Network], remote: str) -> bool:
    """Return whether the IP address *remote* is in one of *networks*. A text that is no IP address is in none."""
    try:
        address: Address = ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # how a socket of both kinds names an IPv4 address
    return any(address in network for network in networks if network.version == address.version)


def _faces(address: Address) -> list[Address]:
    """Return the address itself, or the IPv4 address that it stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    value = int(address)
    if address in ip_network("64:ff9b::/96"):
        return [address, IPv4Address(value & 0xFFFFFFFF)]
    if address in ip_network("2002::/16"):
        return [address, IPv4Address(value >> 80 & 0xFFFFFFFF)]
    return [address]
