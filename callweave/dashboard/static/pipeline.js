// The pipeline itself: who runs, what waits, how fresh and complete the rows are, what could not be used and why.

import { filterQuery } from "./address.js";
import { Chart, bars, base } from "./charts.js";
import { el, say } from "./dom.js";
import { watch } from "./live.js";
import { DataTable } from "./table.js";
import { cards, rowsOf } from "./today.js";
import { dayClock, dayClockSeconds, duration, number, percent, t, value } from "./words.js";

const csv = (panel, table) => () => `/csv/${panel}/${table}?${filterQuery()}`;
const known = (amount) => (amount === null || amount === undefined ? "–" : number(amount));
const seconds = (amount) => (amount === null || amount === undefined ? "–" : t("unit.seconds", { n: amount.toFixed(amount < 10 ? 2 : 0) }));

const CARDS = [
  { name: "completeness", show: (row) => percent(row.share, 2), note: (row) => t("card.completeness.note", { n: number(row.due - row.here) }), alarm: (row) => row.share !== null && row.share < 0.99 },
  { name: "freshness", show: (row) => seconds(row.freshness_p50_seconds), note: (row) => t("card.freshness.note", { p95: seconds(row.freshness_p95_seconds), call: seconds(row.call_freshness_p95_seconds) }) },
  { name: "lag", show: (row) => known(row.worker_lag === null || row.loader_lag === null || row.worker_lag === undefined ? null : row.worker_lag + row.loader_lag), note: (row) => t("card.lag.note", { worker: known(row.worker_lag), loader: known(row.loader_lag) }) },
  { name: "spool", show: (row) => known(row.spool_entries), note: (row) => (row.spool_oldest_age_seconds ? t("card.spool.oldest", { age: duration(row.spool_oldest_age_seconds) }) : t("card.spool.note")), alarm: (row) => row.spool_entries > 0 },
  { name: "dead_letters", show: (row) => known(row.letters), note: () => t("card.dead_letters.note") },
];

export function showPipeline(main, tell) {
  const figures = cards(CARDS);
  const roles = el("ul", { class: "roles" });
  const troubles = el("ul", { class: "troubles" });
  const chart = new Chart({
    title: t("pipeline.completeness_by_hour"),
    legend: [["good", t("pipeline.here")], ["bad", t("pipeline.lacking")]],
    option: completenessOption,
  });
  const hours = new DataTable({
    title: t("pipeline.hours"),
    note: t("pipeline.hours.note"),
    csv: csv("pipeline", "completeness"),
    empty: t("empty.completeness"),
    pageSize: 24,
    columns: [
      { name: "hour", show: (cell) => dayClock(cell) },
      { name: "sdk_app_id" },
      ...["sessions_known_to_api", "sessions_in_warehouse", "sessions_without_cdr", "recordings_expected", "recordings_missing"].map((name) => ({ name, numeric: true, show: number })),
      { name: "share", label: t("column.completeness_share"), numeric: true, show: (cell) => percent(cell, 2) },
      { name: "is_final", label: t("column.hour_state"), show: (cell, row) => t(row.asked_at === null ? "hour.not_asked" : cell ? "hour.final" : "hour.provisional") },
    ],
  });
  const reasons = new DataTable({
    title: t("pipeline.dead_letters"),
    note: t("pipeline.dead_letters.note"),
    csv: csv("pipeline", "dead_letters"),
    empty: t("empty.dead_letters"),
    columns: [
      { name: "reason", show: (cell) => [el("span", { class: "term" }, value("reason", cell)), el("code", { class: "code" }, cell)] },
      { name: "stage", show: (cell) => value("stage", cell) },
      { name: "action" },
      ...["letters", "seen", "replayed"].map((name) => ({ name, numeric: true, show: number })),
      { name: "last_seen_at", show: (cell) => dayClock(cell) },
    ],
  });
  const letters = new DataTable({
    title: t("pipeline.letters"),
    note: t("pipeline.letters.note"),
    csv: csv("pipeline", "letters"),
    empty: t("empty.dead_letters"),
    pageSize: 10,
    columns: [
      { name: "dead_letter_id", show: (cell) => el("code", {}, cell.slice(0, 16)) },
      { name: "last_seen_at", show: (cell) => dayClockSeconds(cell) },
      { name: "reason", show: (cell) => value("reason", cell) },
      { name: "action" },
      { name: "raw_bytes_count", numeric: true, show: number },
      { name: "replay_outcome" },
    ],
  });
  const lags = new DataTable({
    title: t("pipeline.lags"),
    note: t("pipeline.lags.note"),
    csv: csv("standing", "lags"),
    empty: t("empty.lags"),
    pageSize: 6,
    columns: [
      { name: "reader" },
      { name: "topic", show: (cell) => el("code", {}, cell) },
      { name: "partition", numeric: true },
      { name: "records", numeric: true, show: number },
      { name: "seconds", label: t("column.waited"), numeric: true, show: (cell, row) => (row.records ? duration(cell) : "0") },
    ],
  });
  main.replaceChildren(
    el("h1", { class: "quiet" }, t("view.pipeline")),
    figures.element,
    el("section", { class: "panel", "aria-labelledby": "roles" }, el("div", { class: "panel-head" }, el("h2", { id: "roles" }, t("pipeline.roles"))), roles, troubles),
    el(
      "div",
      { class: "pair pair-wide" },
      el("div", { class: "column" }, chart.element, reasons.element),
      el("div", { class: "column" }, lags.element),
    ),
    letters.element,
    hours.element,
  );
  const told = {};
  const draw = (more) => figures.update(Object.assign(told, more));
  const stops = [
    watch(
      `/api/pipeline?${filterQuery()}`,
      ({ tables }) => {
        const rows = rowsOf(tables.completeness);
        draw({ ...summed(rows), letters: rowsOf(tables.dead_letters).reduce((sum, row) => sum + row.letters, 0) });
        chart.update(byHour(rows));
        hours.update(tables.completeness);
        reasons.update(tables.dead_letters);
        letters.update(tables.letters);
      },
      tell,
    ),
    watch(
      "/api/standing",
      ({ tables, facts }) => {
        draw(facts);
        lags.update(tables.lags);
        const running = rowsOf(tables.roles);
        roles.replaceChildren(
          ...(running.length ? running.map(roleItem) : [el("li", { class: "empty" }, t("empty.roles"))]),
        );
        const problems = [facts.kafka_problem, facts.warehouse_problem, facts.spool_problem].filter(Boolean);
        troubles.replaceChildren(...problems.map((problem) => el("li", {}, problem)));
      },
      () => {},
    ),
  ];
  return () => {
    for (const stop of stops) stop();
    chart.dispose();
  };
}

function roleItem({ role, ready, reason }) {
  const state = ready ? (reason ? "warn" : "good") : "bad";
  const words = t(ready ? "role.ready" : "role.not_ready");
  return el("li", { class: `role role-${state}` }, el("span", { class: "dot", "aria-hidden": "true" }), el("strong", {}, role), ` ${words}`, reason ? el("span", { class: "reason" }, reason) : null);
}

const DUE = ["sessions_in_warehouse", "sessions_without_cdr", "recordings_expected"];

/** Sums of the view's own columns; its share is here ÷ due of them. */
function summed(rows) {
  const sum = (name) => rows.reduce((total, row) => total + Number(row[name]), 0);
  const due = DUE.reduce((total, name) => total + sum(name), 0) + sum("api_rows_unusable");
  const here = sum("sessions_in_warehouse") + sum("recordings_expected") - sum("recordings_missing");
  return { due, here, share: due ? here / due : null };
}

function byHour(rows) {
  const hours = new Map();
  for (const row of rows) {
    const { due, here } = summed([row]);
    const hour = hours.get(row.hour) ?? { hour: row.hour, here: 0, lacking: 0 };
    hours.set(row.hour, { ...hour, here: hour.here + here, lacking: hour.lacking + due - here });
  }
  return [...hours.values()].sort((one, other) => one.hour.localeCompare(other.hour));
}

function completenessOption(rows, palette) {
  const option = base(palette);
  return {
    ...option,
    xAxis: { ...option.xAxis, data: rows.map((row) => dayClock(row.hour)) },
    series: [
      bars(t("pipeline.here"), rows.map((row) => row.here), palette.good, { stack: "due" }),
      bars(t("pipeline.lacking"), rows.map((row) => row.lacking), palette.bad, { stack: "due" }),
    ],
  };
}
