// A call drawn as lanes: what the customer met, and each leg; transfers as arrows between them. Beside the picture, the
// same as a list, which is what a screen reader reads.

import { el, svg } from "./dom.js";
import { clockSeconds, duration, t, value } from "./words.js";

const WIDTH = 960;
const LEFT = 190;
const RIGHT = 24;
const LANE = 46;
const BAR = 24;
const TOP = 34;
const TICKS_MAX = 7;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export function timelinePicture(timeline) {
  const since = Date.parse(timeline.since);
  const total = Math.max(1000, Date.parse(timeline.until) - since);
  const x = (moment) => LEFT + ((Date.parse(moment) - since) / total) * (WIDTH - LEFT - RIGHT);
  const height = TOP + timeline.lanes.length * LANE + 8;
  const middle = (place) => TOP + place * LANE + LANE / 2;
  const laneOf = (leg) => timeline.lanes.findIndex((lane) => lane.leg_sequence === leg);
  return el(
    "div",
    { class: "timeline" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${height}`, "aria-hidden": "true", focusable: "false" },
      svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 8 4 0 8z", class: "arrow-head" }))),
      ticks(since, total).map(({ at, label }) => [
        svg("line", { x1: x(at), x2: x(at), y1: TOP - 6, y2: height - 4, class: "tick" }),
        svg("text", { x: x(at), y: 16, class: "tick-text", "text-anchor": "middle" }, label),
      ]).flat(),
      timeline.lanes.flatMap((lane, place) => drawnLane(lane, middle(place), x)),
      timeline.transfers.flatMap((transfer) => drawnTransfer(transfer, { x, middle, laneOf })),
    ),
    el("p", { class: "legend" }, ["ivr", "queue", "ring", "talk"].map((kind) => el("span", { class: `key key-${kind}` }, t(`stretch.${kind}`)))),
    el("ol", { class: "quiet" }, timeline.lanes.map((lane) => el("li", {}, spoken(lane))), timeline.transfers.map((transfer) => el("li", {}, t("transfer.spoken", { to: transfer.to ?? "", at: clockSeconds(transfer.at) })))),
  );
}

const nameOf = (lane) => (lane.leg_sequence === null ? t("lane.customer") : t("lane.leg", { n: lane.leg_sequence }));

const spoken = (lane) =>
  `${nameOf(lane)} ${lane.who ?? ""}: ${lane.stretches.map((part) => t("stretch.spoken", { what: t(`stretch.${part.kind}`), since: clockSeconds(part.since), until: clockSeconds(part.until), time: duration(part.seconds) })).join("; ")}${lane.end_status ? ` (${value("end_status", lane.end_status)})` : ""}`;

function drawnLane(lane, y, x) {
  return [
    svg("text", { x: 8, y: y - 3, class: "lane-name" }, nameOf(lane)),
    svg("text", { x: 8, y: y + 13, class: "lane-who" }, shortened(lane.who ?? "")),
    svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "lane-line" }),
    ...lane.stretches.flatMap((part) => {
      const [from, to] = [x(part.since), x(part.until)];
      const width = Math.max(3, to - from);
      const label = `${t(`stretch.${part.kind}`)} ${duration(part.seconds)}`;
      const fits = width > label.length * 6.6 + 10;
      return [
        svg("rect", { x: from, y: y - BAR / 2, width, height: BAR, rx: 4, class: `stretch stretch-${part.kind}` }, svg("title", {}, label)),
        fits ? svg("text", { x: from + width / 2, y: y + 4.5, class: `stretch-text on-${part.kind}`, "text-anchor": "middle" }, label) : null,
      ].filter(Boolean);
    }),
  ];
}

function drawnTransfer({ from_leg: from, to_leg: to, at, to: whom }, { x, middle, laneOf }) {
  const [source, target] = [laneOf(from), to === null ? -1 : laneOf(to)];
  if (source < 0) return [];
  const across = x(at);
  if (target < 0) {
    return [svg("text", { x: Math.min(across + 6, WIDTH - 150), y: middle(source) + 4, class: "lane-who" }, `→ ${shortened(whom ?? "")}`)];
  }
  return [svg("path", { d: `M${across} ${middle(source) + BAR / 2} V${middle(target) - BAR / 2 - 2}`, class: "transfer", "marker-end": "url(#arrow)" })];
}

const shortened = (text) => (text.length > 26 ? `${text.slice(0, 25)}…` : text);

function ticks(since, total) {
  const step = 1000 * (STEPS.find((seconds) => total / (seconds * 1000) <= TICKS_MAX) ?? 14400);
  const first = Math.ceil(since / step) * step;
  const found = [];
  for (let at = first; at <= since + total; at += step) {
    const moment = new Date(at).toISOString();
    found.push({ at: moment, label: clockSeconds(moment) });
  }
  return found;
}
