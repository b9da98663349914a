// Begins the page, and changes the view when the address does.

import { asked, followLinks, hrefOf, onAddress, view } from "./address.js";
import { showCall } from "./call.js";
import { redrawCharts } from "./charts.js";
import { el, say } from "./dom.js";
import { showFilters } from "./filters.js";
import { showFind } from "./find.js";
import { ask, refreshEvery } from "./live.js";
import { showPipeline } from "./pipeline.js";
import { showToday } from "./today.js";
import { clockSeconds, currentLanguage, currentZone, keep, loadWords, speak, t, useZone } from "./words.js";

const VIEWS = { today: showToday, pipeline: showPipeline, find: showFind, call: showCall };
const EVERYBODY = "0"; // the account whose rules all have that have none of their own
const MENU = ["today", "pipeline", "find"];
const THEMES = ["auto", "light", "dark"];
const main = document.getElementById("main");
const problem = document.getElementById("problem");
const pulse = document.getElementById("pulse");
let viewer = {};
let leave = () => {};
let told = { at: null, error: null };

function show({ focus = false } = {}) {
  leave();
  told = { at: null, error: null };
  beat();
  const name = VIEWS[view()] ? view() : "today";
  useZone(viewer.time_zones[asked().get("account") ?? asked().get("sdk_app_id")] ?? viewer.time_zones[EVERYBODY]);
  document.title = `${t(`view.${name}`)} · callweave`;
  say(document.getElementById("skip"), t("skip"));
  document.getElementById("views").replaceChildren(...MENU.map((each) => menuLink(each, name)));
  document.getElementById("views").setAttribute("aria-label", t("views"));
  document.getElementById("filters").setAttribute("aria-label", t("filters"));
  document.getElementById("preferences").replaceChildren(languageButton(), themeButton());
  document.getElementById("foot").replaceChildren(footText());
  showFilters(document.getElementById("filters"));
  leave = VIEWS[name](main, tell, viewer);
  if (focus) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function menuLink(each, name) {
  const isHere = each === name || (each === "find" && name === "call");
  return el("a", { href: hrefOf(each), "aria-current": isHere ? "page" : null }, t(`view.${each}`));
}

function languageButton() {
  const other = currentLanguage() === "zh" ? "en" : "zh";
  const words = other === "zh" ? "中文" : "English";
  return el(
    "button",
    {
      type: "button",
      id: "language",
      lang: other === "zh" ? "zh-CN" : "en",
      onclick: () => {
        speak(other);
        show();
        document.getElementById("language").focus();
      },
    },
    words,
  );
}

function themeButton() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  return el(
    "button",
    {
      type: "button",
      id: "theme",
      "aria-label": t("theme.change", { now: t(`theme.${now}`), next: t(`theme.${next}`) }),
      onclick: () => {
        if (next === "auto") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = next;
        keep("theme", next);
        document.getElementById("preferences").replaceChildren(languageButton(), themeButton());
        document.getElementById("theme").focus();
        redrawCharts();
      },
    },
    t(`theme.${now}`),
  );
}

function footText() {
  const parts = [`callweave ${viewer.version ?? ""}`, t("foot.zone", { zone: currentZone() })];
  if (viewer.name) parts.push(t("foot.viewer", { name: viewer.name }));
  parts.push(t(viewer.sees_personal ? "foot.personal" : "foot.masked"));
  return parts.join(" · ");
}

function tell(error) {
  told = error === null ? { at: Date.now(), error: null } : { ...told, error };
  problem.hidden = error === null;
  if (error !== null) say(problem, t("problem", { what: error.message, at: told.at ? clockSeconds(told.at) : "–" }));
  beat();
}

/** How old is what is shown: the one thing to know of a live page. */
function beat() {
  const { at, error } = told;
  pulse.dataset.state = error ? "bad" : at ? "good" : "waiting";
  const text = error ? t("pulse.bad") : at ? t("pulse.good", { at: clockSeconds(at) }) : t("pulse.waiting");
  say(document.getElementById("pulse-text"), text);
}

async function begin() {
  const [answer] = await Promise.allSettled([ask("/api/viewer"), loadWords()]);
  if (answer.status === "rejected") return tell(answer.reason);
  viewer = answer.value.data;
  refreshEvery(viewer.refresh_seconds);
  followLinks();
  onAddress(() => show({ focus: true }));
  show();
}

begin();
