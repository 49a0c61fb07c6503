// Owns the charts: what each shows, its legend, and uPlot. Called by main.js. Never counts: what it draws it gets from the samples.
import uPlot from "/static/vendor/uPlot/uPlot.esm.js";
import { bytes, milliseconds, rate, visible } from "./format.js";

const HEIGHT = 176;
const SHORTEST = 60; // seconds that a chart shows at least: what there is is shown large at first
const COLOURS = 8;
const KINDS = ["read", "write", "local", "leased", "broadcast", "denied"];
const byServer = (field) => (sample, name) => sample.servers.find((row) => row.server === name)?.[field];
const replicasOf = (samples) => samples.last.status.servers.filter((row) => row.role === "replica").map((row) => row.server);
const serversOf = (samples) => samples.last.status.servers.map((row) => row.server);
const sent = (sample) => sample.kinds ?? (sample.measured ? { read: total(sample, "readsPerS"), write: total(sample, "writesPerS") } : null);

/** Without the kinds of which none came. */
function came(rates) {
  return rates && Object.fromEntries(Object.entries(rates).filter(([, value]) => value > 0));
}

function total(sample, field) {
  return sample.servers.reduce((sum, row) => sum + (row[field] ?? 0), 0);
}

const LEAST = new Map([[rate, 1], [milliseconds, 1], [bytes, 1000]]); // what an axis reaches at least

/** What the charts show. `names`: of the lines; `read`: one value of a sample; `place`: the colour's number; `lacks`: why there may be none. */
export const CHARTS = [
  {
    title: "Commands per second by kind", write: rate,
    names: (samples) => samples.names((sample) => came(sent(sample))).sort((a, b) => KINDS.indexOf(a) - KINDS.indexOf(b)), read: (sample, name) => sent(sample)?.[name],
    place: (name) => Math.max(0, KINDS.indexOf(name)), none: "No command has come since this page was opened.",
  },
  { title: "Commands per second by server", write: rate, names: serversOf, read: byServer("perS"), ofServers: true },
  {
    title: "Latency", note: "all commands, over 5 s, from rproxy's side", write: milliseconds, names: () => ["p50", "p95", "p99"],
    read: (sample, name) => sample.latency?.all?.[name], place: (name) => ["p50", "p95", "p99"].indexOf(name) * 2,
    available: (status) => Boolean(status.latency?.series),
  },
  {
    title: "Errors per second by code", write: rate, names: (samples) => samples.names((sample) => sample.errors).slice(0, COLOURS), read: (sample, name) => sample.errors?.[name] ?? 0,
    available: (status) => Boolean(status.errors), none: "No command has had an error.",
  },
  { title: "Replication lag", note: "bytes behind the leader", write: bytes, names: replicasOf, read: byServer("lag_bytes"), ofServers: true, none: "There is no replica." },
  {
    title: "Freshness", note: "age of the moment up to which a replica has every write", write: milliseconds, names: replicasOf, read: byServer("mark_age_ms"), ofServers: true,
    none: "There is no replica.", available: (status) => status.consistency === "fresh" || status.servers.some((row) => row.fresh !== null),
  },
];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function element(parent, name, className, words = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = words;
  parent.append(made);
  return made;
}

export class Chart {
  constructor(parent, about) {
    this.about = about;
    const panel = element(parent, "section", "panel chart");
    const title = element(panel, "h2", "", about.title);
    if (about.note) element(title, "small", "", ` ${about.note}`);
    this.legend = element(panel, "ul", "legend");
    this.canvas = element(panel, "div", "canvas");
    this.canvas.setAttribute("role", "img");
    this.message = element(panel, "p", "empty");
    this.shape = "";
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize({ width: this.canvas.clientWidth, height: HEIGHT })).observe(this.canvas);
    document.addEventListener("theme", () => (this.shape = ""));
  }

  show(samples, range) {
    const { about } = this;
    const available = about.available?.(samples.last.status) ?? true;
    const names = available ? about.names(samples) : [];
    this.message.textContent = available ? (names.length ? "" : (about.none ?? "Nothing yet.")) : "Not available: this rproxy does not count it.";
    this.canvas.hidden = this.legend.hidden = !names.length;
    if (!names.length) return;
    this.range = range;
    this.data = samples.columns(names, about.read);
    const shape = JSON.stringify(names);
    if (shape !== this.shape) this.build(names, serversOf(samples));
    this.shape = shape;
    this.plot.setData(this.data);
    this.say();
  }

  build(names, servers) {
    this.plot?.destroy();
    const place = (name) => (this.about.ofServers ? servers.indexOf(name) : (this.about.place?.(name) ?? names.indexOf(name))) % COLOURS;
    const lines = names.map((name) => ({ name, colour: colour(`--c${place(name)}`) }));
    this.plot = new uPlot(this.options(lines), this.data, this.canvas);
    this.legend.replaceChildren();
    this.values = lines.map((line) => {
      const item = element(this.legend, "li", "");
      element(item, "span", "swatch").style.background = line.colour;
      element(item, "span", "", visible(line.name));
      return element(item, "b", "");
    });
    this.names = names;
  }

  options(lines) {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: this.canvas.clientWidth, height: HEIGHT, padding: [8, 22, 0, 0], legend: { show: false },
      cursor: { sync: { key: "time" }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => this.span() },
        y: { range: (_, __, high) => [0, Math.max(high * 1.15, LEAST.get(this.about.write))] },
      },
      axes: [
        { ...axis, size: 28, space: 70, values: (_, times) => times.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB", times.at(-1) - times[0] > 200 ? { hour: "2-digit", minute: "2-digit" } : {})) },
        { ...axis, size: 58, space: 34, values: (_, values) => values.map((value) => (value === 0 ? "0" : this.about.write(value))) },
      ],
      series: [{}, ...lines.map((line) => ({ label: line.name, stroke: line.colour, width: 1.6, fill: lines.length < 3 ? `${line.colour}14` : undefined, points: { show: false } }))],
      hooks: { setCursor: [() => this.say()] },
    };
  }

  /** From when to when: as far back as is wanted, but not far beyond what there is. */
  span() {
    const [first, last] = [this.data[0][0], this.data[0].at(-1)];
    return [last - Math.min(this.range, Math.max(SHORTEST, last - first)), last];
  }

  /** The values under the cursor or, without one, the newest. */
  say() {
    if (!this.plot || !this.values) return;
    const index = this.plot.cursor.idx ?? this.data[0].length - 1;
    this.values.forEach((value, line) => (value.textContent = this.about.write(this.data[line + 1]?.[index])));
    this.canvas.setAttribute("aria-label", `${this.about.title}: ${this.names.map((name, line) => `${visible(name)} ${this.values[line].textContent}`).join(", ")}`);
  }
}
