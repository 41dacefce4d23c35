// Faults to play with: each is what the sandbox's control takes, with what an adapter will meet.

import { announce, byId, el, note } from "./dom.js";
import { onSeen, refresh } from "./sandbox.js";

const FAULTS = [
  {
    group: "Uploads",
    name: "Storage is slow",
    hint: "Storage responds 3 s late. The upload succeeds; the time is in the stage “store”.",
    fault: { at: "upload", delay: "3s" },
  },
  {
    group: "Uploads",
    name: "Storage breaks off",
    hint: [
      "The connection is cut after 100 kB. A file that the gateway still holds is sent once more,",
      "unseen; of a larger one the asset is deleted, and the response says to retry.",
    ].join(" "),
    fault: { at: "upload", cut_after: 100000 },
  },
  {
    group: "Uploads",
    name: "The upload’s signed URL has expired",
    hint: "Storage responds with 403. The gateway asks for a fresh URL if it still holds the file.",
    fault: { at: "upload", status: 403 },
  },
  {
    group: "Uploads",
    name: "eGain: too many calls (429)",
    hint: "All calls pause for 3 s. This one waits, or gets 503 with Retry-After.",
    fault: { at: "create_asset", status: 429, headers: { "retry-after": "3" } },
  },
  {
    group: "Uploads",
    name: "eGain is down (503)",
    hint: "eGain refuses to create an asset.",
    fault: { at: "create_asset", status: 503 },
  },
  {
    group: "Uploads",
    name: "eGain is slow",
    hint: "eGain takes 2 s to create an asset; the time is in the stage “sign”.",
    fault: { at: "create_asset", delay: "2s" },
  },
  {
    group: "Uploads",
    name: "eGain rejects the file",
    hint: "eGain scans it and says no (400-765): 422, and a retry doesn’t help.",
    fault: {
      at: "create_asset",
      status: 400,
      body: { code: "400-765", developerMessage: "The file was rejected." },
    },
  },
  {
    group: "Downloads",
    name: "The download’s signed URL has expired",
    hint: "Storage responds with 403. The gateway asks for a fresh URL: the download succeeds.",
    fault: { at: "download", status: 403 },
  },
  {
    group: "Downloads",
    name: "The download breaks off",
    hint: "Storage cuts it after 20 kB. The gateway takes it up again with Range, unseen.",
    fault: { at: "download", cut_after: 20000 },
  },
  {
    group: "Downloads",
    name: "Storage is slow to start",
    hint: "Storage responds 3 s late.",
    fault: { at: "download", delay: "3s" },
  },
  {
    group: "Downloads",
    name: "Storage is down (503)",
    hint: "Storage refuses. Always: the download fails with 502 or 503.",
    fault: { at: "download", status: 503 },
  },
];

export function start() {
  const select = byId("fault");
  for (const [group, faults] of grouped()) {
    select.append(
      el(
        "optgroup",
        { label: group },
        faults.map((each) => el("option", { value: FAULTS.indexOf(each) }, each.name)),
      ),
    );
  }
  const hint = () => {
    byId("fault-hint").textContent = FAULTS[select.value].hint;
  };
  select.addEventListener("change", hint);
  hint();
  byId("fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    set(FAULTS[select.value]);
  });
  byId("clear-faults").addEventListener("click", clear);
  onSeen((seen) => show(seen.faults));
}

function grouped() {
  const groups = new Map();
  for (const each of FAULTS) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return groups;
}

async function set({ name, fault }) {
  const times = byId("times").value;
  const body = JSON.stringify(times ? { ...fault, times: Number(times) } : fault);
  await act(
    { method: "POST", headers: { "Content-Type": "application/json" }, body },
    `Fault set: ${name}`,
  );
}

async function clear() {
  await act({ method: "DELETE" }, "Faults cleared");
  byId("fault").focus();
}

async function act(options, done) {
  try {
    const response = await fetch("/_try/faults", options);
    note("fault-note", response.ok ? null : (await response.json()).detail);
    if (response.ok) announce(done);
  } catch {
    note("fault-note", "The gateway can’t be reached.");
  }
  await refresh();
}

function show(faults) {
  byId("pending-box").hidden = faults.length === 0;
  byId("pending").replaceChildren(
    ...faults.map((fault) =>
      el(
        "li",
        {},
        el("span", {}, nameOf(fault)),
        el(
          "span",
          { class: "chip fault" },
          fault.times === undefined || fault.times === null ? "always" : `${fault.times} to come`,
        ),
      ),
    ),
  );
}

/** The name that it has here, or else its JSON. */
function nameOf({ times, ...fault }) {
  const known = FAULTS.find(
    (each) =>
      each.fault.at === fault.at &&
      Object.entries(each.fault).every(
        ([key, value]) => JSON.stringify(fault[key]) === JSON.stringify(value),
      ),
  );
  return known ? known.name : JSON.stringify(fault);
}
