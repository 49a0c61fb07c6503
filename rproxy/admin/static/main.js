// Owns the page's way from question to drawing. Called by the browser. Never formats and never counts: the others do.
import { CHARTS, Chart } from "./charts.js";
import { visible } from "./format.js";
import { Panels, about, figures } from "./panels.js";
import { poll } from "./polling.js";
import { Samples } from "./samples.js";
import { Topology } from "./topology.js";
import { lost, verdict } from "./verdict.js";

const $ = (id) => document.getElementById(id);
const samples = new Samples();
const topology = new Topology($("topology"));
const panels = new Panels();
const charts = CHARTS.map((chart) => new Chart($("charts"), chart));
let range = 300;
let answered = null;

/** Written only when it changes: it is read aloud. */
function say({ level, headline, details }) {
  const box = $("verdict");
  const shown = JSON.stringify([level, headline, details]);
  if (box.dataset.shown === shown) return;
  box.dataset.shown = shown;
  box.dataset.level = level;
  box.querySelector(".headline").textContent = visible(headline);
  box.querySelector(".details").replaceChildren(...details.map(({ name, why }) => {
    const item = document.createElement("li");
    const who = document.createElement("b");
    who.textContent = visible(name);
    item.append(who, ` ${visible(why)}`);
    return item;
  }));
  document.title = level === "good" ? "rproxy" : "● rproxy";
}

function show(numbers) {
  const box = $("figures");
  if (box.children.length !== numbers.length) {
    box.replaceChildren(...numbers.map(([title]) => {
      const [group, name, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      name.textContent = title;
      group.append(name, value);
      return group;
    }));
  }
  numbers.forEach(([, value, level], index) => {
    box.children[index].className = level ?? "";
    box.children[index].lastChild.textContent = value;
  });
}

function draw() {
  if (samples.last) charts.forEach((chart) => chart.show(samples, range));
}

function got(status) {
  answered = new Date();
  document.body.classList.remove("lost");
  const sample = samples.add(status, Date.now() / 1000);
  $("version").textContent = status.version ?? "";
  $("about").textContent = about(status);
  say(verdict(status));
  show(figures(sample));
  topology.show(sample);
  panels.status(sample);
  draw();
}

function failed(why) {
  document.body.classList.add("lost");
  say(lost(why, answered?.toLocaleTimeString("en-GB")));
}

for (const button of document.querySelectorAll("[data-range]")) {
  button.addEventListener("click", () => {
    range = Number(button.dataset.range);
    for (const one of document.querySelectorAll("[data-range]")) one.setAttribute("aria-pressed", String(one === button));
    draw();
  });
}
document.addEventListener("theme", draw);
poll("/api/status", 1000, { got, failed });
for (const [path, pause, table, fill] of panels.questions()) poll(path, pause, { got: fill, absent: () => table.absent() });
