// Webhooks of Twilio and WhatsApp, acknowledged at once: node webhook.mjs PORT QUEUE
//
// A webhook only writes down what is to be stored. `adapter.mjs work QUEUE` stores it. Check the
// provider's signature first: see docs/adapters/webhooks.md.
import { open, rename } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

const [port, queue] = process.argv.slice(2);
const MOST = 1024 * 1024; // bytes of a webhook's body
const KINDS = ["image", "audio", "video", "document", "sticker"];

const server = createServer(async (request, response) => {
  const files = { "/twilio": fromTwilio, "/whatsapp": fromWhatsApp }[request.url];
  if (!files || request.method !== "POST") return response.writeHead(404).end();
  try {
    const pieces = [];
    let length = 0;
    for await (const piece of request) {
      length += piece.length;
      if (length > MOST) return response.writeHead(413).end();
      pieces.push(piece);
    }
    for (const [id, ...lines] of files(Buffer.concat(pieces).toString())) await writeDown(id, lines);
    response.writeHead(200).end();
  } catch (error) {
    // The provider sends it again.
    console.error(error.message);
    response.writeHead(500).end();
  }
});
server.requestTimeout = 10_000;
server.listen(Number(port), "127.0.0.1");

function* fromTwilio(body) {
  const form = new URLSearchParams(body);
  for (let nth = 0; nth < Number(form.get("NumMedia")); nth++) {
    const url = form.get(`MediaUrl${nth}`);
    yield [new URL(url).pathname.split("/").pop(), "twilio", url, ""];
  }
}

function* fromWhatsApp(body) {
  for (const entry of JSON.parse(body).entry ?? []) {
    for (const change of entry.changes ?? []) {
      for (const message of change.value.messages ?? []) {
        if (!KINDS.includes(message.type)) continue;
        const { id, filename } = message[message.type];
        yield [id, "whatsapp", id, filename ?? ""];
      }
    }
  }
}

// Survives a restart. A notification that comes twice writes the same file.
async function writeDown(id, lines) {
  const safe = id.replace(/[^A-Za-z0-9_-]/g, "");
  const unfinished = join(queue, `${safe}.${process.hrtime.bigint()}.new`);
  const file = await open(unfinished, "w");
  await file.writeFile(lines.map((line) => line.replaceAll("\n", " ")).join("\n"));
  await file.sync();
  await file.close();
  await rename(unfinished, join(queue, `${safe}.job`));
}
