// Owns when rproxy is asked. Called by main.js. Never asks while the page isn't seen, nor twice at once for the same.
const PATIENCE = 2500; // milliseconds; an answer from memory takes a few
const ABSENT = 60_000; // until what this rproxy doesn't have is asked for again

/** Ask for `path` every `pause` milliseconds: `got(json)`, `failed(why)`, or `absent()` where this rproxy has no such thing. */
export function poll(path, pause, { got, failed = () => {}, absent = () => {} }) {
  let timer = null;
  let asking = false;

  async function turn() {
    timer = null;
    if (asking || document.hidden) return;
    asking = true;
    let next = pause;
    try {
      const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store", credentials: "omit" });
      if (response.status === 404) {
        next = ABSENT;
        absent();
      } else if (!response.ok) {
        failed(`it answers with status ${response.status}`);
      } else {
        got(await response.json());
      }
    } catch (problem) {
      failed(problem.name === "TimeoutError" ? "it takes more than 2.5 s to answer" : "nobody answers at this address");
      if (!(problem instanceof TypeError || problem.name === "TimeoutError" || problem.name === "AbortError")) console.error(problem);
    } finally {
      asking = false;
      if (!document.hidden) timer = setTimeout(turn, next);
    }
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = null;
    if (!document.hidden) turn();
  });
  turn();
}
