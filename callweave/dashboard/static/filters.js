// The filter bar: what is chosen goes into the address, and the address is what is shown.

import { FILTERS, asked, go, hrefOf, view } from "./address.js";
import { el } from "./dom.js";
import { ask } from "./live.js";
import { rowsOf } from "./today.js";
import { number, t } from "./words.js";

let choices = null;

export async function showFilters(form) {
  const chosen = asked();
  const hidden = view() === "call";
  form.hidden = hidden;
  if (hidden) return;
  draw(form, chosen);
  if (choices === null) {
    form.setAttribute("aria-busy", "true");
    try {
      choices = (await ask("/api/choices")).data.tables;
    } catch {
      return; // the view itself says why the warehouse does not answer
    } finally {
      form.removeAttribute("aria-busy");
    }
    if (!form.contains(document.activeElement) || document.activeElement === document.body) draw(form, asked());
    else fill(form, asked());
  }
}

export function forgetChoices() {
  choices = null;
}

function draw(form, chosen) {
  const takesCalls = view() !== "pipeline";
  form.replaceChildren(
    select("account", chosen),
    takesCalls ? select("queue", chosen) : null,
    takesCalls ? select("agent", chosen) : null,
    ...["from", "to"].map((name) => field(name, el("input", { type: "date", id: `filter-${name}`, name, value: (chosen.get(name) ?? "").slice(0, 10) }))),
    FILTERS.some((name) => chosen.get(name)) ? el("a", { class: "clear", href: hrefOf(view(), Object.fromEntries(FILTERS.map((name) => [name, null]))) }, t("filter.clear")) : null,
  );
  for (const child of [...form.childNodes]) if (child.nodeType === Node.TEXT_NODE) child.remove();
  form.onchange = () => {
    const now = Object.fromEntries(FILTERS.map((name) => [name, form.elements[name]?.value ?? asked().get(name)]));
    go(hrefOf(view(), { ...now, q: asked().get("q") }));
  };
  form.onsubmit = (event) => event.preventDefault();
}

function fill(form, chosen) {
  for (const name of ["account", "queue", "agent"]) {
    const old = form.elements[name];
    if (old && old !== document.activeElement) old.replaceWith(options(name, chosen));
  }
}

const field = (name, control) => el("div", { class: `field field-${name}` }, el("label", { for: `filter-${name}` }, t(`filter.${name}`)), control);

const select = (name, chosen) => field(name, options(name, chosen));

function options(name, chosen) {
  const now = chosen.get(name) ?? "";
  const known = choices ? rowsOf(choices[`${name}s`]) : [];
  const names = known.map((row) => String(row.name));
  if (now && !names.includes(now)) known.unshift({ name: now, calls: null });
  return el(
    "select",
    { id: `filter-${name}`, name },
    el("option", { value: "" }, t(`filter.${name}.all`)),
    known.map((row) => el("option", { value: row.name, selected: String(row.name) === now }, row.calls === null ? row.name : `${row.name} (${number(row.calls)})`)),
  );
}
