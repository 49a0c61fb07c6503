// Owns which tables there are and what stands in them. Called by main.js. Never asks rproxy.
import { bytes, clock, count, milliseconds, percent, rate, seconds, visible } from "./format.js";
import { Table, bar } from "./tables.js";

const replica = (row) => row.role === "replica";
const lagOf = (row) => (replica(row) ? bytes(row.lag_bytes) : "");
const freshOf = (row) => (!replica(row) || row.fresh === null ? "" : row.fresh ? "has all" : row.mark_age_ms === null ? "not known" : "catching up");

const SERVERS = [
  { title: "Server", cell: (row) => row.server, className: () => "name" },
  { title: "Role", cell: (row) => row.role },
  { title: "Is", cell: (row) => (row.in ? (row.silent ? "silent" : "in") : "out"), className: (row) => `state ${row.in ? (row.silent ? "warn" : "good") : "bad"}` },
  { title: "Why", cell: (row) => row.why, className: () => "why" },
  { title: "Reads/s", cell: (row) => rate(row.readsPerS), number: true },
  { title: "Writes/s", cell: (row) => rate(row.writesPerS), number: true },
  { title: "p50", cell: (row) => milliseconds(row.p50), number: true },
  { title: "p99", cell: (row) => milliseconds(row.p99), number: true },
  { title: "Probe", cell: (row) => milliseconds(row.in ? row.latency_ms : null), number: true },
  { title: "Lag", cell: lagOf, number: true },
  { title: "Mark's age", cell: (row) => (replica(row) ? milliseconds(row.mark_age_ms) : ""), number: true },
  { title: "Every write", cell: freshOf },
  { title: "Lanes + leases", cell: (row) => `${count(row.lanes)} + ${count(row.leases)}`, number: true },
];
const ERRORS = [
  { title: "Code", cell: (row) => row.code, className: () => "name" },
  { title: "Per second", cell: (row) => rate(row.perS), number: true },
  { title: "Since the start", cell: (row) => count(row.total), number: true },
];
const COUNTERS = [
  { title: "What", cell: (row) => row.title },
  { title: "Count", cell: (row) => count(row.value), number: true, className: (row) => (row.bad && row.value ? "bad" : "") },
];
const SLOW = [
  { title: "At", cell: (row) => clock(row.at) },
  { title: "Command", cell: (row) => row.command, className: () => "name" },
  {
    title: "Where the time went",
    draw: (cell, row) => {
      const parts = ["waiting", "upstream", "writing"].map((className) => ({ className, value: row[`${className}_ms`] ?? 0 }));
      bar(cell, parts, row.most, parts.map(({ value }) => milliseconds(value)).join(" + "));
    },
  },
  { title: "Total", cell: (row) => milliseconds(row.total_ms), number: true },
  { title: "Server", cell: (row) => row.server },
  { title: "Client", cell: (row) => [row.client, row.addr].filter((part) => part != null && part !== "").join(" ") },
  { title: "Request", cell: (row) => bytes(row.request_bytes), number: true },
  { title: "Reply", cell: (row) => bytes(row.reply_bytes), number: true },
];
const HOT = [
  { title: "Key", cell: (row) => row.key, className: () => "name key-name" },
  { title: "Share", draw: (cell, row) => bar(cell, [{ className: "upstream", value: row.share ?? 0 }], row.most, percent(row.share)) },
  { title: "Seen", cell: (row) => count(row.count), number: true },
];
const BIG = [
  { title: "Key", cell: (row) => row.key, className: () => "name key-name" },
  { title: "Command", cell: (row) => row.command },
  { title: "Size", cell: (row) => bytes(row.bytes), number: true },
];
const CLIENTS = [
  { title: "Id", cell: (row) => row.id, number: true },
  { title: "Address", cell: (row) => row.addr, className: () => "name" },
  { title: "Name", cell: (row) => row.name || "" },
  { title: "User", cell: (row) => row.user || "" },
  { title: "Db", cell: (row) => row.db ?? "", number: true },
  { title: "Last command", cell: (row) => row.command || "" },
  { title: "State", cell: (row) => row.state || "" },
  { title: "In flight", cell: (row) => count(row.in_flight), number: true },
  { title: "Output", cell: (row) => bytes(row.output_bytes), number: true },
  { title: "Idle", cell: (row) => seconds(row.idle_s), number: true },
  { title: "Age", cell: (row) => seconds(row.age_s), number: true },
  { title: "Worker", cell: (row) => row.worker ?? "", number: true },
];
const COMMANDS = [
  { title: "Command", cell: (row) => row.name, className: () => "name" },
  { title: "Kind", cell: (row) => row.kind },
  { title: "Count", cell: (row) => count(row.count), number: true },
];
const SETTINGS = [
  { title: "Key", cell: (row) => row.key, className: () => "name" },
  { title: "Value", cell: (row) => row.value, className: () => "value" },
  { title: "From", cell: (row) => row.origin },
];
const ODD = [
  ["freshness_reads", "Reads that the leader answered because no replica was fresh"],
  ["diverted", "Refused by a replica and asked of the leader"],
  ["retried", "Reads asked a second time, because their server was lost"],
  ["leaderless_reads", "Reads answered while no leader was there"],
  ["lost", "Writes lost on their way, whose clients were told so", true],
];

const most = (rows, field) => rows.reduce((high, row) => Math.max(high, row[field] ?? 0), 0);
const table = (name, title, columns, none) => new Table(document.querySelector(`[data-table="${name}"]`), title, columns, none);
const note = (name, words) => (document.getElementById(`${name}-note`).textContent = words);

export class Panels {
  constructor() {
    this.servers = table("servers", "Servers", SERVERS, "There is no server.");
    this.errors = table("errors", "Errors by code", ERRORS, "No command has had an error.");
    this.counters = table("counters", "Out of the ordinary", COUNTERS, "");
    this.slow = table("slow", "Slow commands", SLOW, "No command was slow.");
    this.hot = table("hot", "Hot keys", HOT, "No key has been sampled yet.");
    this.big = table("big", "Big values", BIG, "No big value has been seen.");
    this.clients = table("clients", "Clients", CLIENTS, "No client is connected.");
    this.commands = table("commands", "Commands", COMMANDS, "No command has come yet.");
    this.settings = table("settings", "Settings that were given", SETTINGS, "All settings have their defaults.");
  }

  status(sample) {
    const { status, latency } = sample;
    const slow = (row) => latency?.servers[row.server] ?? latency?.servers[`redis://${row.server}`];
    this.servers.fill(sample.servers.map((row) => ({ ...row, p50: slow(row)?.p50, p99: slow(row)?.p99 })));
    this.counters.fill(ODD.filter(([key]) => key in status).map(([key, title, bad]) => ({ title, value: status[key], bad })));
    if (!status.errors) this.errors.absent();
    else {
      const rows = Object.entries(status.errors).filter(([, total]) => total > 0);
      this.errors.fill(rows.sort(([, a], [, b]) => b - a).map(([code, total]) => ({ code, total, perS: sample.errors?.[code] })));
    }
  }

  /** What the other questions of main.js fill: path, pause in milliseconds, and who takes the answer. */
  questions() {
    return [
      ["/api/clients?limit=100", 2000, this.clients, ({ clients, total }) => {
        this.clients.fill(clients);
        note("clients", clients.length < total ? `${count(clients.length)} of ${count(total)}` : count(total));
      }],
      ["/api/slow", 2000, this.slow, ({ slow, threshold_ms }) => {
        const high = most(slow, "total_ms");
        this.slow.fill(slow.slice(0, 20).map((row) => ({ ...row, most: high })));
        note("slow", threshold_ms == null ? "" : `the newest above ${milliseconds(threshold_ms)}`);
      }],
      ["/api/hot", 5000, { absent: () => [this.hot, this.big].forEach((one) => one.absent()) }, ({ keys, big, sampled }) => {
        const high = most(keys, "share");
        this.hot.fill(keys.slice(0, 20).map((row) => ({ ...row, most: high })));
        this.big.fill((big ?? []).slice(0, 20));
        note("hot", sampled ? `by ${count(sampled)} samples` : "");
      }],
      ["/api/commands", 5000, this.commands, ({ commands }) => this.commands.fill(commands.filter((row) => row.count).slice(0, 20))],
      ["/api/config", 30000, this.settings, ({ settings }) => this.settings.fill(settings.filter((row) => row.origin !== "default"))],
    ];
  }
}

/** The numbers at the top, [title, value, level]. */
export function figures(sample) {
  const { status } = sample;
  const replicas = status.servers.filter(replica);
  const read = replicas.filter((row) => row.in);
  const sum = (rows, field) => rows.reduce((all, row) => all + (row[field] ?? 0), 0);
  const reads = sum(sample.servers, "readsPerS");
  const kinds = sample.kinds && Object.values(sample.kinds).reduce((all, value) => all + value, 0);
  const errors = sample.errors && Object.values(sample.errors).reduce((all, value) => all + value, 0);
  const seen = sample.measured ? (kinds ?? sum(sample.servers, "perS")) : null;
  return [
    ["commands/s", rate(seen)],
    ["reads on replicas", reads ? percent(sum(sample.servers.filter(replica), "readsPerS") / reads) : percent(null)],
    ["p50", milliseconds(sample.latency?.all?.p50)],
    ["p99", milliseconds(sample.latency?.all?.p99)],
    ["errors/s", rate(errors), errors > 0 ? "warn" : ""],
    ["clients", count(status.clients)],
    ["replicas read", replicas.length ? `${read.length} of ${replicas.length}` : "none", read.length < replicas.length ? "warn" : ""],
    ["writes lost", count(status.lost), status.lost ? "bad" : ""],
  ];
}

export function about(status) {
  const parts = [`up ${seconds(status.uptime_s)}`, `consistency ${status.consistency}`];
  if (status.discovery) parts.push(`discovery ${status.discovery}`);
  if (status.workers > 1) parts.push(`${count(status.workers)} workers`);
  return visible(parts.join(" · "));
}
