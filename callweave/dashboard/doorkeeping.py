"""Two questions that the settings and the gate both ask: is a name this machine, and who has which password. Pure."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, whatever any name server says."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_passwords(text: str) -> dict[str, str]:
    """`name:password` on each line; ValueError, without the line, where one is something else."""
    passwords: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not colon or not name or not password or name in passwords:
            raise ValueError(f"line {number} of users is no `name:password`, or repeats a name")
        passwords[name] = password
    return passwords
