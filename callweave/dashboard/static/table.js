// A table of a panel: sorted by any column, downloaded as CSV, scrolled within itself; its body alone is drawn anew.

import { el, say } from "./dom.js";
import { number, t } from "./words.js";

/** What a download of the same rows is called for. */
export const csvLink = (csv, title) => el("a", { class: "csv", download: "", href: csv() }, t("table.csv"), el("span", { class: "quiet" }, ` ${title}`));

/** `Words in backticks` as code. */
const withCode = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));

/**
 * `columns`: [{ name, label?, show?(cell, row), numeric?, link?(row) }]; `csv`: address of the download.
 * `empty`: the sentence for a table without rows.
 */
export class DataTable {
  constructor({ title, columns, csv, empty, level = 2, note = null, pageSize = 50 }) {
    Object.assign(this, { columns, csv, empty, pageSize });
    this.sort = null;
    this.rows = [];
    this.shownMax = pageSize;
    const id = `table-${(DataTable.count = (DataTable.count ?? 0) + 1)}`;
    this.body = el("tbody");
    this.heads = columns.map((column) => this.head(column));
    this.count = el("span", { class: "count" });
    this.download = csvLink(csv, title);
    this.more = el("button", { type: "button", class: "more", onclick: () => this.showMore() });
    this.element = el(
      "section",
      { class: "panel", "aria-labelledby": id, "aria-busy": "true" },
      el("div", { class: "panel-head" }, el(`h${level}`, { id }, title, " ", this.count), this.download),
      note ? el("p", { class: "note" }, withCode(note)) : null,
      el(
        "div",
        { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": id },
        el("table", {}, el("thead", {}, el("tr", {}, this.heads)), this.body),
      ),
      this.more,
    );
  }

  head(column) {
    const button = el("button", { type: "button", onclick: () => this.sortBy(column) }, column.label ?? t(`column.${column.name}`));
    return el("th", { scope: "col", class: column.numeric ? "numeric" : null, "aria-sort": "none" }, button);
  }

  update(table) {
    this.columnNames = table.columns;
    this.rows = table.rows.map((row) => Object.fromEntries(table.columns.map((name, place) => [name, row[place]])));
    say(this.count, this.rows.length ? `${number(this.rows.length)}${table.truncated ? "+" : ""}` : "");
    this.download.href = this.csv();
    this.element.removeAttribute("aria-busy");
    this.draw();
  }

  sortBy(column) {
    const descends = this.sort?.column === column ? !this.sort.descends : Boolean(column.numeric);
    this.sort = { column, descends };
    this.columns.forEach((each, place) => {
      const state = each === column ? (descends ? "descending" : "ascending") : "none";
      this.heads[place].setAttribute("aria-sort", state);
    });
    this.draw();
  }

  showMore() {
    this.shownMax += this.pageSize * 4;
    this.draw();
  }

  sorted() {
    if (!this.sort) return this.rows;
    const { column, descends } = this.sort;
    const key = column.key ?? ((row) => row[column.name]);
    const order = (one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === b) return 0;
      if (a === null || a === undefined) return 1;
      if (b === null || b === undefined) return -1;
      const sign = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return descends ? -sign : sign;
    };
    return [...this.rows].sort(order);
  }

  draw() {
    const rows = this.sorted().slice(0, this.shownMax);
    if (!rows.length) {
      this.body.replaceChildren(el("tr", { class: "empty" }, el("td", { colspan: this.columns.length }, this.empty)));
    } else {
      this.body.replaceChildren(...rows.map((row) => this.row(row)));
    }
    const left = this.rows.length - rows.length;
    this.more.hidden = left <= 0;
    say(this.more, t("table.more", { n: number(left) }));
  }

  row(row) {
    const cells = this.columns.map((column, place) => {
      const shown = column.show ? column.show(row[column.name], row) : row[column.name];
      const text = shown === null || shown === undefined || shown === "" ? el("span", { class: "nothing" }, "–") : shown;
      const content = column.link ? el("a", { href: column.link(row) }, text) : text;
      const tag = place === 0 ? "th" : "td";
      return el(tag, { class: column.numeric ? "numeric" : null, scope: place === 0 ? "row" : null }, content);
    });
    return el("tr", {}, cells);
  }
}
