"""Where TCCC's API is: Tencent's own address, or one that was set, which may be a simulator on this machine."""

from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def place_of(endpoint: str | None) -> tuple[str, str | None]:
    """Protocol and host of an endpoint: `http` where it says so, or where it is this machine."""
    if endpoint is None:
        return "https", None
    scheme, _, rest = endpoint.rpartition("://")
    host = rest.rstrip("/")
    is_local = host.startswith(_LOOPBACK)
    return scheme or ("http" if is_local else "https"), host


def check_endpoint(endpoint: str) -> str | None:
    """What is wrong with an endpoint, or None."""
    scheme, _, rest = endpoint.rpartition("://")
    parts = urlsplit(f"//{rest.rstrip('/')}")
    if scheme not in ("", "http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
        return "it must be host or host:port, with http:// or https:// before it if need be; no path"
    return None
