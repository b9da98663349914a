// One call: its picture, what is missing and why, every push and retry, recordings to play, and its rows.

import { asked, hrefOf } from "./address.js";
import { el, say } from "./dom.js";
import { watch } from "./live.js";
import { DataTable, csvLink } from "./table.js";
import { timelinePicture } from "./timeline.js";
import { rowsOf } from "./today.js";
import { dayClockSeconds, duration, number, t, value } from "./words.js";

const LISTS = ["call_type", "direction", "end_status", "hung_up_by", "source"]; // columns whose values have words

export function showCall(main, tell, viewer) {
  const query = new URLSearchParams({ sdk_app_id: asked().get("sdk_app_id") ?? "", session_id: asked().get("session_id") ?? "" });
  const csv = (table) => () => `/csv/call/${table}?${query}&pushes=1`;
  const head = el("p", { class: "call-line" });
  const version = el("p", { class: "note" });
  const picture = el("div", { class: "picture scroll", role: "group", tabindex: "0", "aria-label": t("call.timeline") });
  const lacks = el("ul", { class: "lacks" });
  const pushes = new DataTable({
    title: t("call.pushes"),
    note: t("call.pushes.note"),
    csv: csv("pushes"),
    empty: t("call.reading"),
    columns: [
      { name: "received_at", show: (cell) => dayClockSeconds(cell) },
      { name: "kind", show: (cell) => value("kind", cell) },
      { name: "source", show: (cell) => value("source", cell) },
      { name: "nth", label: t("column.nth"), show: (cell) => (cell === 1 ? t("push.first") : t("push.again", { n: cell - 1 })) },
      { name: "report", show: (cell) => el("code", {}, cell) },
      { name: "push_id", show: (cell) => (cell === null ? null : el("code", {}, cell)) },
    ],
  });
  const recordings = new DataTable({
    title: t("call.recordings"),
    csv: csv("recordings"),
    empty: t("empty.recordings"),
    columns: [
      { name: "recording_id", show: (cell) => el("code", {}, cell) },
      { name: "side", show: (cell) => (cell === null ? null : value("side", cell)) },
      { name: "endpoint_user" },
      { name: "generated_at", show: (cell) => dayClockSeconds(cell) },
      { name: "received_at", show: (cell, row) => (cell !== null ? dayClockSeconds(cell) : t(row.absent_at !== null ? "recording.absent" : "recording.missing")) },
      { name: "url", label: t("column.listen"), show: (_, row) => player(row, viewer) },
    ],
  });
  const voicemails = new DataTable({
    title: t("call.voicemails"),
    csv: csv("voicemails"),
    empty: t("empty.voicemails"),
    columns: [
      { name: "generated_at", show: (cell) => dayClockSeconds(cell) },
      { name: "endpoint_user" },
      { name: "received_at", show: (cell) => dayClockSeconds(cell) },
      { name: "url", label: t("column.listen"), show: (_, row) => player(row, viewer) },
    ],
  });
  const legs = new DataTable({
    title: t("call.legs"),
    csv: csv("legs"),
    empty: t("empty.legs"),
    columns: [
      { name: "leg_sequence", numeric: true },
      { name: "agent_mail", show: (cell, row) => cell ?? row.agent_phone },
      { name: "leg_type", show: (cell) => (cell === null ? null : value("leg_type", cell)) },
      ...["rang_at", "answered_at", "ended_at"].map((name) => ({ name, show: (cell) => dayClockSeconds(cell) })),
      { name: "end_status", show: (cell) => (cell === null ? null : value("end_status", cell)) },
      { name: "skill_group_name" },
      { name: "transfer_to" },
    ],
  });
  const differences = new DataTable({
    title: t("call.disagreements"),
    csv: csv("field_disagreements"),
    empty: t("empty.disagreements"),
    columns: [{ name: "field" }, { name: "pushed_value" }, { name: "api_value" }],
  });
  const fields = el("dl", { class: "fields" });
  const payloads = el("div", { class: "payloads" });
  const panel = (title, ...children) => el("section", { class: "panel" }, el("div", { class: "panel-head" }, el("h2", {}, title)), ...children);
  const ofFields = el("p", { class: "more-of" }, csvLink(csv("session"), t("call.fields")));
  main.replaceChildren(
    el("p", { class: "back" }, el("a", { href: hrefOf("find") }, `← ${t("view.find")}`)),
    el("h1", {}, el("span", { class: "h1-word" }, t("call.title")), el("code", {}, query.get("session_id"))),
    head,
    panel(t("call.timeline"), picture, version),
    panel(t("call.lacks"), lacks),
    recordings.element,
    pushes.element,
    legs.element,
    voicemails.element,
    differences.element,
    panel(t("call.fields"), fields, ofFields),
    payloads,
  );
  const show = ({ tables, facts }) => {
    const session = rowsOf(tables.session)[0];
    say(head, session ? headline(session) : t(facts.is_known ? "call.on_its_way" : "call.unknown"));
    say(version, versionText(facts));
    picture.replaceChildren(facts.timeline ? timelinePicture(facts.timeline) : el("p", { class: "empty" }, t("call.no_timeline")));
    lacks.replaceChildren(...(facts.lacking.length ? facts.lacking.map(lackItem) : [el("li", { class: "whole" }, t("lack.nothing"))]));
    for (const [table, name] of [[legs, "legs"], [recordings, "recordings"], [voicemails, "voicemails"]]) table.update(tables[name]);
    fields.replaceChildren(...(session ? Object.entries(session).flatMap(([name, cell]) => [el("dt", {}, t(`column.${name}`)), el("dd", {}, fieldText(name, cell))]) : []));
  };
  const showPushes = (data) => {
    show(data);
    if (data.facts.kafka_problem) pushes.empty = t("call.pushes_unknown", { why: data.facts.kafka_problem });
    else pushes.empty = t("call.no_pushes");
    pushes.update(data.tables.pushes);
    differences.update(data.tables.field_disagreements);
    payloads.replaceChildren(...Object.entries(data.facts.payloads ?? {}).map(([report, payload]) => el("details", {}, el("summary", {}, t("call.payload", { report })), el("pre", { tabindex: "0" }, JSON.stringify(payload, null, 2)))));
  };
  // The warehouse answers at once; the pushes stand in Kafka and take longer.
  let hasPushes = false;
  const stopQuick = watch(`/api/call?${query}`, (data) => hasPushes || show(data), tell, { once: true });
  const stop = watch(
    `/api/call?${query}&pushes=1`,
    (data) => {
      hasPushes = true;
      showPushes(data);
    },
    tell,
  );
  return () => {
    stopQuick();
    stop();
  };
}

const headline = (session) =>
  [
    session.direction ? value("direction", session.direction) : null,
    session.started_at ? dayClockSeconds(session.started_at) : null,
    session.customer_number,
    session.skill_group_name,
    session.agent_name ?? session.agent_mail,
    session.end_status ? value("end_status", session.end_status) : null,
    session.talk_seconds !== undefined ? t("call.talked", { time: duration(session.talk_seconds) }) : null,
  ]
    .filter(Boolean)
    .join(" · ");

function versionText({ version, published_version: published, is_behind: isBehind }) {
  if (version === null) return "";
  return isBehind ? t("call.version_behind", { version, published }) : t("call.version", { version });
}

function lackItem({ code, about }) {
  const who = about.side ? value("side", about.side) : t("side.unknown");
  const whose = about.leg !== null && about.leg !== undefined ? t("lack.leg", { who, leg: number(about.leg) }) : who;
  return el("li", {}, t(`lack.${code}`, { who: whose }), about.recording_id ? el("code", {}, about.recording_id) : null);
}

function player(row, viewer) {
  const address = row.custom_url ?? row.url;
  if (!address) return null;
  if (!viewer.sees_personal) return el("span", { class: "note" }, t("recording.not_for_you"));
  if (!/^https?:\/\//.test(address)) return el("span", { class: "note" }, t("recording.not_playable"));
  return el("audio", { controls: true, preload: "none", src: address, "aria-label": t("recording.listen") });
}

function fieldText(name, cell) {
  if (typeof cell === "object") return el("code", {}, JSON.stringify(cell));
  if (name.endsWith("_at")) return dayClockSeconds(cell);
  if (name.endsWith("_seconds")) return duration(cell);
  if (LISTS.includes(name)) return value(name, cell);
  if (typeof cell === "boolean") return t(cell ? "yes" : "no");
  return String(cell);
}
