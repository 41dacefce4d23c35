// JavaScript's libraries, in Node; fetch in Deno, too: see tests/clients/run.
import { createReadStream, readFileSync } from "node:fs";
import process from "node:process";

const [library, how, url, path, name, count] = process.argv.slice(2);
const bytes = readFileSync(path);
const raw = `${url}?${new URLSearchParams({ channel: "sms", name })}`;
const type = { "Content-Type": "application/octet-stream" };

// Built once where the platform has it: FormData, File and Blob.
function form() {
  const form = new FormData();
  form.set("channel", "sms");
  form.set("file", new File([bytes], name));
  return form;
}

// A form whose parts change their order and number from one upload to the next.
function mixed(round) {
  const form = new FormData();
  if (round % 2 === 0) form.set("channel", "sms");
  form.set("file", new File([bytes], name));
  if (round % 2 === 1) form.set("caption", "a photo");
  return form;
}

async function fetching(request, round) {
  const requests = {
    form: () => ({ body: form() }),
    mixed: () => ({ body: mixed(round) }),
    raw: () => ({ body: bytes, headers: type }),
    stream: () => ({ body: new Blob([bytes]).stream(), duplex: "half", headers: type }),
  };
  const target = { form: url, mixed: `${url}?channel=sms` }[how] ?? raw;
  return await (await request(target, { method: "POST", ...requests[how]() })).text();
}

const libraries = {
  fetch: async () => (round) => fetching(fetch, round),
  undici: async () => {
    const { Agent, FormData, request } = await import("undici");
    const dispatcher = new Agent({ connections: 1 });
    return async () => {
      const form = new FormData();
      form.set("channel", "sms");
      form.set("file", new File([bytes], name));
      const sent = how === "form" ? { body: form } : { body: bytes, headers: type };
      const { body } = await request(how === "form" ? url : raw, { method: "POST", dispatcher, ...sent });
      return await body.text();
    };
  },
  got: async () => {
    const { default: got } = await import("got");
    const http = await import("node:http");
    const agent = { http: new http.Agent({ keepAlive: true }) };
    return () => (how === "form" ? got.post(url, { body: form(), agent }) : got.post(raw, { body: bytes, headers: type, agent })).text();
  },
  "formdata-node": async () => {
    const { FormData, File } = await import("formdata-node");
    const { FormDataEncoder } = await import("form-data-encoder");
    const { Readable } = await import("node:stream");
    return async () => {
      const form = new FormData();
      form.set("channel", "sms");
      form.set("file", new File([bytes], name));
      const encoder = new FormDataEncoder(form);
      const body = Readable.from(encoder.encode());
      // A program of its own: by the name that fetch gives itself, forms that end otherwise would be taken for fetch's.
      const headers = { ...encoder.headers, "User-Agent": "formdata-node" };
      return await (await fetch(url, { method: "POST", headers, body, duplex: "half" })).text();
    };
  },
  "form-data": async () => {
    const { default: FormData } = await import("form-data");
    return () =>
      new Promise((resolve, reject) => {
        const form = new FormData();
        form.append("channel", "sms");
        form.append("file", createReadStream(path), { filename: name });
        form.submit(url, (error, response) => {
          if (error) return reject(error);
          let text = "";
          response.setEncoding("utf8").on("data", (piece) => (text += piece)).on("end", () => resolve(text));
        });
      });
  },
  axios: async () => {
    const { default: axios } = await import("axios");
    const plain = { transformResponse: (text) => text, validateStatus: () => true };
    return async () =>
      (how === "form" ? await axios.post(url, form(), plain) : await axios.post(raw, bytes, { headers: type, ...plain })).data;
  },
  superagent: async () => {
    const { default: superagent } = await import("superagent");
    const agent = superagent.agent();
    return async () => {
      const request = agent.post(how === "form" ? url : raw).ok(() => true);
      const sent = how === "form" ? request.field("channel", "sms").attach("file", bytes, name) : request.set(type).send(bytes);
      return JSON.stringify((await sent).body);
    };
  },
  needle: async () => {
    const { default: needle } = await import("needle");
    return async () => {
      const file = { buffer: bytes, filename: name, content_type: "image/jpeg" };
      const sent = how === "form" ? [url, { channel: "sms", file }, { multipart: true }] : [raw, bytes, { headers: type }];
      return JSON.stringify((await needle("post", ...sent)).body);
    };
  },
};

const upload = await libraries[library]();
for (let round = 0; round < Number(count); round++) {
  const began = performance.now();
  const answer = await upload(round);
  console.log(`${(performance.now() - began).toFixed(1)} ${JSON.stringify(JSON.parse(answer))}`);
}
process.exit(0);
