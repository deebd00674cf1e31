"""Where documents may be sent: this machine, or a host that the configuration lists."""

import ipaddress
import logging
from collections.abc import Sequence

import httpx

from el4ner.errors import ConfigError

logger = logging.getLogger(__name__)


def check_endpoint(member: str, url: str, allow_hosts: Sequence[str] = ()) -> str:
    """The base URL of a member's endpoint, without a slash at its end.

    Loopback means 127.0.0.0/8, ::1 and ``localhost``, written as such: other spellings of an address count as names.

    Raises:
        ConfigError: it is no http(s) URL, carries a user, a password or a query, or its host is neither loopback nor in
            ``allow_hosts``.
    """
    try:
        parts = httpx.URL(url)
        host = parts.host
    except (httpx.InvalidURL, ValueError):  # a name may be no IDNA
        parts, host = httpx.URL(), ""
    port_is_valid = parts.port is None or 0 < parts.port < 65536
    if not host or parts.scheme not in ("http", "https") or not port_is_valid:
        raise ConfigError(f"member {member}: the endpoint is no http(s) URL; write it as http://127.0.0.1:8001/v1")
    if parts.userinfo or parts.query or parts.fragment:
        raise ConfigError(
            f"member {member}: the endpoint carries more than host, port and path; keys go into api_key_env"
        )
    if not is_loopback(host):
        _check_listed(member, host, allow_hosts)
        if parts.scheme != "https":
            logger.warning("member %s: documents travel unencrypted to %s; prefer https", member, host)
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_listed(member: str, host: str, allow_hosts: Sequence[str]) -> None:
    if host.lower() not in {allowed.strip("[]").lower() for allowed in allow_hosts}:
        raise ConfigError(
            f"member {member}: its endpoint is on host {host!r}, and documents go to no host that is not listed; "
            f"use a loopback address (127.0.0.1), or list it: allow_hosts: [{host!r}]"
        )
