// Asks the server again and again, as seldom as it does any good: with the ETag of what is shown, never while nobody
// looks, slower while it fails.

const SLOWEST_MS = 60_000;
let everyMs = 5_000;
let watching = new Set();

export function refreshEvery(seconds) {
  everyMs = seconds * 1000;
}

export class RefusedError extends Error {}

export async function ask(path, etag = null) {
  const answer = await fetch(path, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
  if (answer.status === 304) return { unchanged: true, etag };
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: answer.statusText }));
    throw new RefusedError(told.error);
  }
  return { data: await answer.json(), etag: answer.headers.get("ETag") };
}

/** Call `show(data)` whenever the answer changes; `tell(error | null)` after each try. Returns the way to stop. */
export function watch(path, show, tell, { once = false } = {}) {
  const watched = { timer: 0, etag: null, failures: 0, stopped: false };
  const look = async () => {
    clearTimeout(watched.timer);
    if (watched.stopped || document.hidden) return;
    try {
      const answer = await ask(path, watched.etag);
      if (watched.stopped) return;
      watched.failures = 0;
      watched.etag = answer.etag;
      if (!answer.unchanged) show(answer.data);
      tell(null);
    } catch (error) {
      if (watched.stopped) return;
      watched.failures += 1;
      tell(error);
    }
    if (once && !watched.failures) return;
    // A little disorder, so that many viewers do not ask in one moment.
    const pause = Math.min(SLOWEST_MS, everyMs * 2 ** watched.failures) * (0.9 + 0.2 * Math.random());
    watched.timer = setTimeout(look, pause);
  };
  watched.look = look;
  watching.add(watched);
  look();
  return () => {
    watched.stopped = true;
    clearTimeout(watched.timer);
    watching.delete(watched);
  };
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const watched of watching) watched.look();
});
