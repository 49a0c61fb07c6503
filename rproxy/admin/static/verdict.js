// Owns the sentence at the top: is all well, and if not, what. Called by main.js. Never draws.
import { few, seconds } from "./format.js";

export function verdict(status) {
  const replicas = status.servers.filter((row) => row.role === "replica");
  const out = replicas.filter((row) => !row.in);
  const details = out.map((row) => ({ name: row.server, why: row.why }));
  const found = [];
  if (!status.settled) found.push(["bad", `Nobody knows who leads; ${status.leader} was the last. Writes wait, then get an error.`]);
  else if (!status.leader_up) {
    found.push(["bad", `The leader ${status.leader} is away. Writes wait, then get an error; reads go on from replicas.`]);
    const leader = status.servers.find((row) => row.role === "leader");
    if (leader) details.unshift({ name: leader.server, why: leader.why });
  }
  if (replicas.length && out.length === replicas.length) found.push(["bad", "No replica is read: the leader answers what it may."]);
  else if (out.length) found.push(["warn", `${few(out.length, "replica is", "replicas are")} out; ${few(replicas.length - out.length, "other is", "others are")} read.`]);
  if (status.paused_s > 0) found.push(["warn", `Clients are held, for ${seconds(Math.ceil(status.paused_s / 10) * 10)} at most: rproxy resume lets them go on.`]);
  if (status.takeover) found.push(["warn", "Another rproxy serves too: until it has gone the leader answers all reads that must be fresh."]);
  const mute = status.servers.filter((row) => row.silent && row.in);
  if (mute.length) found.push(["warn", `${mute.map((row) => row.server).join(", ")}: owes replies and sends nothing.`]);
  if (!found.length) {
    const read = replicas.length ? `${few(replicas.length, "replica is", "replicas are")} read` : "it has no replicas";
    return { level: "good", headline: `All is well: ${status.leader} leads, ${read}.`, details };
  }
  const level = found.some(([one]) => one === "bad") ? "bad" : "warn";
  return { level, headline: found.map(([, text]) => text).join(" "), details };
}

/** The same words as long as it lasts, since changes are read aloud. `last`: when it answered last, null where it never did. */
export function lost(why, last) {
  const when = last ? ` It answered last at ${last}; what stands below is from then.` : "";
  return { level: "bad", headline: `rproxy cannot be reached: ${why}.${when}`, details: [] };
}
