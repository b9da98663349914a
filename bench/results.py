"""What a contest gave: docs/benchmarks.json, and the table in docs/benchmarks.md that is made of it."""

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
BEGINS, ENDS = "<!-- made by `make bench` -->\n", "<!-- end -->\n"


@dataclass
class Run:
    """One round of one contestant."""

    rate: float
    cpu_seconds: float
    rss_bytes: int
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass
class Result:
    """All rounds of one contestant at one work."""

    work: str
    contestant: str
    version: str
    unit: str
    guarantee: str
    runs: list[Run] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """An entry of docs/benchmarks.json."""
        rates = [run.rate for run in self.runs]
        latencies = {
            name: round(statistics.median(value for run in self.runs if (value := getattr(run, name)) is not None), 1)
            for name in ("p50_ms", "p99_ms")
            if any(getattr(run, name) is not None for run in self.runs)
        }
        return {
            "work": self.work,
            "contestant": self.contestant,
            "version": self.version,
            "unit": self.unit,
            "median": round(statistics.median(rates)),
            "min": round(min(rates)),
            "max": round(max(rates)),
            "rounds": len(rates),
            "cpu_seconds": round(statistics.median(run.cpu_seconds for run in self.runs), 2),
            "rss_bytes": max(run.rss_bytes for run in self.runs),
            **latencies,
            "guarantee": self.guarantee,
        }


def publish(results: list[Result], *, left_out: list[str], kafka: str) -> None:
    """Write both files; other works that stand in the JSON stay."""
    new = [result.as_json() for result in results if result.runs]
    file = DOCS / "benchmarks.json"
    before = json.loads(file.read_text())["results"] if file.exists() else []
    works = {one["work"] for one in new}
    kept = [one for one in before if one["work"] not in works]
    machine = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kafka": kafka,
        "load_before": round(os.getloadavg()[0], 1),
    }
    whole = {"machine": machine, "left_out": left_out, "results": [*kept, *new]}
    file.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    page = DOCS / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(BEGINS) + len(BEGINS), text.index(ENDS)
    page.write_text(text[:begin] + table(whole) + text[end:], encoding="utf-8")


def table(whole: dict[str, object]) -> str:
    """The figures for people: a table a work, each contestant beside callweave."""
    machine, left_out = whole["machine"], whole["left_out"]
    assert isinstance(machine, dict)
    lines = ["", ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in machine.items()), ""]
    results: list[dict[str, object]] = whole["results"]  # type: ignore[assignment]
    for work in dict.fromkeys(str(one["work"]) for one in results):
        of_work = [one for one in results if one["work"] == work]
        ours = next((one for one in of_work if one["contestant"] == "callweave"), None)
        lines += [
            f"### {work}",
            "",
            "| | median (min to max) | callweave ÷ it | CPU s | memory | p50, p99 | guarantee |",
        ]
        lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
        for one in of_work:
            ratio = f"{float(str(ours['median'])) / float(str(one['median'])):.2f}" if ours is not None else ""
            latency = f"{one['p50_ms']}, {one['p99_ms']} ms" if "p50_ms" in one else ""
            rate = f"{one['median']:,} ({one['min']:,} to {one['max']:,}) {one['unit']}"
            memory = f"{int(str(one['rss_bytes'])) // 1_000_000} MB"
            name = f"{one['contestant']} {one['version']}".strip()
            cells = [name, rate, ratio, str(one["cpu_seconds"]), memory, latency, str(one["guarantee"])]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    assert isinstance(left_out, list)
    if left_out:
        lines += ["Left out: " + "; ".join(map(str, left_out)) + ".", ""]
    return "\n".join(lines) + "\n"
