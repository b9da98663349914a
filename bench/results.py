"""What contests gave: docs/benchmarks.json, and the tables in docs/benchmarks.md that are made of it.

Its one rule: a run that did only some of the works leaves the others' figures, and says which run they are of.
"""

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
BEGINS, ENDS = "<!-- made by `make bench` -->\n", "<!-- end -->\n"
COLUMNS = (
    "",
    "median (min to max)",
    "rounds",
    "callweave ÷ it",
    "CPU s",
    "CPU µs a push",
    "memory",
    "p50, p95, p99",
    "guarantee",
)


@dataclass
class Run:
    """One round of one contestant."""

    rate: float
    cpu_seconds: float
    rss_bytes: int
    more: dict[str, float] = field(default_factory=dict)


@dataclass
class Result:
    """All rounds of one contestant at one work; `extra` is what was measured once."""

    work: str
    contestant: str
    version: str
    unit: str
    guarantee: str
    runs: list[Run] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The highest rate of its rounds."""
        return max(run.rate for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """An entry of docs/benchmarks.json."""
        rates = [run.rate for run in self.runs]
        more = {name: figure(statistics.median(run.more[name] for run in self.runs)) for name in self.runs[0].more}
        return {
            "work": self.work,
            "contestant": self.contestant,
            "version": self.version,
            "unit": self.unit,
            "median": figure(statistics.median(rates)),
            "min": figure(min(rates)),
            "max": figure(max(rates)),
            "rounds": len(rates),
            "cpu_seconds": round(statistics.median(run.cpu_seconds for run in self.runs), 2),
            "rss_bytes": max(run.rss_bytes for run in self.runs),
            **more,
            **self.extra,
            "guarantee": self.guarantee,
        }


def figure(value: float) -> float:
    """As many digits as say something."""
    return round(value) if value >= 1000 else round(value, 1 if value >= 10 else 2)


def the_machine(kafka: str) -> dict[str, Any]:
    """What the figures belong to."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "kafka": kafka,
        "load_before": round(os.getloadavg()[0], 1),
    }


def cpu_model() -> str:
    """As the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def publish(
    results: list[Result], *, machine: dict[str, Any], left_out: dict[str, str], form: str, docs: Path = DOCS
) -> dict[str, Any]:
    """Write both files, and return what they hold; works that this run did not do stay as they were."""
    file, page = docs / "benchmarks.json", docs / "benchmarks.md"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    new = [result.as_json() for result in results if result.runs]
    whole = merged(before, new, machine, {"form": form, "left_out": left_out})
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    begin, end = text.index(BEGINS) + len(BEGINS), text.index(ENDS)
    page.write_text(text[:begin] + tables(whole) + text[end:], encoding="utf-8")
    return whole


def merged(
    before: dict[str, Any], new: list[dict[str, Any]], machine: dict[str, Any], run: dict[str, Any]
) -> dict[str, Any]:
    """The works that were done now replace themselves, whole; each work knows which run its figures are of."""
    works = {one["work"] for one in new}
    kept = [one for one in before.get("results", []) if one["work"] not in works]
    runs = {work: of for work, of in before.get("runs", {}).items() if work in {one["work"] for one in kept}}
    of_now = {"at": machine["at"], "load_before": machine["load_before"], **run}
    return {
        "machine": machine,
        "runs": dict(sorted((runs | dict.fromkeys(works, of_now)).items())),
        "results": sorted([*kept, *new], key=lambda one: str(one["work"])),
    }


def tables(whole: dict[str, Any]) -> str:
    """The figures for people: a table a work, each contestant beside callweave."""
    lines = ["", ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in whole["machine"].items()), ""]
    for work in dict.fromkeys(str(one["work"]) for one in whole["results"]):
        of_work = [one for one in whole["results"] if one["work"] == work]
        lines += [f"### {work}", "", *run_of(whole, work), f"![{work}](images/bench-{work}.svg)", ""]
        lines += [*table(of_work), "", *more_of(of_work)]
    return "\n".join(lines) + "\n"


def run_of(whole: dict[str, Any], work: str) -> list[str]:
    """Which run the figures of a work are of, and who could not take part."""
    run = whole["runs"].get(work)
    if run is None:
        return []
    left_out = [f"Left out: {name}, {reason}." for name, reason in sorted(run["left_out"].items())]
    return [f"Measured {run['at']}, {run['form']} form, load before: {run['load_before']}.", *left_out, ""]


def table(of_work: list[dict[str, Any]]) -> list[str]:
    """One work; columns that nobody has anything in are left away."""
    ours = next((one for one in of_work if one["contestant"] == "callweave"), None)
    rows = [cells_of(one, ours) for one in of_work]
    used = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    texts = [[cells[at] for at in used] for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
    return [f"| {' | '.join(cells)} |" for cells in texts]


def cells_of(one: dict[str, Any], ours: dict[str, Any] | None) -> tuple[str, ...]:
    """A contestant's row."""
    same_unit = ours is not None and ours["unit"] == one["unit"] and one["median"]
    return (
        f"{one['contestant']} {one['version']}".strip(),
        f"{one['median']:,} ({one['min']:,} to {one['max']:,}) {one['unit']}",
        str(one["rounds"]),
        f"{ours['median'] / one['median']:.2f}" if ours is not None and same_unit else "",
        str(one["cpu_seconds"]),
        str(one.get("cpu_us_per_push", "")),
        f"{one['rss_bytes'] // 1_000_000} MB",
        f"{one['p50_ms']}, {one['p95_ms']}, {one['p99_ms']} ms" if "p95_ms" in one else "",
        str(one["guarantee"]),
    )


KNOWN = frozenset(
    {
        *("work", "contestant", "version", "unit", "median", "min", "max", "rounds", "cpu_seconds", "rss_bytes"),
        *("guarantee", "p50_ms", "p95_ms", "p99_ms", "cpu_us_per_push"),
    }
)


def more_of(of_work: list[dict[str, Any]]) -> list[str]:
    """What has no column: once for each contestant, its own figures by their names."""
    lines = []
    for one in of_work:
        extra = {name: value for name, value in one.items() if name not in KNOWN}
        if extra:
            told = "; ".join(f"{name.replace('_', ' ')}: {in_words(value)}" for name, value in extra.items())
            lines.append(f"- {one['contestant']}: {told}")
    return [*lines, ""] if lines else []


def in_words(value: Any) -> str:
    """A figure, or figures by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {in_words(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
