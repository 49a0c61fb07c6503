// Owns what was seen so far: one sample per status, rates between two of them, the last quarter of an hour. Called by main.js. Never asks and never draws.
import { difference, percentiles } from "./percentiles.js";

const KEPT = 900;
const WINDOW = 5; // samples over which percentiles are taken: one second of little traffic says too little

/** Differences per second of two objects of counters; null where there are none. */
function perSecond(before, after, span) {
  if (!after) return null;
  return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, Math.max(0, value - (before?.[name] ?? 0)) / span]));
}

function latencies(before, after) {
  if (!after?.series) return null;
  const bounds = after.bounds_ms;
  const of = (kind, server) => percentiles(bounds, difference(before, after, kind, server));
  const names = (field) => [...new Set(after.series.map((series) => series[field]))];
  return {
    all: of(null, null),
    kinds: Object.fromEntries(names("kind").map((kind) => [kind, of(kind, null)])),
    servers: Object.fromEntries(names("server").map((server) => [server, of(null, server)])),
  };
}

function servers(before, after, span) {
  return after.servers.map((row) => {
    const old = before.servers.find((one) => one.server === row.server) ?? row;
    const reads = Math.max(0, row.reads - old.reads) / span;
    const writes = Math.max(0, row.writes - old.writes) / span;
    return { ...row, readsPerS: reads, writesPerS: writes, perS: reads + writes };
  });
}

export class Samples {
  constructor() {
    this.list = [];
    this.states = [];
  }

  get last() {
    return this.list.at(-1);
  }

  /** A new status; `at` in seconds. One of another process, or after a silence, begins anew: no rate is counted across. */
  add(status, at) {
    const before = this.states.at(-1);
    const span = before ? (status.now_ms - before.now_ms) / 1000 : 0;
    if (before && (span <= 0 || status.process !== before.process || span > 5)) this.states = [];
    if (before && span > 5) this.list.push({ at: at - span + 0.001, gap: true });
    const start = this.states.length ? this.states.at(-1) : null;
    const oldest = this.states.at(-WINDOW) ?? this.states[0];
    this.list.push({
      at,
      status,
      measured: Boolean(start),
      servers: start ? servers(start, status, span) : status.servers.map((row) => ({ ...row, readsPerS: null, writesPerS: null, perS: null })),
      kinds: start && status.kinds ? perSecond(start.kinds, status.kinds, span) : null,
      errors: start && status.errors ? perSecond(start.errors, status.errors, span) : null,
      latency: start ? latencies(oldest.latency, status.latency) : null,
    });
    this.states.push(status);
    if (this.states.length > WINDOW) this.states.shift();
    if (this.list.length > 1) delete this.list.at(-2).status;
    if (this.list.length > KEPT) this.list.shift();
    return this.last;
  }

  /** The times, and for each name what `read(sample, name)` says then. */
  columns(names, read) {
    return [this.list.map((one) => one.at), ...names.map((name) => this.list.map((one) => (one.gap ? null : (read(one, name) ?? null))))];
  }

  /** Every name that `read` has found in any sample, in the order of their coming. */
  names(read) {
    return [...new Set(this.list.flatMap((one) => (one.gap ? [] : Object.keys(read(one) ?? {}))))];
  }
}
