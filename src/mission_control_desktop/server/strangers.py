"""What a web page in a browser on this computer would send, and is refused before anything else is looked at.

A page can make a browser send requests to loopback addresses. It cannot send a token that it does not have, there are
no cookies, and no answer allows another origin to read it; this is the wall before that. `Origin` and `Sec-Fetch-Site`
are set by browsers alone and cannot be left out by a page. A page that lets its own name point to 127.0.0.1 (DNS
rebinding) sends neither on a GET, but it sends its own name as `Host`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from mission_control_desktop.domain.addresses import is_loopback_address, is_loopback_name
from mission_control_desktop.domain.errors import Forbidden


def refuse_web_pages(scope: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises Forbidden. `names` are hosts, besides loopback ones, under which a loopback door may be addressed."""
    headers = {name.lower(): value for name, value in scope["headers"]}
    if b"origin" in headers or headers.get(b"sec-fetch-site", b"none").strip().lower() != b"none":
        raise Forbidden("Web pages cannot use this server.")
    server = scope.get("server")
    if b"host" not in headers or server is None or not is_loopback_address(str(server[0])):
        return
    host = _host(headers[b"host"].decode("latin-1"))
    if not is_loopback_name(host) and host not in names:
        raise Forbidden(
            "This address is for this computer alone, and the request names another host. Behind a proxy that keeps "
            "the name, give it with --allow-host."
        )


def _host(value: str) -> str:
    try:
        return (urlsplit(f"//{value}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""
