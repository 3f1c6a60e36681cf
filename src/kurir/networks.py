"""Where a URL that a client gave may lead: to no private address, unless the operator allows its network; to HTTP's ports.

Link-local addresses and the clouds' metadata services are refused even then. The table is explicit because
``ipaddress.is_global`` differs between Python versions. Sources: the IANA special-purpose address registries for IPv4 and
IPv6; addresses that embed an IPv4 address (RFC 4291, 6052, 3056, 4380, 7915, 8215) are judged by the embedded one too.
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
            # By IPv6 the clouds chose private addresses, which allow_networks may open for another reason.
            "fd00:ec2::/32",  # AWS: instance metadata at ::254, the credentials of EKS's pods at ::23
            "fd20:ce::254/128",  # Google
            "fd00:c1::a9fe:a9fe/128",  # Oracle
            "fd00:42::42/128",  # Scaleway
            "fd00:a9fe:a9fe::1/128",  # Linode
            "fd00:100::100:200/128",  # Alibaba
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
            "100:0:0:1::/64",
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


#: Ports of protocols that are not HTTP, some of whose servers take a request for commands: those that browsers refuse
#: (Fetch Standard, «port blocking»). Refused in allowed networks too, where such servers are mostly found.
OTHER_PORTS: Final = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})  # fmt: skip


def refusal(host: str, allowed: Iterable[Network] = ()) -> str | None:
    """Return why the IP address *host* may not be reached, or None when it may.

    *allowed* are the networks that the operator opened. A text that is no IP address is refused.
    """
    try:
        address: Address = ip_address(host.partition("%")[0])
    except ValueError:
        return f"{host} is no IP address"
    networks = tuple(allowed)
    for each in (*_faces(address), *_hidden(address)):
        if any(each in network for network in NEVER if network.version == each.version):
            return f"{address} is a link-local or metadata address, which is never reached"
    for each in _faces(address):
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


_NAT64: Final = ip_network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ip_network("2002::/16")
#: Where an IPv6 address of a network may hold an IPv4 address: the bits, from the right, at which its two halves begin.
_HIDING: Final = (
    (ip_network("::/96"), (16, 0)),  # RFC 4291: compatible
    (ip_network("::ffff:0:0:0/96"), (16, 0)),  # RFC 7915: translated
    (ip_network("64:ff9b:1::/48"), (16, 0)),  # RFC 8215: a translator's own prefix, of 96 bits
    (ip_network("64:ff9b:1::/48"), (64, 40)),  # the same of 48 bits (RFC 6052)
)
_TEREDO: Final = ip_network("2001::/32")


def _faces(address: Address) -> list[Address]:
    """Return the address itself, or the IPv4 address that it stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    value = int(address)
    if address in _NAT64:
        return [address, IPv4Address(value & 0xFFFFFFFF)]
    if address in _SIX_TO_FOUR:
        return [address, IPv4Address(value >> 80 & 0xFFFFFFFF)]
    return [address]


def _hidden(address: Address) -> list[Address]:
    """Return what else the address may lead to, where the operator opened its network: what is never reached stays so."""
    if isinstance(address, IPv4Address):
        return []
    value = int(address)
    found: list[Address] = [
        IPv4Address((value >> high & 0xFFFF) << 16 | value >> low & 0xFFFF)
        for network, (high, low) in _HIDING
        if address in network
    ]
    if address in _TEREDO:  # RFC 4380: the server as it is, the client inverted
        found += [IPv4Address(value >> 64 & 0xFFFFFFFF), IPv4Address(~value & 0xFFFFFFFF)]
    return found
