"""A report as one HTML file: styles and plots inside, no script, nothing fetched, good on paper too."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from callweave.report.facts import Account, Report, ratios
from callweave.report.words import duration, percent, whole

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #17202a; --soft: #5d6b78; --line: #dfe4e8; --card: #ffffff; --back: #f4f6f8;
  --answered: #21718f; --abandoned: #bd4b22; --neither: #9aa7b3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf1; --soft: #9fb0be; --line: #2f3a44; --card: #1b232b;
  --back: #12181e; --answered: #55a9c9; --abandoned: #e58a63; --neither: #70808d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 20px; margin: 36px 0 12px; }
h3 { font-size: 15px; margin: 0 0 10px; }
p { color: var(--soft); margin: 4px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(126px, 1fr)); gap: 12px; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 26px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.two { display: grid; gap: 12px; margin-top: 12px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 470px), 1fr)); }
section { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 500; color: var(--soft); font-size: 13px; padding: 4px 6px; }
td { text-align: right; padding: 5px 6px; border-top: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
h3 i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 4px 0 12px; }
h3 small { font-weight: 400; color: var(--soft); }
p + .tiles { margin-top: 10px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 11px; }
footer { color: var(--soft); margin-top: 28px; font-size: 13px; }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""


_LEGEND: Final = "".join(
    f'<i style="background: var(--{colour})"></i><small>{colour}</small>'
    for colour in ("answered", "abandoned", "neither")
)


def page_of(report: Report) -> str:
    """The whole file."""
    span = report.span
    days = f"{span.first:%A %d %B %Y}"
    if span.first != span.last:
        days = f"{span.first:%d %B %Y} to {span.last:%d %B %Y}"
    parts = [_account(report, one) for one in report.accounts] or [
        "<h2>No calls</h2><p>The warehouse has no call of these days.</p>"
    ]
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Calls, {escape(days)}</title><style>{_STYLE}</style></head>
<body><main><h1>Calls</h1><p>{escape(days)}</p>
{"".join(parts)}
<footer>As of {escape(report.as_of or "never")}. Definitions: docs/kpis.md, kpi_definitions. Service level and
abandonment as Amazon Connect defines them; talk time holds hold time; after-call work is not in it.</footer>
</main></body></html>
"""


def _account(report: Report, account: Account) -> str:
    calls = account.calls
    told = ratios(calls)
    target = report.target_seconds.get(account.sdk_app_id, report.target_seconds.get(0, 20))
    tiles = [
        ("Offered", whole(calls["offered_count"]), f"{whole(calls['queued_count'])} entered a queue"),
        ("Answered", whole(calls["answered_count"]), f"speed {duration(told['asa_seconds'])}"),
        ("Abandoned", whole(calls["abandoned_count"]), percent(told["abandonment_rate_connect"]) + " of queued"),
        ("Service level", percent(told["service_level_connect"]), f"left the queue within {target} s"),
        ("Handle time", duration(told["aht_without_acw_seconds"]), "mean, without after-call work"),
        ("Outbound", whole(calls["outbound_count"]), percent(told["outbound_connect_rate"]) + " connected"),
        (
            "Recordings missing",
            whole(account.recordings.get("missing", 0)),
            f"{whole(account.recordings.get('received', 0))} came",
        ),
    ]
    provisional = calls["provisional_count"]
    note = f"; {whole(provisional)} calls may still change" if provisional else ""
    boxes = "".join(f'<div class="tile"><span>{a}</span><b>{b}</b><span>{c}</span></div>' for a, b, c in tiles)
    results = [[str(row["end_status"]), whole(row["session_count"])] for row in account.results]
    return f"""<h2>Account {account.sdk_app_id}</h2><p>Days of {escape(account.time_zone)}{note}</p>
<div class="tiles">{boxes}</div>
<div class="two"><section><h3>Queued calls by hour {_LEGEND}</h3>{_bars(account.hours)}</section>
{_days(account)}
{_table("Queues", ["Queue", "Queued", "Answered", "Abandoned", "Service level", "Speed"], _queues(account))}
{_table("Agents", ["Agent", "Answered", "Not answered", "Talk", "Outbound", "Transferred"], _agents(account))}
{_table("Outbound results", ["End", "Calls"], results)}
</div>"""


def _queues(account: Account) -> list[list[str]]:
    return [
        [
            str(row["skill_group_name"] or row["skill_group_id"] or "unnamed"),
            *(whole(row[name]) for name in ("queued_count", "answered_count", "abandoned_count")),
            percent(ratios(row)["service_level_connect"]),
            duration(ratios(row)["asa_seconds"]),
        ]
        for row in account.queues
    ]


def _agents(account: Account) -> list[list[str]]:
    return [
        [
            str(row["agent"]),
            whole(row["leg_answered_count"]),
            whole(row["ring_no_answer_count"]),
            duration(row["all_talk_seconds_sum"]),
            whole(row["outbound_leg_connected_count"]),
            whole(row["transferred_out_count"]),
        ]
        for row in account.agents
    ]


def _days(account: Account) -> str:
    if len(account.days) < 2:
        return ""
    rows = [
        [
            day["day"],
            *(whole(day[name]) for name in ("offered_count", "answered_count", "abandoned_count")),
            percent(ratios(day)["service_level_connect"]),
            duration(ratios(day)["asa_seconds"]),
        ]
        for day in account.days
    ]
    return _table("Days", ["Day", "Offered", "Answered", "Abandoned", "Service level", "Speed"], rows)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f"<section><h3>{title}</h3><p>None.</p></section>"
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f"<section><h3>{title}</h3><table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table></section>"


def _bars(hours: Sequence[dict[str, Any]]) -> str:
    """Stacked bars, 0 to 23 o'clock."""
    by_hour = {int(row["local_hour"]): row for row in hours if row["local_hour"] is not None}
    top = max([int(row["queued_count"]) for row in by_hour.values()], default=0) or 1
    width, height, foot = 480, 200, 18
    parts = [f'<line x1="0" x2="{width}" y1="{height}" y2="{height}" stroke="var(--line)"/>']
    for hour in range(24):
        row = by_hour.get(hour, {})
        answered, abandoned = int(row.get("answered_count", 0)), int(row.get("abandoned_count", 0))
        neither = max(0, int(row.get("queued_count", 0)) - answered - abandoned)
        left, base = hour * width / 24 + 2, float(height)
        for count, colour in ((answered, "answered"), (abandoned, "abandoned"), (neither, "neither")):
            size = count / top * (height - 20)
            base -= size
            if count:
                box = f'x="{left:.1f}" y="{base:.1f}" width="{width / 24 - 4:.1f}" height="{size:.1f}"'
                parts.append(f'<rect {box} fill="var(--{colour})"><title>{hour}:00 {colour} {count}</title></rect>')
        if hour % 3 == 0:
            parts.append(f'<text x="{left:.1f}" y="{height + foot - 4}">{hour}</text>')
    parts.append(f'<text x="0" y="12">{top}</text>')
    label = "Queued calls by hour: answered, abandoned, neither"
    return f'<svg viewBox="0 0 {width} {height + foot}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
