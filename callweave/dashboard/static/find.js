// Find a call: by SessionId, number or agent, or in the list of the span.

import { asked, filterQuery, go, hrefOf } from "./address.js";
import { el } from "./dom.js";
import { watch } from "./live.js";
import { DataTable } from "./table.js";
import { dayClockSeconds, duration, t, value } from "./words.js";

export function showFind(main, tell) {
  const term = asked().get("q") ?? "";
  const field = el("input", { type: "search", id: "term", name: "q", value: term, placeholder: t("find.placeholder"), autocomplete: "off", spellcheck: "false", maxlength: 200 });
  const form = el(
    "form",
    {
      class: "find",
      role: "search",
      "aria-label": t("view.find"),
      onsubmit: (event) => {
        event.preventDefault();
        go(hrefOf("find", { q: field.value.trim() }));
      },
    },
    el("label", { for: "term" }, t("find.label")),
    el("div", { class: "find-row" }, field, el("button", { type: "submit", class: "button" }, t("find.go"))),
    el("p", { class: "note" }, t("find.note")),
  );
  const calls = new DataTable({
    title: t(term ? "find.found" : "find.all"),
    csv: () => `/csv/calls/calls?${filterQuery({ q: term })}`,
    empty: t(term ? "empty.found" : "empty.calls"),
    columns: [
      { name: "started_at", show: (cell) => dayClockSeconds(cell), link: (row) => hrefOf("call", { sdk_app_id: row.sdk_app_id, session_id: row.session_id }) },
      { name: "direction", show: (cell) => (cell === null ? null : value("direction", cell)) },
      { name: "customer_number" },
      { name: "skill_group_name" },
      { name: "agent_mail", show: (cell, row) => (row.agent_name ? [row.agent_name, el("span", { class: "second" }, cell)] : cell) },
      { name: "wait_seconds", numeric: true, show: duration },
      { name: "talk_seconds", numeric: true, show: duration },
      { name: "end_status", show: (cell, row) => (row.has_cdr ? (cell === null ? null : value("end_status", cell)) : t("find.no_cdr")) },
      { name: "recordings_missing", numeric: true, show: (cell, row) => (cell ? el("strong", { class: "lack" }, cell) : row.recordings_received ? "0" : null) },
      { name: "session_id", show: (cell) => el("code", {}, cell), link: (row) => hrefOf("call", { sdk_app_id: row.sdk_app_id, session_id: row.session_id }) },
    ],
  });
  main.replaceChildren(el("h1", { class: "quiet" }, t("view.find")), form, calls.element);
  return watch(`/api/calls?${filterQuery({ q: term })}`, ({ tables }) => calls.update(tables.calls), tell);
}
