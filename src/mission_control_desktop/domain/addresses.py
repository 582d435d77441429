"""Which names and addresses mean this computer, and therefore need no encryption."""

from __future__ import annotations

import ipaddress


def is_loopback_address(text: str) -> bool:
    """Whether an IP address, as text and perhaps in brackets or with a zone, can only be this computer.

    IPv4 addresses mapped into IPv6 (`::ffff:127.0.0.1`) are judged as what they stand for. False for every name.
    """
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_loopback_name(host: str) -> bool:
    """The same, and `localhost`, which no resolver may lead elsewhere (RFC 6761, section 6.3). Names below it are not
    counted: resolvers that ask the network for them exist."""
    return host.strip("[]").rstrip(".").lower() == "localhost" or is_loopback_address(host)
