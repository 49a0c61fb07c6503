// Owns tables: made once, then only what changed is written. Called by panels.js. Never takes a word for anything but text.
import { visible } from "./format.js";

const LONGEST = 160;

/** A table in `box`. Each column: {title, cell(row) -> text, number?, className?(row), draw?(td, row)}. */
export class Table {
  constructor(box, title, columns, none) {
    this.columns = columns;
    this.box = box;
    this.none = none;
    this.message = document.createElement("p");
    this.message.className = "empty";
    this.message.textContent = "Nothing yet.";
    this.room = document.createElement("div");
    this.room.className = "scroll";
    this.room.hidden = true;
    const table = document.createElement("table");
    table.createCaption().textContent = title;
    const head = table.createTHead().insertRow();
    for (const column of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = column.title;
      if (column.number) cell.className = "number";
      head.append(cell);
    }
    this.body = table.createTBody();
    this.room.append(table);
    box.append(this.room, this.message);
    new ResizeObserver(() => this.reach(title)).observe(this.room);
  }

  /** A table that is wider than its room can be scrolled by the keyboard too. */
  reach(title) {
    if (this.room.scrollWidth > this.room.clientWidth + 1) {
      this.room.tabIndex = 0;
      this.room.setAttribute("role", "region");
      this.room.setAttribute("aria-label", `${title}, scrolls`);
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) this.room.removeAttribute(name);
    }
  }

  fill(rows) {
    this.room.hidden = !rows.length;
    this.message.textContent = rows.length ? "" : this.none;
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    rows.forEach((row, index) => this.write(this.body.rows[index] ?? this.row(), row));
  }

  row() {
    const line = this.body.insertRow();
    for (const column of this.columns) line.insertCell().className = column.number ? "number" : "";
    return line;
  }

  write(line, row) {
    this.columns.forEach((column, index) => {
      const cell = line.cells[index];
      if (column.className) cell.className = `${column.number ? "number " : ""}${column.className(row)}`;
      if (column.draw) column.draw(cell, row);
      else if (column.cell) text(cell, column.cell(row));
    });
  }

  absent() {
    this.room.hidden = true;
    this.message.textContent = "Not available: this rproxy does not tell it.";
  }
}

function text(cell, words) {
  const shown = visible(words);
  const short = shown.length > LONGEST ? `${shown.slice(0, LONGEST)}…` : shown;
  if (cell.textContent !== short) cell.textContent = short;
  const full = short === shown ? "" : shown.slice(0, 2000);
  if (cell.title !== full) cell.title = full;
}

/** A bar of parts, each a share of `most`, with a text beside it. */
export function bar(cell, parts, most, words) {
  if (!cell.firstChild) {
    const strip = document.createElement("span");
    strip.className = "bar";
    strip.append(...parts.map(({ className }) => Object.assign(document.createElement("i"), { className })));
    cell.append(strip, document.createElement("span"));
  }
  parts.forEach(({ value }, index) => (cell.firstChild.children[index].style.width = `${most ? Math.min(100, (100 * value) / most) : 0}%`));
  cell.lastChild.textContent = words;
}
