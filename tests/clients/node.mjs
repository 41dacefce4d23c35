// Uploads one file with Node's fetch: node.mjs form|raw|stream URL FILE. Prints the answer's body.
import { readFile } from "node:fs/promises";

const [how, url, path] = process.argv.slice(2);
const file = new Blob([await readFile(path)]);
const fields = { channel: "sms", name: "file.bin" };

function form() {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set("file", file, "file.bin");
  return { body: form };
}

const requests = {
  form,
  raw: () => ({ body: file }),
  stream: () => ({ body: file.stream(), duplex: "half" }),
};
const target = how === "form" ? url : `${url}?${new URLSearchParams(fields)}`;
console.log(await (await fetch(target, { method: "POST", ...requests[how]() })).text());
