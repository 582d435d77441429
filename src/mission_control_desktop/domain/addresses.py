"""Which names and addresses mean this computer, and therefore need no encryption; what a gateway's address may be."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from mission_control_desktop.domain.errors import BadInput

MAX_URL_CHARS = 2_048
_ENCRYPTED = ("https", "wss")


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


def checked_gateway_url(url: str, *, schemes: Sequence[str], allow_insecure: bool) -> str:
    """The address, without a slash at its end. BadInput (field `gatewayUrl`) with words that say what is wrong.

    It has one of the schemes and a host; no user information, query or fragment (they would be shown and may hold
    secrets). Without `allow_insecure`, what is not encrypted must end on this computer.
    """

    def wrong(why: str) -> BadInput:
        return BadInput("gatewayUrl", why)

    wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
    if not url or len(url) > MAX_URL_CHARS:
        raise wrong(f"Give an address like {wanted}, of at most {MAX_URL_CHARS} characters.")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise wrong("The address has characters that no address has. Names beyond ASCII are written as xn--…")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong(f"This is not an address. Give one like {wanted}.") from None
    if parts.scheme not in schemes:
        raise wrong(f"The address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if not host or port == 0 or parts.netloc.endswith(":"):
        raise wrong(f"The address names no computer and port. Give one like {wanted}.")
    if "@" in parts.netloc:
        raise wrong("Give name, password or token as `credentials`, not as part of the address.")
    if "?" in url or "#" in url:
        raise wrong("The address has no query and no fragment; give secrets as `credentials`.")
    if parts.scheme not in _ENCRYPTED and not is_loopback_name(host) and not allow_insecure:
        raise wrong(
            f"What is said to {host} would not be encrypted, credentials included. Use "
            f"{' or '.join(f'{scheme}://' for scheme in schemes if scheme in _ENCRYPTED) or 'an encrypted address'}, "
            "or a tunnel that ends on this computer; to do it all the same, send `allowInsecure: true`."
        )
    return url.rstrip("/")
