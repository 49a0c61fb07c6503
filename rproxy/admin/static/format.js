// Owns how numbers, times and strangers' words are written. Called by all that show something. Never makes an element.
export const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return value == null ? NONE : whole.format(value);
}

/** At most three digits that say something: 0.42, 7.1, 38, 1,240, 12.4k. */
export function rate(value) {
  if (value == null) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  if (value >= 10 || value === 0) return whole.format(value);
  return value.toFixed(1);
}

export function milliseconds(value) {
  if (value == null) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 ms";
  if (size < 1) return `${(value * 1000).toFixed(0)} µs`;
  if (size < 10) return `${value.toFixed(1)} ms`;
  if (size < 1000) return `${value.toFixed(0)} ms`;
  return seconds(value / 1000);
}

export function seconds(value) {
  if (value == null) return NONE;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${value.toFixed(0)} s`;
  if (value < 7200) return `${(value / 60).toFixed(0)} min`;
  if (value < 172800) return `${(value / 3600).toFixed(0)} h`;
  return `${(value / 86400).toFixed(0)} d`;
}

export function bytes(value) {
  if (value == null) return NONE;
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(size) < 1000 || unit === "GB") return `${size < 10 && unit !== "B" ? size.toFixed(1) : size.toFixed(0)} ${unit}`;
    size /= 1000;
  }
}

export function percent(share) {
  return share == null ? NONE : `${(share * 100).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
}

export function clock(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString("en-GB");
}

/** A stranger's word as it can be looked at: nothing invisible, nothing that turns the line around. */
export function visible(word) {
  return String(word ?? "").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);
}

export function few(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
