// Every word on the page, in the viewer's language, from the one catalogue words.json; and numbers and times as they are
// written there.

let catalogue = { en: {}, zh: {} };
let language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
let zone = "UTC";

export async function loadWords() {
  const answer = await fetch("/static/words.json");
  catalogue = await answer.json();
}

export const currentLanguage = () => language;

export function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  keep("language", chosen);
}

export const currentZone = () => zone;

export function useZone(name) {
  zone = name;
}

export function keep(name, value) {
  try {
    localStorage.setItem(`callweave.${name}`, value);
  } catch {
    // storage may be forbidden; the choice lasts as long as the page then
  }
}

/** The words for a key; `{name}` in them is filled from `about`. A key without words shows itself. */
export function t(key, about = {}) {
  const words = catalogue[language]?.[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String(about[name] ?? ""));
}

/** The words for a value from a closed list of TCCC's, which may grow: unknown values show themselves. */
export function value(list, name) {
  return catalogue[language]?.[`${list}.${name}`] ?? name;
}

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");
const NOTHING = "–";

export const number = (amount) => (amount === null || amount === undefined ? NOTHING : new Intl.NumberFormat(locale()).format(amount));

export const percent = (share, digits = 1) =>
  share === null || share === undefined
    ? NOTHING
    : new Intl.NumberFormat(locale(), { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(share);

/** Seconds as people read them: 42 s, 3:05, 1:02:03. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const whole = Math.round(seconds);
  if (whole < 60) return t("unit.seconds", { n: whole });
  const two = (part) => String(part).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A long time ago, coarsely. */
export function age(seconds) {
  if (seconds < 60) return t("unit.seconds", { n: Math.round(seconds) });
  if (seconds < 3600) return t("unit.minutes", { n: Math.round(seconds / 60) });
  if (seconds < 172800) return t("unit.hours", { n: Math.round(seconds / 3600) });
  return t("unit.days", { n: Math.round(seconds / 86400) });
}

const formats = new Map();
function format(moment, name, options) {
  if (moment === null || moment === undefined) return NOTHING;
  const key = `${language}|${zone}|${name}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale(), { timeZone: zone, hourCycle: "h23", ...options }));
  return formats.get(key).format(new Date(moment));
}

export const clock = (moment) => format(moment, "clock", { hour: "2-digit", minute: "2-digit" });
export const clockSeconds = (moment) => format(moment, "clockSeconds", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const dayClock = (moment) =>
  format(moment, "dayClock", { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit" });
export const dayClockSeconds = (moment) =>
  format(moment, "dayClockSeconds", { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (moment) => format(moment, "day", { weekday: "short", day: "numeric", month: "short" });

/** The day of a moment as the address writes it: 2026-11-24. */
export function isoDay(moment) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
  return parts.format(new Date(moment));
}
