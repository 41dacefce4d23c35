// The gateway's metrics: Prometheus text to numbers, and what changed between two readings.

const PREFIX = "asset_gateway_";
const LINE = /^asset_gateway_(\w+?)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** One reading: all samples by name, and when. */
export class Reading {
  constructor(text, at) {
    this.at = at;
    this.samples = new Map();
    for (const line of text.split("\n")) {
      if (!line.startsWith(PREFIX)) continue;
      const [, name, labels = "", value] = LINE.exec(line) ?? [];
      if (!name) continue;
      if (!this.samples.has(name)) this.samples.set(name, []);
      this.samples.get(name).push({
        labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, text]) => [key, text])),
        value: Number(value),
      });
    }
  }

  /** The samples of a metric with these labels. */
  of(name, labels = {}) {
    const fits = (sample) =>
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
    return (this.samples.get(name) ?? []).filter(fits);
  }

  sum(name, labels = {}) {
    return this.of(name, labels).reduce((sum, sample) => sum + sample.value, 0);
  }

  /** A metric's values by one label. */
  by(name, label, labels = {}) {
    const sums = new Map();
    for (const sample of this.of(name, labels)) {
      const key = sample.labels[label];
      sums.set(key, (sums.get(key) ?? 0) + sample.value);
    }
    return sums;
  }
}

/** How much a counter grew; a gateway that was restarted begins at zero again. */
export function growth(before, after, name, labels = {}) {
  const change = after.sum(name, labels) - before.sum(name, labels);
  return change >= 0 ? change : after.sum(name, labels);
}

/** A quantile in seconds of what a histogram counted between two readings, or null for nothing. */
export function quantile(before, after, name, labels, part) {
  const old = before.by(`${name}_bucket`, "le", labels);
  const buckets = [...after.by(`${name}_bucket`, "le", labels)]
    .map(([le, value]) => ({
      le: le === "+Inf" ? Infinity : Number(le),
      value: Math.max(value - (old.get(le) ?? 0), 0),
    }))
    .sort((a, b) => a.le - b.le);
  const total = buckets.at(-1)?.value ?? 0;
  if (total === 0) return null;
  const rank = part * total;
  let low = { le: 0, value: 0 };
  for (const bucket of buckets) {
    if (bucket.value >= rank) {
      if (bucket.le === Infinity) return low.le;
      return (
        low.le +
        ((bucket.le - low.le) * (rank - low.value)) / Math.max(bucket.value - low.value, 1e-9)
      );
    }
    low = bucket;
  }
  return low.le;
}
