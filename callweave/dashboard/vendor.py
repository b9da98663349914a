"""`python -m callweave.dashboard.vendor`, from a checkout: fetches the vendored packages with npm, writes their files.

The rule: a package is the one whose SHA-256 stands in vendor.json, or nothing is written.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def refetch() -> None:
    """Fetch each package, check it, write its files."""
    for name, package in json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")).items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(  # noqa: S603  (npm, with names of our own)
                ["npm", "pack", "--silent", f"{name}@{package['version']}"],  # noqa: S607  (the machine's npm)
                cwd=folder,
                check=True,
                stdout=sys.stderr,
            )
            archive = next(Path(folder).glob("*.tgz"))
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != package["package_sha256"]:
                raise SystemExit(f"{name} {package['version']} is another package: its SHA-256 is {found}")
            with tarfile.open(archive) as packed:
                for inside, place in package["files"].items():
                    member = packed.extractfile(inside)
                    assert member is not None, inside
                    (ROOT / place).write_bytes(member.read())


if __name__ == "__main__":
    refetch()
