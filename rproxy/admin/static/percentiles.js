// Owns what a histogram says: differences of cumulative counts, and percentiles of them. Called by samples.js. Never keeps anything.

/** The counts of the series of `kind` and `server` (null: of all) between two states of the cumulative histograms; null where there is no histogram. */
export function difference(before, after, kind = null, server = null) {
  if (!after?.series) return null;
  const total = new Array(after.bounds_ms.length + 1).fill(0);
  for (const series of after.series) {
    if ((kind && series.kind !== kind) || (server && series.server !== server)) continue;
    const old = before?.series?.find((one) => one.kind === series.kind && one.server === series.server);
    series.counts.forEach((value, index) => (total[index] += Math.max(0, value - (old?.counts[index] ?? 0))));
  }
  return total;
}

/** The value under which a share of what was counted lies, straight between the bounds of its bucket; above the last bound, that bound; null of nothing. */
export function percentile(bounds, counts, share) {
  const all = counts.reduce((sum, value) => sum + value, 0);
  if (!all) return null;
  let rest = share * all;
  for (let index = 0; index < bounds.length; index += 1) {
    if (counts[index] >= rest && counts[index] > 0) {
      const low = index ? bounds[index - 1] : 0;
      return low + (bounds[index] - low) * (rest / counts[index]);
    }
    rest -= counts[index];
  }
  return bounds[bounds.length - 1];
}

/** {p50, p95, p99}, null where nothing was counted. */
export function percentiles(bounds, counts) {
  return counts && { p50: percentile(bounds, counts, 0.5), p95: percentile(bounds, counts, 0.95), p99: percentile(bounds, counts, 0.99) };
}
