// Today's calls: the numbers, how they came by quarter hour, queues, agents, outbound results, recordings missing.

import { asked, filterQuery, hrefOf } from "./address.js";
import { Chart, bars, base, lines } from "./charts.js";
import { el, say } from "./dom.js";
import { ask, watch } from "./live.js";
import { DataTable } from "./table.js";
import { age, clock, day, dayClock, duration, isoDay, number, percent, t, value } from "./words.js";

const csv = (table) => () => `/csv/today/${table}?${filterQuery()}`;
const shortId = (id) => (id.length > 14 ? `${id.slice(0, 13)}…` : id);
const callLink = (row) => hrefOf("call", { sdk_app_id: row.sdk_app_id, session_id: row.session_id });

const CARDS = [
  { name: "offered_count", show: (row) => number(row.offered_count), note: (row) => t("card.offered.note", { n: number(row.queued_count) }) },
  { name: "answered_count", show: (row) => number(row.answered_count), note: (row) => share("card.answered.note", row.answered_count, row.queued_count) },
  { name: "abandoned_count", show: (row) => number(row.abandoned_count), note: (row) => share("card.abandoned.note", row.abandoned_count, row.queued_count) },
  { name: "service_level_connect", show: (row) => percent(row.service_level_connect), note: (row) => (row.target_seconds === null ? t("card.service_level.targets") : t("card.service_level.note", { n: row.target_seconds })) },
  { name: "asa_seconds", show: (row) => duration(row.asa_seconds), note: (row) => t("card.asa.note", { longest: duration(row.queue_wait_max_seconds) }) },
  { name: "dialled_count", show: (row) => number(row.dialled_count), note: (row) => t("card.outbound.note", { share: percent(row.outbound_connect_rate, 0) }) },
  { name: "recordings_missing", show: (row) => number(row.recordings_missing), note: (row) => t("card.recordings.note", { n: number(row.recordings_received), of: number(row.recordings_expected) }), alarm: (row) => row.recordings_missing > 0 },
];

const share = (key, part, whole) => t(key, { share: whole ? percent(part / whole, 0) : "–" });

export function cards(specs) {
  const parts = specs.map((spec) => {
    const figure = el("dd", { class: "figure", "data-figure": spec.name }, "–");
    const note = el("dd", { class: "figure-note" }, " ");
    const element = el("div", { class: "card" }, el("dt", {}, t(`card.${spec.name}`)), figure, note);
    return { spec, figure, note, element };
  });
  return {
    element: el("dl", { class: "cards" }, parts.map((part) => part.element)),
    update(row) {
      for (const { spec, figure, note, element } of parts) {
        say(figure, spec.show(row));
        say(note, spec.note ? spec.note(row) : "");
        element.classList.toggle("alarm", Boolean(spec.alarm?.(row)));
      }
    },
  };
}

export function showToday(main, tell) {
  const figures = cards(CARDS);
  const empty = el("div", { class: "invitation", hidden: true });
  const span = el("p", { class: "span" });
  const otherDays = el("p", { class: "note warning", hidden: true });
  const calls = new Chart({
    title: t("today.calls_by_quarter"),
    legend: [["good", t("column.answered_count")], ["bad", t("column.abandoned_count")], ["other", t("today.other_ends")]],
    option: callsOption,
  });
  const waits = new Chart({
    title: t("today.waits_by_quarter"),
    legend: [["accent", t("column.asa_seconds")], ["warn", t("column.queue_wait_max_seconds")]],
    option: waitsOption,
    height: "chart-low",
  });
  const quarters = new DataTable({
    title: t("today.quarters"),
    csv: csv("quarter_hours"),
    empty: t("empty.calls"),
    pageSize: 12,
    columns: [
      { name: "quarter_hour", label: t("column.quarter_hour"), show: (cell) => dayClock(cell) },
      ...counts("offered_count", "queued_count", "answered_count", "abandoned_count"),
      { name: "service_level_connect", numeric: true, show: (cell) => percent(cell, 0) },
      ...durations("asa_seconds", "queue_wait_p90_seconds", "queue_wait_max_seconds"),
    ],
  });
  const queues = new DataTable({
    title: t("today.queues"),
    csv: csv("queues"),
    empty: t("empty.queues"),
    columns: [
      { name: "skill_group_name", link: (row) => hrefOf("today", { queue: row.skill_group_name }) },
      ...counts("queued_count", "answered_count", "abandoned_count"),
      { name: "service_level_connect", numeric: true, show: (cell) => percent(cell, 0) },
      ...durations("asa_seconds", "queue_wait_max_seconds"),
    ],
  });
  const agents = new DataTable({
    title: t("today.agents"),
    csv: csv("agents"),
    empty: t("empty.agents"),
    pageSize: 15,
    columns: [
      { name: "agent", link: (row) => hrefOf("today", { agent: row.agent }) },
      ...counts("routed_count", "leg_answered_count"),
      { name: "agent_answer_rate", numeric: true, show: (cell) => percent(cell, 0) },
      ...durations("all_talk_seconds_sum", "leg_aht_without_acw_seconds"),
      ...counts("outbound_leg_count"),
    ],
  });
  const outbound = new DataTable({
    title: t("today.outbound"),
    csv: csv("outbound"),
    empty: t("empty.outbound"),
    columns: [
      { name: "end_status", show: (cell) => (cell === null ? null : value("end_status", cell)) },
      { name: "dialled_count", numeric: true, show: (cell, row) => meter(cell, row.share) },
      { name: "share", numeric: true, show: (cell) => percent(cell, 0) },
    ],
  });
  const missing = new DataTable({
    title: t("today.missing"),
    note: t("today.missing.note"),
    csv: csv("missing_recordings"),
    empty: t("empty.missing"),
    pageSize: 10,
    columns: [
      { name: "session_id", show: (cell) => el("code", { title: cell }, shortId(cell)), link: callLink },
      { name: "side", show: (cell) => (cell === null ? null : value("side", cell)) },
      { name: "agent_mail" },
      { name: "ended_at", show: (cell) => dayClock(cell) },
      { name: "overdue", key: (row) => row.ended_at, show: (_, row) => (row.ended_at === null ? null : age((Date.now() - new Date(row.ended_at)) / 1000)) },
      { name: "leg_answered", show: (cell) => t(cell ? "yes" : "no") },
    ],
  });
  main.replaceChildren(
    el("h1", { class: "quiet" }, t("view.today")),
    span,
    otherDays,
    empty,
    figures.element,
    el(
      "div",
      { class: "pair pair-wide" },
      el("div", { class: "column" }, calls.element, waits.element, agents.element),
      el("div", { class: "column" }, queues.element, outbound.element, missing.element),
    ),
    quarters.element,
  );
  const stop = watch(
    `/api/today?${filterQuery()}`,
    ({ tables, facts }) => {
      const row = { ...rowsOf(tables.totals)[0], target_seconds: facts.target_seconds };
      figures.update(row);
      say(span, spanText(facts));
      otherDays.hidden = !facts.other_days.length;
      say(otherDays, facts.other_days.map(otherDaysText).join(" "));
      invite(empty, row);
      const quarterRows = filledQuarters(rowsOf(tables.quarter_hours));
      calls.update(quarterRows);
      waits.update(quarterRows);
      for (const [table, name] of [[quarters, "quarter_hours"], [queues, "queues"], [agents, "agents"], [outbound, "outbound"], [missing, "missing_recordings"]]) {
        table.update(tables[name]);
      }
    },
    tell,
  );
  return () => {
    stop();
    calls.dispose();
    waits.dispose();
  };
}

export const rowsOf = (table) => table.rows.map((row) => Object.fromEntries(table.columns.map((name, place) => [name, row[place]])));

const counts = (...names) => names.map((name) => ({ name, numeric: true, show: number }));
const durations = (...names) => names.map((name) => ({ name, numeric: true, show: duration }));

function spanText({ since, until }) {
  const last = new Date(new Date(until) - 1);
  const isOneDay = isoDay(since) === isoDay(last);
  const isToday = isOneDay && isoDay(since) === isoDay(Date.now());
  if (isToday) return t("span.today", { day: day(since) });
  if (clock(since) === "00:00" && clock(until) === "00:00") return isOneDay ? day(since) : `${day(since)} – ${day(last)}`;
  return `${dayClock(since)} – ${dayClock(until)}`;
}

/** Whose days are not those of this page: the views of the numbers count them elsewhere. */
const otherDaysText = ({ account, time_zone: zone }) => t(account === null ? "days.others" : "days.of_account", { account, zone });

/** A day without calls says so, and where the latest calls are. */
async function invite(place, row) {
  const isEmpty = !row.sessions;
  place.hidden = !isEmpty;
  if (!isEmpty || place.childElementCount) return;
  const { data } = await ask("/api/choices").catch(() => ({ data: null }));
  if (data === null) return; // the next answer invites again
  const latest = data.facts.latest_call_at;
  const link = latest && el("a", { class: "button", href: hrefOf("today", { from: isoDay(latest), to: isoDay(latest) }) }, t("empty.day.latest", { day: day(latest) }));
  const words = latest ? t(asked().size ? "empty.day.filtered" : "empty.day") : t("empty.warehouse");
  place.replaceChildren(el("p", {}, words), link ?? el("code", {}, "callweave simulate --url <push address> --sessions 200"));
}

function meter(calls, part) {
  return [el("meter", { min: 0, max: 1, value: part ?? 0, "aria-hidden": "true" }), number(calls)];
}

const NO_CALLS = { offered_count: 0, queued_count: 0, answered_count: 0, abandoned_count: 0, asa_seconds: null, queue_wait_max_seconds: null };

/** Quarters without a call stand between those with one, so that time runs evenly. */
function filledQuarters(rows) {
  if (!rows.length) return [];
  const step = 900_000;
  const known = new Map(rows.map((row) => [Date.parse(row.quarter_hour), row]));
  const [first, last] = [Math.min(...known.keys()), Math.max(...known.keys())];
  const filled = [];
  for (let at = first; at <= last; at += step) filled.push(known.get(at) ?? { ...NO_CALLS, quarter_hour: new Date(at).toISOString() });
  return filled;
}

const labels = (rows) => {
  const isLong = rows.length > 96;
  return rows.map((row) => (isLong ? dayClock(row.quarter_hour) : clock(row.quarter_hour)));
};

function callsOption(rows, palette) {
  const option = base(palette);
  const others = rows.map((row) => Math.max(0, row.queued_count - row.answered_count - row.abandoned_count));
  return {
    ...option,
    xAxis: { ...option.xAxis, data: labels(rows) },
    series: [
      bars(t("column.answered_count"), rows.map((row) => row.answered_count), palette.good, { stack: "calls" }),
      bars(t("column.abandoned_count"), rows.map((row) => row.abandoned_count), palette.bad, { stack: "calls" }),
      bars(t("today.other_ends"), others, palette.other, { stack: "calls" }),
    ],
  };
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const STEPS_MAX = 6;

/** Seconds between two lines of the chart, such as clocks count them. */
function stepOf(rows) {
  const longest = Math.max(0, ...rows.map((row) => row.queue_wait_max_seconds ?? 0));
  return STEPS.find((step) => longest / step <= STEPS_MAX) ?? Math.ceil(longest / STEPS_MAX / 3600) * 3600;
}

function waitsOption(rows, palette) {
  const option = base(palette);
  return {
    ...option,
    tooltip: { ...option.tooltip, valueFormatter: (seconds) => duration(seconds) },
    xAxis: { ...option.xAxis, data: labels(rows) },
    yAxis: { ...option.yAxis, interval: stepOf(rows), axisLabel: { ...option.yAxis.axisLabel, formatter: (seconds) => duration(seconds) } },
    series: [
      lines(t("column.asa_seconds"), rows.map((row) => row.asa_seconds), palette.accent, { showSymbol: true, symbolSize: 4 }),
      lines(t("column.queue_wait_max_seconds"), rows.map((row) => row.queue_wait_max_seconds), palette.warn, { lineStyle: { color: palette.warn, width: 1.2, type: "dashed" }, showSymbol: true, symbolSize: 3 }),
    ],
  };
}

