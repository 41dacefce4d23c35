// Files between a messaging provider and the gateway, in Node 20 or later, without packages:
//
//   node adapter.mjs twilio-in MEDIA_URL            stores a customer's file
//   node adapter.mjs whatsapp-in MEDIA_ID [NAME]    stores a customer's file
//   node adapter.mjs whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
//   node adapter.mjs twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
//   node adapter.mjs work QUEUE                     stores the files that webhook.mjs wrote down
import { readdir, readFile, unlink } from "node:fs/promises";
import { request } from "node:http";
import { request as requestTls } from "node:https";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

const env = process.env;
const GATEWAY = env.GATEWAY_URL;
const KEY = env.GATEWAY_KEY ? { authorization: `Bearer ${env.GATEWAY_KEY}` } : {};
const TWILIO = env.TWILIO_URL ?? "https://api.twilio.com";
const LOGIN = Buffer.from(`${env.TWILIO_ACCOUNT_SID}:${env.TWILIO_AUTH_TOKEN}`).toString("base64");
const TWILIO_LOGIN = { authorization: `Basic ${LOGIN}` };
const GRAPH = env.GRAPH_URL ?? "https://graph.facebook.com/v24.0";
const GRAPH_TOKEN = { authorization: `Bearer ${env.WHATSAPP_TOKEN}` };

const TIMEOUT = 60_000; // milliseconds until the next bytes arrive
const ATTEMPTS = 5;
const PAUSE = 2, LONGEST_PAUSE = 300; // seconds

// A retry doesn't help. `customer` is what to tell the customer, if anything.
class Refused extends Error {
  constructor(message, customer) {
    super(message);
    this.customer = customer;
  }
}

// A retry may help after `wait` seconds.
class Unavailable extends Error {
  constructor(message, wait = PAUSE) {
    super(message);
    this.wait = wait;
  }
}

function storeFromTwilio(mediaUrl) {
  // Without this check, a forged webhook could send your Twilio login to any host.
  if (!mediaUrl.startsWith(`${TWILIO}/`)) throw new Refused(`${mediaUrl} isn't Twilio's`);
  // Twilio redirects to its storage. fetch doesn't send the login to another origin.
  const media = () => getMedia(mediaUrl, TWILIO_LOGIN);
  // A media URL ends with the media's SID. A message with three files has three of them.
  const key = new URL(mediaUrl).pathname.split("/").pop();
  return withRetries(() => store("sms", key, media));
}

function storeFromWhatsApp(mediaId, name) {
  const media = async () => {
    // The URL is valid for five minutes, so each attempt gets a new one.
    const about = await getMedia(`${GRAPH}/${encodeURIComponent(mediaId)}`, GRAPH_TOKEN);
    const { url } = await about.json();
    return getMedia(url, GRAPH_TOKEN);
  };
  return withRetries(() => store("whatsapp", mediaId, media, name));
}

// A response whose body isn't read yet. Its length is that of the file: nothing is compressed.
async function getMedia(url, headers) {
  const response = await fetch(url, { headers: { "accept-encoding": "identity", ...headers } });
  if (response.ok) return response;
  const message = `the provider responded ${response.status}: ${await start(response)}`;
  // 404: the webhook may come before the media is there.
  if ([404, 408, 429].includes(response.status) || response.status >= 500) {
    throw new Unavailable(message, pause(response));
  }
  throw new Refused(message);
}

// Streams a file from the provider to the gateway.
async function store(channel, key, media, name) {
  const source = await media();
  const url = new URL("/v1/assets", GATEWAY);
  url.searchParams.set("channel", channel);
  if (name) url.searchParams.set("name", name);
  const size = source.headers.get("content-length");
  if (size) url.searchParams.set("size", size);
  const response = await fetch(url, {
    method: "POST",
    headers: {
      ...KEY,
      "content-type": source.headers.get("content-type") ?? "application/octet-stream",
      // The same for each attempt, so that a file is stored once.
      "idempotency-key": key,
    },
    body: source.body,
    duplex: "half",
  });
  await check(response);
  return response.json();
}

// Sends the bytes to WhatsApp, then a message that names them.
async function sendToWhatsApp(asset, to) {
  const media = await withRetries(() => uploadToWhatsApp(asset));
  const first = media.contentType.split("/")[0];
  const type = ["image", "audio", "video"].includes(first) ? first : "document";
  const content = type === "document" ? { id: media.id, filename: media.name } : { id: media.id };
  // Not repeated: a message whose response was lost may have been sent.
  const response = await fetch(`${GRAPH}/${env.WHATSAPP_PHONE_ID}/messages`, {
    method: "POST",
    headers: { ...GRAPH_TOKEN, "content-type": "application/json" },
    body: JSON.stringify({ messaging_product: "whatsapp", to, type, [type]: content }),
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (!response.ok) throw new Refused(`WhatsApp responded ${response.status}: ${await start(response)}`);
  return response.json();
}

async function uploadToWhatsApp(asset) {
  const found = await fetch(`${GATEWAY}/v1/assets/${asset}`, { headers: KEY });
  await check(found);
  const { name, contentType } = await found.json();
  const content = await fetch(`${GATEWAY}/v1/assets/${asset}/content`, { headers: KEY });
  await check(content);
  const length = Number(content.headers.get("content-length"));
  const response = await postForm(`${GRAPH}/${env.WHATSAPP_PHONE_ID}/media`, {
    name, contentType, length, file: content.body,
  });
  if (response.status >= 300) {
    const message = `WhatsApp responded ${response.status}: ${response.text.slice(0, 300)}`;
    throw response.status >= 500 ? new Unavailable(message) : new Refused(message);
  }
  return { ...JSON.parse(response.text), name, contentType };
}

// A form around a stream, with a known length: fetch can't declare the length of a stream.
async function postForm(url, { name, contentType, length, file }) {
  const boundary = crypto.randomUUID();
  const part = `--${boundary}\r\nContent-Disposition: form-data; name="`;
  const safe = name.replace(/["\r\n]/g, encodeURIComponent);
  const before = Buffer.from(
    `${part}messaging_product"\r\n\r\nwhatsapp\r\n` +
      `${part}file"; filename="${safe}"\r\nContent-Type: ${contentType}\r\n\r\n`,
  );
  const after = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* pieces() {
    yield before;
    yield* file;
    yield after;
  }
  const send = url.startsWith("https:") ? requestTls : request;
  const upload = send(url, {
    method: "POST",
    timeout: TIMEOUT,
    headers: {
      ...GRAPH_TOKEN,
      "content-type": `multipart/form-data; boundary=${boundary}`,
      "content-length": before.length + length + after.length,
    },
  });
  upload.on("timeout", () => upload.destroy(new Unavailable("WhatsApp didn't respond in time")));
  const responded = new Promise((resolve, reject) => upload.on("response", resolve).on("error", reject));
  await pipeline(Readable.from(pieces()), upload);
  const response = await responded;
  const text = Buffer.concat(await response.toArray()).toString();
  return { status: response.statusCode, text };
}

// Gives Twilio the signed URL, from which it gets the file.
async function sendToTwilio(asset, from, to) {
  const signedUrl = await withRetries(() => signed(asset));
  const response = await fetch(`${TWILIO}/2010-04-01/Accounts/${env.TWILIO_ACCOUNT_SID}/Messages.json`, {
    method: "POST",
    headers: TWILIO_LOGIN,
    body: new URLSearchParams({ From: from, To: to, MediaUrl: signedUrl }),
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (!response.ok) throw new Refused(`Twilio responded ${response.status}: ${await start(response)}`);
  return response.json();
}

async function signed(asset) {
  const url = `${GATEWAY}/v1/assets/${asset}/content?redirect=1`;
  const response = await fetch(url, { headers: KEY, redirect: "manual" });
  if (response.status !== 307) await check(response);
  return response.headers.get("location");
}

// Stores what webhooks wrote down. A file that can't be stored now stays for the next run.
async function work(queue) {
  const done = [];
  for (const job of (await readdir(queue)).filter((name) => name.endsWith(".job")).sort()) {
    const [provider, media, name] = (await readFile(join(queue, job), "utf8")).split("\n");
    try {
      const stored = provider === "twilio" ? storeFromTwilio(media) : storeFromWhatsApp(media, name);
      done.push((await stored).id);
    } catch (error) {
      if (!(error instanceof Refused)) {
        console.error(`${job} stays: ${error.message}`);
        continue;
      }
      console.error(`${job} is refused: ${error.message}`);
      if (error.customer) console.log(`tell the customer: ${error.customer}`);
    }
    await unlink(join(queue, job));
  }
  return done;
}

async function withRetries(action) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      if (error instanceof Refused) throw error;
      // Without a response, the file may be stored or not: its key makes a retry safe.
      const message = error.cause ? `${error.message}: ${error.cause.message}` : error.message;
      if (attempt === ATTEMPTS) throw new Unavailable(`gave up after ${attempt} attempts: ${message}`);
      const wait = error.wait ?? PAUSE;
      console.error(`attempt ${attempt}: ${message}; the next in ${wait} s`);
      await sleep(wait * 1000);
    }
  }
}

// Throws what the gateway's problem document says.
async function check(response) {
  if (response.ok) return;
  const text = await response.text();
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // Not the gateway's, but that of a proxy in between.
  }
  if (!problem.code) {
    const message = `${response.status}: ${text.slice(0, 300)}`;
    const passes = response.status === 429 || response.status >= 500;
    throw passes ? new Unavailable(message, pause(response)) : new Refused(message);
  }
  const message = `${problem.code}: ${problem.detail} (request ${problem.requestId})`;
  if (problem.retryable) throw new Unavailable(message, pause(response));
  throw new Refused(message, forCustomer(problem));
}

function forCustomer({ status, limit = {} }) {
  if (status === 413) {
    const most = limit.max_size && ` Please send at most ${Math.floor(limit.max_size / 1e5) / 10} MB.`;
    return `This file is too large.${most ?? ""}`;
  }
  if (status === 415) {
    const instead = limit.allowed && ` Please send one of these: ${limit.allowed.join(", ")}.`;
    return `This type of file isn't accepted here.${instead ?? ""}`;
  }
}

function pause(response) {
  const seconds = Number(response.headers.get("retry-after") || PAUSE);
  return Math.min(Number.isFinite(seconds) ? seconds : PAUSE, LONGEST_PAUSE);
}

async function start(response) {
  return (await response.text()).slice(0, 300);
}

const [command, ...given] = process.argv.slice(2);
const commands = {
  "twilio-in": storeFromTwilio,
  "whatsapp-in": storeFromWhatsApp,
  "whatsapp-out": sendToWhatsApp,
  "twilio-out": sendToTwilio,
  work,
};
try {
  console.log(JSON.stringify(await commands[command](...given)));
} catch (error) {
  if (error.customer) console.log(`tell the customer: ${error.customer}`);
  console.error(`${command} failed: ${error.message}`);
  process.exitCode = 1;
}
