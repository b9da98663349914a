// What is looked at stands in the page's address, so that a link shows another person the same.

export const FILTERS = ["account", "queue", "agent", "from", "to"];
const listeners = [];

export const asked = () => new URLSearchParams(location.search);

export const view = () => asked().get("view") ?? "today";

/** The address of a view with the filters of this one, and `more`; null takes a part away. */
export function hrefOf(name, more = {}) {
  const now = asked();
  const next = new URLSearchParams();
  if (name !== "today") next.set("view", name);
  for (const part of FILTERS) if (now.get(part)) next.set(part, now.get(part));
  for (const [part, text] of Object.entries(more)) {
    if (text === null || text === "") next.delete(part);
    else next.set(part, text);
  }
  const query = next.toString();
  return query ? `/?${query}` : "/";
}

/** The filters, as the server's panels take them. */
export function filterQuery(more = {}) {
  const query = new URLSearchParams();
  for (const part of FILTERS) if (asked().get(part)) query.set(part, asked().get(part));
  for (const [part, text] of Object.entries(more)) if (text) query.set(part, text);
  return query.toString();
}

export function go(href, { replace = false } = {}) {
  if (href === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", href);
  for (const listener of listeners) listener();
}

export function onAddress(listener) {
  listeners.push(listener);
  addEventListener("popstate", listener);
}

/** Links of the page change the view without loading it anew; with a modifier they are the browser's. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname !== "/" || url.hash || link.hasAttribute("download")) return;
    event.preventDefault();
    go(url.pathname + url.search);
  });
}
