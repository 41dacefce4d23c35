// How the results of a request read: tables, the timing bar, refusals, bytes.

import { copyButton, el, svg } from "./dom.js";
import { bytes, count, duration, pretty } from "./format.js";

const SOURCES = {
  declared: "the request said it",
  lookahead: "the whole file was in the look-ahead",
  derived: "computed from the form’s Content-Length",
  spooled: "measured while the form was spooled",
};
const STAGES = {
  read: "reading from you",
  budget: "waiting for a call",
  sign: "eGain’s response",
  store: "storage",
  rest: "the way, and all else",
};
const LIMITS = {
  "egain-maximum": "eGain’s maximum",
  "egain-channel": "the channel’s rule at eGain",
  setting: "a setting of the gateway",
};
const BLAME = {
  caller: "you, the caller",
  gateway: "the gateway’s operator",
  egain: "eGain",
  storage: "eGain’s storage",
};

/** What became of a file that is stored; `digest` is its own, or null. */
export function factsOf(upload, asset, digest) {
  const rows = [
    ["Type", change(upload.type, asset.contentType, "claimed", "found in its bytes")],
    ["Name", change(upload.name, asset.name, "sent", "stored")],
    ["Size", `${bytes(asset.size)} (${count(asset.size)} bytes)`],
    ["Length", [el("code", {}, asset.lengthSource), ` ${SOURCES[asset.lengthSource] ?? ""}`]],
    ["Channel", `${asset.channel}, ${asset.sender}`],
    ["Id", [el("code", {}, asset.id), copyButton(() => asset.id)]],
  ];
  if (asset.sha256) {
    const same =
      digest === null
        ? ""
        : digest === asset.sha256
          ? " ✓ the same as this file’s"
          : " ✗ not this file’s";
    rows.push(["SHA-256", [el("code", {}, `${asset.sha256.slice(0, 16)}…`), same]]);
  }
  return table(rows);
}

/** Why it was refused, who acts, and whether a retry helps. */
export function reasonsOf(problem, headers) {
  const rows = [
    ["Who acts", BLAME[problem.blame] ?? problem.blame ?? "unknown"],
    ["While", problem.stage ?? "unknown"],
  ];
  const wait = headers.get("Retry-After");
  rows.push([
    "Retry",
    problem.retryable
      ? wait
        ? `yes, after ${wait} s`
        : "yes"
      : "no, the same request fails again",
  ]);
  if (problem.limit) {
    const { source, max_size: most, allowed } = problem.limit;
    rows.push([
      "Limit",
      [
        most == null ? "" : `${bytes(most)} (${count(most)} bytes) `,
        allowed ? `allowed: ${allowed.join(", ") || "nothing"} ` : "",
        `set by ${LIMITS[source] ?? source}`,
      ],
    ]);
  }
  if (problem.upstream) {
    const { status, code, developerMessage: message } = problem.upstream;
    rows.push(["Upstream", [status, code, message].filter(Boolean).join(" · ")]);
  }
  rows.push(["Request id", el("code", {}, problem.requestId ?? headers.get("X-Request-Id") ?? "")]);
  return table(rows);
}

export function code(text) {
  return el("pre", { tabindex: "0" }, text);
}

export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function table(rows) {
  return el(
    "dl",
    { class: "facts" },
    rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** What was said, and what it became if that is something else. */
function change(before, after, said, became) {
  if (
    before.split(";")[0].toLowerCase() === after.split(";")[0].toLowerCase() ||
    before === after
  ) {
    return [el("bdi", {}, after), el("span", { class: "hint" }, ` as ${said}`)];
  }
  return el(
    "span",
    { class: "changed" },
    el("del", {}, el("bdi", {}, before)),
    el("span", { class: "hint" }, ` ${said} `),
    el("ins", {}, el("bdi", {}, after)),
    el("span", { class: "hint" }, ` ${became}`),
  );
}

export function timingBar(stages, total) {
  const known = stages.reduce((sum, each) => sum + each.ms, 0);
  const all = [...stages, { stage: "rest", ms: Math.max(total - known, 0) }];
  const width = Math.max(known, total);
  let at = 0;
  const bars = all.map(({ stage, ms }) => {
    const bar = svg("rect", {
      class: `stage-${stage}`,
      x: (1000 * at) / width,
      width: Math.max((1000 * ms) / width, 0),
      y: 0,
      height: 12,
    });
    at += ms;
    return bar;
  });
  const told = all.map(({ stage, ms }) => `${stage} ${duration(ms)}`).join(", ");
  return el(
    "div",
    { class: "timing" },
    el("h4", {}, `Time: ${duration(total)}`),
    svg(
      "svg",
      { viewBox: "0 0 1000 12", preserveAspectRatio: "none", role: "img", "aria-label": told },
      bars,
    ),
    el(
      "ul",
      {},
      all.map(({ stage, ms }) =>
        el(
          "li",
          {},
          el("span", { class: `key stage-${stage}`, "aria-hidden": "true" }),
          el(
            "span",
            {},
            stage === "rest" ? STAGES.rest : [el("code", {}, stage), ` ${STAGES[stage] ?? ""}`],
          ),
          el("span", { class: "number" }, duration(ms)),
        ),
      ),
    ),
  );
}

export function exchangeLine(asked, response, names) {
  const told = names
    .filter((name) => response.headers.get(name))
    .map((name) => `${name}: ${response.headers.get(name)}`);
  return code(
    [
      ...asked.split("\n").map((line) => `> ${line}`),
      `< ${response.status} ${response.statusText}`,
      ...told.map((line) => `< ${line}`),
    ].join("\n"),
  );
}

export function refusal(response, text) {
  const problem = parse(text);
  return el(
    "div",
    { class: "warn" },
    el(
      "p",
      {},
      el("strong", {}, `${response.status} ${problem.code ?? ""} `),
      problem.detail ?? response.statusText,
    ),
    code(pretty(text)),
  );
}

/** As `od -c` would, in hexadecimal: 16 bytes a line. */
export function dump(part) {
  const lines = [];
  for (let at = 0; at < part.length; at += 16) {
    const row = Array.from(part.subarray(at, at + 16));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row
      .map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"))
      .join("");
    lines.push(`${String(at).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
