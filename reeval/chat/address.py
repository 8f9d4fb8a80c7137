"""Whether the address of a chat server leads to this machine.

Reports are protected health data: PhysioNet's agreement, for one, forbids sending MIMIC text to third parties. So an
address that leaves this machine must be wanted.
"""

import ipaddress
import re
import socket

# Stricter than a URL may be, so that no two libraries can read two different hosts into it.
_URL = re.compile(r"https?://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:/[\w.~-]+)*/?", re.ASCII)


def local(base_url: str) -> bool:
    """Whether a base URL's host is this machine: each of its addresses is a loopback address.

    Raises:
        ValueError: if it is no plain http(s) URL, or its host is not known.
    """
    match = _URL.fullmatch(base_url)
    if not match:
        # Not repeated: a user name and password may stand in it.
        raise ValueError("base URL: must look like http://localhost:8000/v1, without user, query or fragment")
    host = match["host"].strip("[]")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"base URL: host {host!r} is not known; check its spelling") from None
    return all(_loopback(str(address[0])) for *_, address in found)


def _loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
