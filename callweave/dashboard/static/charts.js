// Charts by the vendored ECharts, in the page's colours. The rule: a chart never stands alone; the same numbers are in a
// table beside it, which is what a screen reader reads.

import { el } from "./dom.js";

const SOURCE = "/static/vendor/echarts/echarts.common.min.js";
let library = null;
const charts = new Set();

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = el("script", { src: SOURCE, onload: () => resolve(globalThis.echarts), onerror: () => reject(new Error(SOURCE)) });
    document.head.append(script);
  }).catch(() => {
    library = null; // not to be had just now: the next answer tries again, and the tables say the same meanwhile
    return null;
  });
  return library;
}

/** Colours as the theme has them now: ECharts draws on a canvas, which knows no custom properties. */
export function colours(names) {
  const probe = el("span", { class: "probe" });
  document.body.append(probe);
  const found = Object.fromEntries(
    names.map((name) => {
      probe.className = `probe probe-${name}`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return found;
}

const COLOURS = ["ink", "muted", "line", "surface", "good", "bad", "other", "accent", "warn"];

export class Chart {
  /** `option(data, colours)` makes ECharts' option. */
  constructor({ title, option, height = "chart", level = 2, legend = [] }) {
    this.option = option;
    this.canvas = el("div", { class: `canvas ${height}`, "aria-hidden": "true" });
    const id = `chart-${(Chart.count = (Chart.count ?? 0) + 1)}`;
    this.element = el(
      "section",
      { class: "panel", "aria-labelledby": id, "aria-busy": "true" },
      el(
        "div",
        { class: "panel-head" },
        el(`h${level}`, { id }, title),
        el("p", { class: "legend", "aria-hidden": "true" }, legend.map(([kind, label]) => el("span", { class: `key key-${kind}` }, label))),
      ),
      this.canvas,
    );
    charts.add(this);
  }

  async update(data) {
    this.data = data;
    const echarts = await load();
    if (echarts === null) return;
    if (!this.canvas.isConnected) return charts.delete(this);
    this.chart ??= echarts.init(this.canvas, null, { renderer: "canvas" });
    this.draw();
  }

  draw() {
    if (!this.chart || this.data === undefined) return;
    this.chart.setOption({ animation: false, ...this.option(this.data, colours(COLOURS)) }, { notMerge: true });
    this.element.removeAttribute("aria-busy");
  }

  dispose() {
    charts.delete(this);
    this.chart?.dispose();
  }
}

export function redrawCharts() {
  for (const chart of charts) chart.draw();
}

addEventListener("resize", () => {
  for (const chart of charts) chart.chart?.resize();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);

/** What all charts share: quiet axes, a tooltip that is an element of ours (the policy allows no inline style). */
export function base(palette, { left = 44, right = 12 } = {}) {
  const text = { color: palette.muted, fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily };
  return {
    textStyle: text,
    grid: { left, right, top: 14, bottom: 26 },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      confine: true,
      backgroundColor: palette.surface,
      borderColor: palette.line,
      textStyle: { ...text, color: palette.ink },
      axisPointer: { type: "shadow", shadowStyle: { color: palette.line, opacity: 0.35 } },
    },
    xAxis: {
      type: "category",
      axisLine: { lineStyle: { color: palette.line } },
      axisTick: { show: false },
      axisLabel: { ...text, hideOverlap: true },
    },
    yAxis: {
      type: "value",
      minInterval: 1,
      splitLine: { lineStyle: { color: palette.line } },
      axisLabel: text,
    },
  };
}

export const bars = (name, data, color, more = {}) => ({
  name,
  type: "bar",
  data,
  itemStyle: { color },
  barCategoryGap: "25%",
  ...more,
});

export const lines = (name, data, color, more = {}) => ({
  name,
  type: "line",
  data,
  showSymbol: false,
  lineStyle: { color, width: 2 },
  itemStyle: { color },
  connectNulls: false,
  ...more,
});

