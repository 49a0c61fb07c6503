// Owns where each node of the drawing stands, for the room that there is. Called by topology.js. Never makes an element.
const GAP = 16;
const NODE = { width: 268, height: 62 };

/** Boxes {x, y, width, height} of the clients, of rproxy and of each server, and the drawing's size. Narrow rooms get a column in place of a row. */
export function layout(room, servers) {
  return room < 700 ? column(room, servers) : row(room, servers);
}

function row(room, servers) {
  const stack = servers * (NODE.height + GAP) - GAP;
  const height = Math.max(stack, 120) + 2 * GAP;
  const margin = 74; // for the arrows of replication
  const width = Math.min(room, 1180);
  const left = (room - width) / 2;
  const middle = height / 2;
  const right = left + width - NODE.width - margin;
  return {
    wide: true, width: room, height,
    clients: { x: left, y: middle - 34, width: 132, height: 68 },
    rproxy: { x: left + (right - left) * 0.42 - 20, y: middle - 46, width: 164, height: 92 },
    servers: Array.from({ length: servers }, (_, index) => ({ x: right, y: middle - stack / 2 + index * (NODE.height + GAP), ...NODE })),
  };
}

function column(room, servers) {
  const rail = 34;
  const low = 220;
  return {
    wide: false, width: room, height: low + servers * 78,
    clients: { x: 0, y: 1, width: room - 1, height: 62 },
    rproxy: { x: 0, y: 104, width: room - 1, height: 84 },
    servers: Array.from({ length: servers }, (_, index) => ({ x: rail, y: low + index * 78, width: room - rail - 1, height: 64 })),
  };
}

/** The way from box to box; `shift` moves it aside, so that reads and writes lie beside each other. */
export function way(from, to, wide, shift = 0) {
  if (wide) {
    const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2 + shift, to.x, to.y + to.height / 2 + shift];
    const bend = (x2 - x1) * 0.45;
    return `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
  }
  if (to.x === from.x) return `M${from.x + 14 + shift},${from.y + from.height} V${to.y}`;
  const x = from.x + 14 + shift;
  return `M${x},${from.y + from.height} V${to.y + to.height / 2 + shift - 8} q0,8 8,8 H${to.x}`;
}

/** From the leader's side to a replica's, past the other servers. */
export function follow(leader, replica, wide) {
  if (!wide) return "";
  const reach = 18 + Math.min(38, Math.abs(replica.y - leader.y) / 5);
  const x = leader.x + leader.width;
  const [y1, y2] = [leader.y + leader.height / 2, replica.y + replica.height / 2];
  return `M${x},${y1} C${x + reach},${y1} ${x + reach},${y2} ${x + 3},${y2}`;
}
