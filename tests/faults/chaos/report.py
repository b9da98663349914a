"""What a run came to: a table for people, Markdown and JSON to keep."""

import json
import platform
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callweave.anomalies import Anomaly
from tests.faults.chaos.performance import Outcome

LOSSES = {
    "lost": Anomaly.LOST_WRITE,
    "doubled": Anomaly.DUPLICATE,
    "stale": Anomaly.STALE_OVERWRITE,
    "torn": Anomaly.TORN_SESSION,
    "phantom": Anomaly.PHANTOM,
    "stalled": Anomaly.STALLED,
}


def lines(outcome: Outcome) -> Iterator[str]:
    """The report for a terminal."""
    rows = list(_fault_rows(outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield from _sentences(outcome)
    for warehouse, judgement in outcome.judgements.items():
        yield from (f"{warehouse}: {line}" for line in judgement.lines())


def write(outcome: Outcome, folder: Path) -> tuple[Path, Path]:
    """Leave report.md and report.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, document = folder / "report.md", folder / "report.json"
    markdown.write_text("\n".join(_markdown(outcome)) + "\n", encoding="utf-8")
    document.write_text(json.dumps(_json(outcome), indent=1) + "\n", encoding="utf-8")
    return markdown, document


def _fault_rows(outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    yield "fault", "count", "outcome"
    counts: Counter[tuple[str, str]] = Counter()
    outcomes: dict[tuple[str, str], Counter[str]] = {}
    for one in outcome.struck:
        key = one.planned.fault, one.planned.target
        counts[key] += 1
        outcomes.setdefault(key, Counter())[one.outcome] += 1
    for (fault, target), count in sorted(counts.items()):
        told = "; ".join(
            word if times == count else f"{word} ({times})" for word, times in outcomes[fault, target].most_common()
        )
        yield f"{fault} {target}", str(count), told


def _sentences(outcome: Outcome) -> Iterator[str]:
    options = outcome.options
    yield (
        f"seed {options.seed}, {options.seconds:.0f} s of faults, {len(outcome.struck)} faults;"
        f" {outcome.pushes_sent} pushes in {outcome.deliveries} deliveries:"
        f" {outcome.acknowledged} acknowledged, {outcome.given_up} given up"
    )
    yield "answers: " + ", ".join(f"{count} {answer}" for answer, count in outcome.answers.most_common())
    ended = [
        f"{name} {_status(status)} x{count}"
        for name, exits in sorted(outcome.exits.items())
        for status, count in sorted(exits.items())
    ]
    yield "ends of processes, those of faults included: " + (", ".join(ended) or "none")
    yield (
        f"idle {outcome.idle_after_seconds:.0f} s after the last fault; judged in {outcome.judged_in_seconds:.0f} s;"
        f" {outcome.ran_seconds:.0f} s in all"
    )
    for warehouse, judgement in outcome.judgements.items():
        counted = ", ".join(f"{word} {judgement.count(anomaly)}" for word, anomaly in LOSSES.items())
        doubt = (
            f" ({judgement.sessions_in_doubt} more had too many lost answers)" if judgement.sessions_in_doubt else ""
        )
        yield (
            f"{warehouse}: {judgement.pushes_found} of {judgement.pushes_acknowledged} acknowledged pushes found,"
            f" {judgement.sessions_compared} sessions{doubt} and {judgement.letters_compared} dead letters compared:"
            f" {counted}"
        )


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _markdown(outcome: Outcome) -> Iterator[str]:
    options = outcome.options
    verdict = "clean" if outcome.is_clean else f"{len(outcome.anomalies)} anomalies"
    minutes = options.seconds / 60
    yield f"# Chaos report: {verdict}"
    yield ""
    yield (
        f"`make chaos MINUTES={minutes:g} SEED={options.seed} WAREHOUSE="
        f"{'both' if len(options.warehouses) > 1 else options.warehouses[0]}`, Python {platform.python_version()},"
        f" {platform.system()}. How to read it: [chaos.md](chaos.md)."
    )
    yield ""
    yield "| acknowledged pushes | " + " | ".join(LOSSES) + " | warehouse |"
    yield "| ---: | " + " | ".join("---:" for _ in LOSSES) + " | --- |"
    for warehouse, judgement in outcome.judgements.items():
        counted = " | ".join(str(judgement.count(anomaly)) for anomaly in LOSSES.values())
        yield f"| {judgement.pushes_acknowledged} | {counted} | {warehouse} |"
    yield ""
    yield from (f"- {sentence}" for sentence in _sentences(outcome))
    yield ""
    header, *rows = _fault_rows(outcome)
    yield f"| {' | '.join(header)} |"
    yield "| --- | ---: | --- |"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    for warehouse, judgement in outcome.judgements.items():
        if judgement.anomalies:
            yield ""
            yield f"## Anomalies in {warehouse}"
            yield ""
            yield from (f"- {line}" for line in judgement.lines())


def _json(outcome: Outcome) -> dict[str, Any]:
    options = outcome.options
    return {
        "seed": options.seed,
        "seconds": options.seconds,
        "warehouses": list(options.warehouses),
        "clean": outcome.is_clean,
        "pushes": {
            "sent": outcome.pushes_sent,
            "deliveries": outcome.deliveries,
            "acknowledged": outcome.acknowledged,
            "given_up": outcome.given_up,
            "answers": dict(outcome.answers),
        },
        "faults": [
            {
                "at": one.planned.at,
                "fault": one.planned.fault,
                "target": one.planned.target,
                "seconds": one.planned.seconds,
                "amount": one.planned.amount,
                "began": one.began,
                "ended": one.ended,
                "outcome": one.outcome,
            }
            for one in outcome.struck
        ],
        "exits": {
            name: {str(status): count for status, count in exits.items()} for name, exits in outcome.exits.items()
        },
        "judgements": {
            warehouse: {
                "pushes_acknowledged": judgement.pushes_acknowledged,
                "pushes_found": judgement.pushes_found,
                "sessions_compared": judgement.sessions_compared,
                "sessions_in_doubt": judgement.sessions_in_doubt,
                "letters_compared": judgement.letters_compared,
                "counts": {word: judgement.count(anomaly) for word, anomaly in LOSSES.items()},
                "anomalies": [
                    {"anomaly": found.anomaly.value, "message": found.message} for found in judgement.anomalies
                ],
            }
            for warehouse, judgement in outcome.judgements.items()
        },
        "seconds_until_idle": round(outcome.idle_after_seconds, 1),
        "seconds_judging": round(outcome.judged_in_seconds, 1),
        "seconds_in_all": round(outcome.ran_seconds, 1),
        "ledger_bytes": outcome.ledger_bytes,
    }
