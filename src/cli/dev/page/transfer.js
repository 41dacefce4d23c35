// Requests as an adapter makes them, and what came back. Nothing here touches the page.

import { sha256, shell } from "./format.js";

/** What an upload is made of: the file and the form's fields. */
export function describe(file, fields) {
  const query = new URLSearchParams({ channel: fields.channel, sender: fields.sender });
  const name = fields.name || file.name;
  const type = fields.type || file.type || "application/octet-stream";
  if (fields.shape === "raw") query.set("name", name);
  query.set("sha256", "1");
  return {
    file,
    name,
    type,
    shape: fields.shape,
    keyed: fields.keyed,
    channel: fields.channel,
    target: `/v1/assets?${query}`,
  };
}

/** The same upload by curl. */
export function curl(upload, key) {
  const parts = ["curl"];
  if (key) parts.push("-H", `Idempotency-Key: ${key}`);
  if (upload.shape === "form") {
    // curl's own quotes, so that a comma or semicolon in the name means nothing.
    const quoted = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
    const sent = upload.name === upload.file.name ? "" : `;filename=${quoted(upload.name)}`;
    parts.push("-F", `file=@${quoted(upload.file.name)};type=${upload.type}${sent}`);
  } else {
    parts.push("--data-binary", `@${upload.file.name}`, "-H", `Content-Type: ${upload.type}`);
  }
  parts.push(location.origin + upload.target);
  return parts
    .map(shell)
    .join(" ")
    .replaceAll(" -H ", " \\\n  -H ")
    .replaceAll(" -F ", " \\\n  -F ")
    .replace(/ ('?http)/, " \\\n  $1");
}

/** Made of the file and where it goes: a retry has the same. */
export async function keyOf(upload) {
  const digest = (await sha256(upload.file)) ?? crypto.getRandomValues(new Uint32Array(4)).join("");
  return `try-${upload.channel.replace(/[^\w.-]/g, "")}-${digest.slice(0, 32)}`;
}

/**
 * Sends a file, with progress as the browser hands over its bytes. `fetch` tells nothing of that.
 * Gives the response, or null if there was none.
 */
export function send(upload, key, { onprogress, signal }) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const began = performance.now();
    request.open("POST", upload.target);
    if (key) request.setRequestHeader("Idempotency-Key", key);
    request.upload.addEventListener("progress", (event) => {
      onprogress(event.loaded, event.total, performance.now() - began);
    });
    request.addEventListener("load", () =>
      resolve({
        status: request.status,
        reason: request.statusText,
        headers: headersOf(request.getAllResponseHeaders()),
        text: request.responseText,
        ms: performance.now() - began,
      }),
    );
    for (const end of ["error", "abort", "timeout"])
      request.addEventListener(end, () => resolve(null));
    signal.addEventListener("abort", () => request.abort());
    request.send(bodyOf(upload, request));
  });
}

function bodyOf(upload, request) {
  if (upload.shape === "raw") {
    request.setRequestHeader("Content-Type", upload.type);
    return upload.file;
  }
  const form = new FormData();
  form.append("file", new File([upload.file], upload.name, { type: upload.type }));
  return form;
}

function headersOf(text) {
  const lines = text.trim().split(/\r?\n/).filter(Boolean);
  return new Headers(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
}

/** Asks past the browser's own cache: what is shown here is the gateway's response. */
export function ask(path, options = {}) {
  return fetch(path, { cache: "no-store", ...options });
}

/** What eGain knows of an asset, or a refusal. */
export async function readMetadata(id) {
  const response = await ask(`/v1/assets/${id}`);
  return { response, text: await response.text() };
}

/** A part of the file, as `Range` asks for it. */
export async function readRange(id, first, last) {
  const response = await ask(`/v1/assets/${id}/content`, {
    headers: { Range: `bytes=${first}-${last}` },
  });
  return { response, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/**
 * Breaks off halfway on purpose and takes the download up again, as an adapter should: `Range`
 * from where it stopped, `If-Range` with the validator.
 */
export async function resume(id) {
  const leaving = new AbortController();
  const first = await ask(`/v1/assets/${id}/content`, { signal: leaving.signal });
  if (!first.ok) return { refused: first, text: await first.text() };
  const size = Number(first.headers.get("Content-Length"));
  const wanted = Math.max(1, Math.floor(size / 2));
  const head = await readUpTo(first, wanted);
  leaving.abort();
  const etag = first.headers.get("ETag");
  const headers = { Range: `bytes=${head.size}-` };
  if (etag) headers["If-Range"] = etag;
  const rest = head.size < size ? await ask(`/v1/assets/${id}/content`, { headers }) : null;
  if (rest && !rest.ok) return { refused: rest, text: await rest.text() };
  const tail = rest ? await rest.blob() : new Blob();
  // 200 means that the whole came again: the validator no longer fits.
  const whole = rest?.status === 200 ? tail : new Blob([head, tail]);
  return { stopped: head.size, size, etag, rest, whole, digest: await sha256(whole) };
}

async function readUpTo(response, wanted) {
  const reader = response.body.getReader();
  const pieces = [];
  let have = 0;
  while (have < wanted) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value.subarray(0, wanted - have));
    have += value.length;
  }
  return new Blob(pieces);
}
