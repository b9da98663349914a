"""The key under which people are masked in records and hashed in logs: one for each data directory."""

import secrets
from pathlib import Path

_MASK_KEY_BYTES = 32


def mask_key(data_dir: Path) -> bytes:
    """The key under which numbers are masked: made once, kept apart from what was masked with it."""
    file = data_dir / "mask.key"
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        made = data_dir / f"mask.{secrets.token_hex(4)}.tmp"
        made.touch(mode=0o600)
        made.write_bytes(secrets.token_bytes(_MASK_KEY_BYTES))
        made.rename(file)
    return file.read_bytes()
