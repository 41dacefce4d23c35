// What the sandbox saw: asked for after each thing that the page does, and now and then between.

import { byId, el } from "./dom.js";
import { bytes, clock, duration, many } from "./format.js";

const EVERY_MS = 2000;
const MOST_SHOWN = 60;

let seen = { recent: [], faults: [], assets: [], operations: {} };
let newest = -1;
const listeners = [];

/** Calls `listener` with the sandbox's state each time that it is read. */
export function onSeen(listener) {
  listeners.push(listener);
}

/** Reads the sandbox's state now. */
export async function refresh() {
  try {
    const response = await fetch("/_try/sandbox", { cache: "no-store" });
    if (response.ok) seen = await response.json();
  } catch {
    return; // The link in the header says that the gateway is gone.
  }
  show();
  for (const listener of listeners) listener(seen);
}

/** What belongs to an upload before its asset has an id. */
const BEFORE_AN_ID = ["token", "create_asset"];

/**
 * The calls for a file: those that name its asset, and those between `began` and `until` that name
 * none. A refused upload may have created assets that were deleted again: all that are no other's.
 */
export function callsOf(began, until, id) {
  const within = (call) => call.began_ms >= began - 5 && call.began_ms <= until;
  const own = (call) => {
    if (id && call.id) return call.id === id;
    if (!within(call)) return false;
    return call.id
      ? ["create_asset", "upload", "delete_asset"].includes(call.operation)
      : BEFORE_AN_ID.includes(call.operation);
  };
  return seen.recent.filter(own);
}

export function start() {
  refresh();
  setInterval(() => {
    if (!document.hidden) refresh();
  }, EVERY_MS);
}

function show() {
  const calls = Object.values(seen.operations).reduce((sum, each) => sum + each.calls, 0);
  byId("seen-sum").textContent = [
    many(calls, "call"),
    many(seen.assets.length, "asset"),
    `${bytes(seen.bytes_received ?? 0)} in`,
    `${bytes(seen.bytes_sent ?? 0)} out`,
  ].join(", ");
  // A row that hasn't changed stays, so that a selection or a screen reader's place does, too.
  const last = seen.recent.at(-1);
  const mark = last
    ? `${last.number} ${seen.recent.filter((call) => call.duration_us === null).length}`
    : "";
  if (mark === newest) return;
  newest = mark;
  const rows = seen.recent.slice(-MOST_SHOWN).reverse().map(row);
  const none = el("tr", {}, el("td", { colspan: "5", class: "hint" }, "No call yet."));
  byId("calls").replaceChildren(...(rows.length ? rows : [none]));
}

function row(call) {
  const open = call.duration_us === null;
  const status = call.status ?? (open ? "running" : "cut");
  const kind = open ? "open" : call.status === null || call.status >= 400 ? "bad" : "good";
  return el(
    "tr",
    {},
    el("td", { class: "time" }, clock(call.began_ms)),
    el("td", {}, el("code", {}, call.operation)),
    el(
      "td",
      {},
      el("span", { class: `status ${kind}` }, String(status)),
      call.faulted ? el("span", { class: "chip fault" }, "fault") : null,
    ),
    el("td", { class: "number" }, open ? "…" : duration(call.duration_us / 1000)),
    el("td", {}, el("code", { title: call.id }, call.id ? call.id.slice(0, 8) : "")),
  );
}
