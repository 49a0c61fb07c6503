// Owns the drawing of clients, rproxy and servers, with live traffic on its edges. Called by main.js. Never shows a stranger's word but as text.
import { bytes, few, milliseconds, rate, visible } from "./format.js";
import { follow, layout, way } from "./layout.js";

const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes = {}, words = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (words !== null) element.textContent = words;
  parent.append(element);
  return element;
}

function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** As wide and as fast as there is traffic, both by its magnitude. */
function flow(path, perS) {
  const size = Math.log10(1 + (perS ?? 0));
  path.style.strokeWidth = perS ? `${1.5 + size * 1.1}px` : "0";
  const pace = Math.round(Math.max(0.35, 2.2 - size * 0.45) * 5) / 5;
  if (path.style.animationDuration !== `${pace}s`) path.style.animationDuration = `${pace}s`;
}

export class Topology {
  constructor(box) {
    this.box = box;
    this.shape = "";
    new ResizeObserver(() => this.latest && this.show(this.latest)).observe(box);
  }

  show(sample) {
    this.latest = sample;
    const rows = sample.servers;
    const room = Math.floor(this.box.clientWidth);
    const shape = JSON.stringify([room, rows.map((row) => [row.server, row.role])]);
    if (shape !== this.shape) this.build(room, rows);
    this.shape = shape;
    this.update(sample, rows);
  }

  build(room, rows) {
    const places = layout(room, rows.length);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${places.width} ${places.height}`);
    svg.setAttribute("width", places.width);
    svg.setAttribute("height", places.height);
    svg.setAttribute("role", "img");
    const [edges, nodes] = [draw(svg, "g", { class: "edges" }), draw(svg, "g", { class: "nodes" })];
    const leader = rows.findIndex((row) => row.role === "leader");
    this.svg = svg;
    this.clients = this.node(nodes, places.clients, "clients");
    this.rproxy = this.node(nodes, places.rproxy, "rproxy");
    this.entry = this.edge(edges, places.clients, places.rproxy, places.wide);
    this.servers = rows.map((row, index) => {
      const place = places.servers[index];
      const arrow = row.role === "replica" && leader >= 0 && places.wide ? draw(edges, "path", { class: "follows", d: follow(places.servers[leader], place, true) }) : null;
      return { node: this.node(nodes, place, row.role, true), edge: this.edge(edges, places.rproxy, place, places.wide), arrow };
    });
    this.wide = places.wide;
    this.box.replaceChildren(svg);
  }

  node(parent, place, kind, chip = false) {
    const group = draw(parent, "g", { class: `node ${kind}`, transform: `translate(${place.x},${place.y})` });
    const title = draw(group, "title", {}, "");
    draw(group, "rect", { class: "box", width: place.width, height: place.height, rx: 9 });
    if (chip) draw(group, "rect", { class: "side", width: 4, height: place.height - 18, x: 0, y: 9, rx: 2 });
    const name = draw(group, "text", { class: "name", x: 16, y: 25 }, "");
    const state = chip ? draw(group, "text", { class: "state", x: place.width - 14, y: 25, "text-anchor": "end" }, "") : null;
    const fact = draw(group, "text", { class: "fact", x: 16, y: 46 }, "");
    const more = place.height > 70 ? draw(group, "text", { class: "fact", x: 16, y: 66 }, "") : null;
    return { group, title, name, state, fact, more, letters: Math.floor((place.width - (chip ? 110 : 24)) / 7.6) };
  }

  edge(parent, from, to, wide) {
    const group = draw(parent, "g", { class: "edge" });
    draw(group, "path", { class: "base", d: way(from, to, wide) });
    const reads = draw(group, "path", { class: "reads flow", d: way(from, to, wide, -3) });
    const writes = draw(group, "path", { class: "writes flow", d: way(from, to, wide, 3) });
    const label = wide
      ? draw(group, "text", { class: "label", x: to.x - 12, y: to.y + to.height / 2 + (to.y + to.height / 2 > from.y + from.height / 2 + 4 ? 20 : -11), "text-anchor": "end" }, "")
      : draw(group, "text", { class: "label", x: from.x + 30, y: (from.y + from.height + to.y) / 2 + 4 }, "");
    if (!wide && to.x !== from.x) label.remove(); // beside the rail there is no room: the node says it
    return { group, reads, writes, label };
  }

  update(sample, rows) {
    const { status } = sample;
    const sum = (field) => (sample.measured ? rows.reduce((all, row) => all + (row[field] ?? 0), 0) : null);
    const [reads, writes] = [sum("readsPerS"), sum("writesPerS")];
    say(this.clients.name, "Clients");
    say(this.clients.fact, few(status.clients, "connection", "connections"));
    say(this.rproxy.name, "rproxy");
    say(this.rproxy.fact, `${rate(reads === null ? null : reads + writes)} commands/s`);
    if (this.rproxy.more) say(this.rproxy.more, `consistency ${status.consistency}`);
    this.carry(this.entry, reads, writes);
    this.svg.classList.toggle("held", status.paused_s > 0);
    rows.forEach((row, index) => this.server(this.servers[index], row));
    const told = rows.map((row) => `${row.role} ${row.server} ${row.in ? "in" : "out"}, ${rate(row.perS)} commands per second`);
    this.svg.setAttribute("aria-label", `${few(status.clients, "client", "clients")}, rproxy, ${told.join("; ")}`);
  }

  server({ node, edge, arrow }, row) {
    const name = visible(row.server);
    const silent = row.in && row.silent;
    say(node.name, name.length > node.letters ? `${name.slice(0, node.letters - 1)}…` : name);
    say(node.title, `${name}: ${visible(row.why)}`);
    say(node.state, `${row.role}, ${silent ? "silent" : row.in ? "in" : "out"}`);
    node.group.classList.toggle("out", !row.in);
    node.group.classList.toggle("silent", silent);
    edge.group.classList.toggle("out", !row.in);
    arrow?.classList.toggle("out", !row.in);
    const facts = row.in ? [milliseconds(row.latency_ms)] : [visible(row.why)];
    if (row.in && row.role === "replica") facts.push(`lag ${bytes(row.lag_bytes)}`);
    if (row.in && row.role === "replica" && row.fresh !== null) facts.push(row.fresh ? "has all" : "catching up");
    if (!this.wide && row.in) facts.unshift(`${rate(row.perS)}/s`);
    const line = facts.join(" · ");
    const most = Math.floor((node.letters + 11) * 1.15);
    say(node.fact, line.length > most ? `${line.slice(0, most - 1)}…` : line);
    this.carry(edge, row.readsPerS, row.writesPerS);
  }

  carry(edge, reads, writes) {
    flow(edge.reads, reads);
    flow(edge.writes, writes);
    const parts = [];
    if (reads) parts.push(`${rate(reads)} reads/s`);
    if (writes) parts.push(`${rate(writes)} writes/s`);
    say(edge.label, parts.join(" · "));
  }
}
