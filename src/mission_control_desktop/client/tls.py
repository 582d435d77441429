"""Whom to trust over TLS. Verification is always on; there is no switch that turns it off."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

from mission_control_desktop.domain.errors import BadInput

ENV_CA_FILE = "MISSION_CONTROL_CA_FILE"


def trust(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """The authorities in MISSION_CONTROL_CA_FILE (PEM) alone; without it the system's (OpenSSL reads SSL_CERT_FILE and
    SSL_CERT_DIR itself). Raises BadInput if the file cannot be used."""
    chosen = (os.environ if environ is None else environ).get(ENV_CA_FILE)
    try:
        return ssl.create_default_context(cafile=chosen or None)
    except ssl.SSLError as error:
        raise BadInput(ENV_CA_FILE, f"{chosen} has no certificates in PEM form") from error
    except OSError as error:
        raise BadInput(ENV_CA_FILE, f"{chosen} cannot be read: {error.strerror}") from error
