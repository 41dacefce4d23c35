// The live view: the metrics once a second, and the last minutes of them.

import { byId } from "./dom.js";
import { bars, lines, niceBytes } from "./chart.js";
import { bytes, count, duration, rate, seconds } from "./format.js";
import { Reading, growth, quantile } from "./metrics.js";

const EVERY_MS = 1000;
const SPAN_MS = 5 * 60 * 1000;
const DIRECTIONS = ["upload", "download"];
const ROUTES = ["assets", "other"];
const OPERATIONS = ["create_asset", "get_asset", "upload", "download"];
const LATENCY = "upstream_request_duration_seconds";
const CACHED = ["hit", "coalesced", "shared_hit"];

const readings = [];
let visible = false;
let view = null;

export function start() {
  view = build();
  byId("charts").append(...Object.values(view).map(({ node }) => node));
  poll();
}

/** Whether the view is the one that is seen: what isn't seen isn't drawn. */
export function shown(is) {
  visible = is;
  if (visible) draw();
}

/** Says in the header whether the gateway is there. */
export function linked(state, text = state) {
  byId("link").dataset.state = state;
  if (byId("link-text").textContent !== text) byId("link-text").textContent = text;
}

async function poll() {
  try {
    const response = await fetch("/_try/metrics", { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    const reading = new Reading(await response.text(), Date.now());
    if (reading.of("draining").length === 0) throw new Error("these are no metrics");
    readings.push(reading);
    while (reading.at - readings[0].at > SPAN_MS) readings.shift();
    linked("online", "connected");
    if (visible && !document.hidden) draw();
  } catch {
    linked(navigator.onLine ? "gone" : "offline", navigator.onLine ? "no gateway" : "offline");
  }
  setTimeout(poll, EVERY_MS);
}

function build() {
  return {
    throughput: lines("Throughput", DIRECTIONS, rate, { floor: 1024, scale: niceBytes }),
    flight: lines(
      "Transfers in flight",
      DIRECTIONS,
      (value) => count(Math.round(value * 100) / 100),
      { floor: 1, steps: true },
    ),
    cache: lines("Cache hit rate", ["signed URLs"], percent, { most: 1 }),
    budget: lines("eGain calls left", ROUTES, (value) => count(Math.round(value)), {
      steps: true,
      plain: true,
    }),
    latency: lines("Upstream latency", OPERATIONS, (value) => duration(value * 1000), {
      most: 10,
      decades: 5,
      plain: true,
    }),
    refusals: bars("Refusals by code", "None in the last five minutes."),
  };
}

const percent = (value) => `${Math.round(value * 100)} %`;

function draw() {
  const now = Date.now();
  const first = readings[0];
  // The first minutes fill the picture, too.
  const age = Math.ceil((now - (first?.at ?? now)) / 60000);
  const time = { now, span: Math.min(Math.max(age, 1) * 60000, SPAN_MS) };
  const last = readings.at(-1);
  if (!last) return;
  // Each point is what happened between two readings.
  const between = (values) =>
    readings.slice(1).map((after, at) => {
      const before = readings[at];
      return { at: after.at, values: values(before, after, (after.at - before.at) / 1000) };
    });
  const moment = (values) =>
    readings.map((reading) => ({ at: reading.at, values: values(reading) }));

  const moved = DIRECTIONS.map(
    (direction) => `${direction}s ${bytes(last.sum("transfer_bytes_total", { direction }))}`,
  );
  view.throughput.show(
    between((before, after, s) =>
      DIRECTIONS.map(
        (direction) => growth(before, after, "transfer_bytes_total", { direction }) / s,
      ),
    ),
    time,
    `Since the start: ${moved.join(", ")}.`,
  );

  const flying = (reading, direction) => reading.sum("transfers_in_flight", { direction });
  const peak = (direction) => Math.max(...readings.map((reading) => flying(reading, direction)));
  const peaks = DIRECTIONS.map((direction) => `${direction}s ${peak(direction)}`);
  view.flight.show(
    moment((reading) =>
      DIRECTIONS.map((direction) => reading.sum("transfers_in_flight", { direction })),
    ),
    time,
    `At most in view: ${peaks.join(", ")}.`,
  );

  const { hits, all } = lookups(first, last);
  view.cache.show(
    between((before, after) => {
      const here = lookups(before, after);
      return [here.all > 0 ? here.hits / here.all : null];
    }),
    time,
    all > 0
      ? `${count(hits)} of ${count(all)} lookups in view were hits.`
      : "No lookup in view: read some metadata, or download.",
    [all > 0 ? hits / all : null],
  );

  const pause = Math.max(...ROUTES.map((routes) => last.sum("upstream_pause_seconds", { routes })));
  view.budget.show(
    moment((reading) => ROUTES.map((routes) => reading.sum("upstream_budget_tokens", { routes }))),
    time,
    pause > 0
      ? `eGain asked for a pause: ${seconds(pause)} left.`
      : "Calls that can be made at once, by routes.",
  );

  view.latency.show(
    between((before, after) =>
      OPERATIONS.map((operation) => {
        const calls = growth(before, after, `${LATENCY}_count`, { operation });
        return calls > 0 ? growth(before, after, `${LATENCY}_sum`, { operation }) / calls : null;
      }),
    ),
    time,
    "Numbers: the 95th percentile in view. Points: the mean of each second, in powers of ten.",
    OPERATIONS.map((operation) => quantile(first, last, LATENCY, { operation }, 0.95)),
  );

  const refused = [...last.by("rejected_total", "code")].map(([code]) => [
    code,
    growth(first, last, "rejected_total", { code }),
    last.sum("rejected_total", { code }),
  ]);
  view.refusals.show(
    refused
      .filter(([, recent]) => recent > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([code, recent, ever]) => [
        code,
        recent,
        `${count(recent)}${ever > recent ? ` (${count(ever)} ever)` : ""}`,
      ]),
  );
}

function lookups(before, after) {
  const of = (result) => growth(before, after, "url_cache_requests_total", { result });
  const hits = CACHED.reduce((sum, result) => sum + of(result), 0);
  return { hits, all: hits + of("miss") };
}
