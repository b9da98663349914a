# ruff: noqa: INP001  # a maintainers' script, not a package
"""Writes the lists of jars that `callweave.broker.jars` fetches: one per profile of the pom.xml beside this file.

Only maintainers run it, when Kafka's version moves, and they need Maven for it; users need the lists only.
Usage: python deploy/kafka/pin.py [kafka-4.1.1 ...]
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

POM = Path(__file__).with_name("pom.xml")
LISTS = Path(__file__).parents[2] / "callweave" / "broker"
HEADER = """\
# Runtime classpath of Apache Kafka {version}, by deploy/kafka/pin.py.
# group:artifact:version[:classifier] sha256
"""
# dependency:list writes group:artifact:type[:classifier]:version:scope:file, then perhaps " -- module name".
ARTIFACT = re.compile(
    r"^\s+(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):jar:(?:(?P<classifier>[\w.-]+):)?(?P<version>[\w.-]+)"
    r":(?:compile|runtime):(?P<file>.+?\.jar)(?: -- module .*)?$"
)


def main(wanted: list[str]) -> int:
    """Pin every profile named, or all of them."""
    maven = shutil.which("mvn")
    if maven is None:
        sys.stderr.write("Maven (mvn) is not on the PATH; it is needed to pin Kafka's jars, install it first.\n")
        return 2
    known = profiles()
    if unknown := sorted(set(wanted) - set(known)):
        sys.stderr.write(f"No such profile in {POM}: {', '.join(unknown)}; it has {', '.join(known)}.\n")
        return 2
    for profile in wanted or known:
        lines = sorted(pinned(maven, profile))
        target = LISTS / f"{profile}.txt"
        target.write_text(HEADER.format(version=profile.removeprefix("kafka-")) + "".join(lines), encoding="ascii")
        sys.stdout.write(f"{target.relative_to(LISTS.parents[1])}: {len(lines)} jars\n")
    return 0


def profiles() -> list[str]:
    """The ids of the POM's profiles, which are also the names of the lists."""
    pom = ET.parse(POM)  # noqa: S314 - our own file
    return [node.text or "" for node in pom.iterfind("{*}profiles/{*}profile/{*}id")]


def pinned(maven: str, profile: str) -> list[str]:
    """Ask Maven what is on the runtime classpath, and take the checksum of each file it verified and stored."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "dependencies.txt"
        subprocess.run(  # noqa: S603 - Maven, with arguments of our own
            [
                *(maven, "--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums"),
                *("--file", str(POM), "--activate-profiles", profile, "dependency:list"),
                *("-DincludeScope=runtime", "-DoutputAbsoluteArtifactFilename=true", f"-DoutputFile={output}"),
            ],
            check=True,
        )
        lines = [line for line in output.read_text(encoding="utf-8").splitlines() if ".jar" in line]
    matches = [ARTIFACT.match(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines]
    if not matches or None in matches:
        raise SystemExit(
            f"Maven's list for {profile} could not be read; see ARTIFACT in {__file__}:\n" + "\n".join(lines)
        )
    return [pin(match) for match in matches if match is not None]


def pin(match: re.Match[str]) -> str:
    """One line of the list."""
    parts = [match["group"], match["artifact"], match["version"], match["classifier"]]
    digest = hashlib.sha256(Path(match["file"]).read_bytes()).hexdigest()
    return f"{':'.join(part for part in parts if part)} {digest}\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
