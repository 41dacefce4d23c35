// The form: which files, for which channel, and the queue in which they are sent.

import { announce, byId, el, note } from "./dom.js";
import { bytes } from "./format.js";
import { Card } from "./card.js";
import { onSeen } from "./sandbox.js";
import { describe } from "./transfer.js";

/** Browsers open six connections to a host; the page itself needs some. */
const AT_ONCE = 3;

/** Cards that are unfolded when others come: what is older keeps its head. */
const MOST_OPEN = 3;

const cards = new Set();
const queue = [];
let running = 0;

export function start() {
  const input = byId("file");
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = ""; // The same file may be chosen again.
  });
  byId("send").addEventListener("submit", (event) => event.preventDefault());
  byId("sample").addEventListener("click", async () => add([await sample()]));
  byId("clear-files").addEventListener("click", () => {
    for (const card of [...cards]) card.remove();
    byId("file").focus();
  });
  onSeen(() => {
    for (const card of cards) card.showCalls();
  });
  listenForDrops();
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    add(files);
  });
  for (const id of ["channel", "sender"]) byId(id).addEventListener("change", showLimits);
  loadChannels();
  showLimits();
}

function add(files) {
  if (files.length === 0) return;
  note("drop-note", null);
  const channel = byId("channel").value.trim();
  if (!channel) {
    note("drop-note", "Name a channel first: eGain wants to know where the file is for.");
    byId("channel").focus();
    return;
  }
  const fields = {
    channel,
    sender: byId("sender").value,
    name: byId("name").value.trim(),
    type: byId("type").value.trim(),
    shape: document.querySelector("input[name=shape]:checked").value,
    keyed: byId("keyed").checked,
  };
  for (const card of [...cards].slice(0, Math.max(0, cards.size + files.length - MOST_OPEN)))
    card.open(false);
  for (const file of files) {
    const card = new Card(describe(file, fields), forget);
    cards.add(card);
    queue.push(card);
    byId("files").prepend(card.node);
  }
  const newest = byId("files").firstElementChild;
  // The button that was pressed may go away, and with it the focus.
  if (document.activeElement === byId("sample")) newest.querySelector(".fold").focus();
  newest.scrollIntoView({ block: "nearest" });
  announce(files.length === 1 ? `Sending ${files[0].name}` : `Sending ${files.length} files`);
  showCount();
  next();
}

function forget(card, hadFocus) {
  if (hadFocus) (document.querySelector(".card .fold") ?? byId("file")).focus();
  cards.delete(card);
  if (queue.includes(card)) queue.splice(queue.indexOf(card), 1);
  showCount();
}

async function next() {
  while (running < AT_ONCE && queue.length > 0) {
    const card = queue.shift();
    running += 1;
    card.run().finally(() => {
      running -= 1;
      next();
    });
  }
}

function showCount() {
  byId("empty").hidden = cards.size > 0;
  byId("clear-files").hidden = cards.size === 0;
}

function listenForDrops() {
  const drop = byId("drop");
  let inside = 0;
  const mark = (change) => {
    inside = change === 0 ? 0 : inside + change;
    drop.toggleAttribute("data-over", inside > 0);
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  // The whole page takes files: one that misses the box would replace the page otherwise.
  addEventListener("dragenter", (event) => {
    if (hasFiles(event)) mark(1);
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) mark(-1);
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", (event) => {
    mark(0);
    if (!hasFiles(event)) return;
    event.preventDefault();
    const { files, folders } = sortOut(event.dataTransfer);
    add(files);
    if (folders.length > 0) {
      const names = folders.map((name) => `“${name}”`).join(" and ");
      const are = folders.length > 1 ? "are folders" : "is a folder";
      note("drop-note", `${names} ${are}: one upload is one file. Drop the files in it instead.`);
    }
  });
}

/** A folder looks like a file until its entry is asked. */
function sortOut(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null);
  const folders = entries.filter((entry) => entry?.isDirectory).map((entry) => entry.name);
  const files = items.flatMap((item, at) =>
    entries[at]?.isDirectory ? [] : (item.getAsFile() ?? []),
  );
  return { files, folders };
}

async function loadChannels() {
  try {
    const response = await fetch("/v1/channels");
    if (!response.ok) return;
    const { channel = [] } = await response.json();
    byId("channels").replaceChildren(
      ...channel.map(({ type, displayName }) => el("option", { value: type }, displayName)),
    );
  } catch {
    // Any channel can be typed.
  }
}

/** What may be sent there, before anything is. */
async function showLimits() {
  const query = new URLSearchParams({
    channel: byId("channel").value.trim(),
    sender: byId("sender").value,
  });
  const place = byId("limits");
  try {
    const response = await fetch(`/v1/limits?${query}`);
    const limits = await response.json();
    place.textContent = response.ok ? tell(limits) : limits.detail;
  } catch {
    place.textContent = "";
  }
}

function tell({ attachments, kinds = {} }) {
  if (attachments === false) return "This channel takes no attachments.";
  const groups = new Map();
  for (const [kind, { maxSize }] of Object.entries(kinds))
    groups.set(maxSize, [...(groups.get(maxSize) ?? []), kind]);
  if (groups.size === 1) return `Up to ${bytes([...groups.keys()][0])}, of any kind.`;
  return [...groups].map(([most, names]) => `${names.join(", ")} up to ${bytes(most)}`).join("; ");
}

/** A picture that is drawn here, so that one click shows everything. */
function sample() {
  const canvas = el("canvas", { width: 640, height: 400 });
  const pen = canvas.getContext("2d");
  const sky = pen.createLinearGradient(0, 0, 640, 400);
  sky.addColorStop(0, "#0b5cad");
  sky.addColorStop(0.6, "#4aa8d8");
  sky.addColorStop(1, "#f3c969");
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 640, 400);
  for (let at = 0; at < 60; at += 1) {
    pen.fillStyle = `rgb(255 255 255 / ${0.05 + (at % 7) / 40})`;
    pen.beginPath();
    pen.arc((at * 137) % 640, (at * 89) % 400, 6 + (at % 9) * 5, 0, 7);
    pen.fill();
  }
  pen.fillStyle = "#fff";
  pen.font = "600 44px system-ui, sans-serif";
  pen.fillText("Hello, eGain", 36, 350);
  return new Promise((resolve) =>
    canvas.toBlob(
      (blob) => resolve(new File([blob], "hello.png", { type: blob.type })),
      "image/png",
    ),
  );
}
