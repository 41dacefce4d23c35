// One file's card: from waiting to what came of it.

import { announce, copyButton, el } from "./dom.js";
import { bytes, count, duration, pretty, rate, seconds, serverTiming, sha256 } from "./format.js";
import { preview, viewerOf } from "./preview.js";
import {
  code,
  dump,
  exchangeLine,
  factsOf,
  parse,
  reasonsOf,
  refusal,
  timingBar,
} from "./report.js";
import { callsOf, refresh } from "./sandbox.js";
import { ask, curl, keyOf, readMetadata, readRange, resume, send } from "./transfer.js";

/** A file that was downloaded often needs no longer list. */
const MOST_CALLS = 16;

const CANCELLED = "You cancelled it. The gateway deletes what it had created at eGain.";
const OFFLINE = "This browser is offline. Send it again when it is back.";
const BROKEN =
  "The connection broke before a response came: the gateway stopped, or the file can no longer " +
  "be read. An adapter sends it again here, with an Idempotency-Key.";

export class Card {
  /**
   * `upload` is what `describe` made; `gone` is called when the card is removed, with whether it
   * had the focus.
   */
  constructor(upload, gone) {
    this.upload = upload;
    this.leaving = new AbortController();
    this.gone = gone;
    this.free = () => {};
    this.key = null;
    this.state = el("span", { class: "chip" }, "Waiting");
    this.body = el("div", { class: "card-body" });
    this.asked = el("div", { class: "asked" });
    this.fold = el(
      "button",
      { type: "button", class: "fold", "aria-expanded": "true" },
      el("bdi", {}, upload.file.name),
    );
    this.fold.addEventListener("click", () => this.open(this.body.hidden));
    this.close = el(
      "button",
      {
        type: "button",
        class: "quiet icon",
        "aria-label": `Remove ${upload.file.name} from the list`,
      },
      "×",
    );
    this.close.addEventListener("click", () => this.remove());
    this.node = el(
      "article",
      { class: "card", "aria-label": upload.file.name },
      el(
        "header",
        {},
        el("h3", {}, this.fold),
        el("span", { class: "size" }, bytes(upload.file.size)),
        this.state,
        this.close,
      ),
      this.body,
    );
  }

  /** Shows all of it, or its head alone. */
  open(is) {
    this.body.hidden = !is;
    this.fold.setAttribute("aria-expanded", String(is));
  }

  remove() {
    const had = this.node.contains(document.activeElement);
    this.leaving.abort();
    this.free();
    this.node.remove();
    this.gone(this, had);
  }

  /** Sends the file and shows what came of it. */
  async run() {
    const { upload } = this;
    this.began = Date.now();
    this.until = Infinity;
    this.told = null;
    this.key ??= upload.keyed ? await keyOf(upload) : null;
    if (this.leaving.signal.aborted) return;
    const progress = el("progress", { max: "100", "aria-label": `Sending ${upload.file.name}` });
    const told = el("span", { class: "hint" }, "connecting");
    const cancel = el("button", { type: "button", onclick: () => this.leaving.abort() }, "Cancel");
    this.mark("sending", "Sending");
    this.replace(el("div", { class: "sending" }, progress, told, cancel));
    const response = await send(upload, this.key, {
      signal: this.leaving.signal,
      onprogress: (loaded, total, ms) => {
        progress.value = (100 * loaded) / total;
        told.textContent =
          loaded < total ? pace(loaded, total, ms) : "sent, waiting for storage to confirm";
      },
    });
    this.until = Date.now();
    await refresh();
    if (!response) this.showNothing();
    else if (response.status === 201 || response.status === 200) await this.showStored(response);
    else this.showRefused(response);
  }

  /** Puts something else into the card. A focus in there goes to the card's head. */
  replace(...nodes) {
    const had = this.body.contains(document.activeElement);
    this.body.replaceChildren(...nodes);
    if (had) this.fold.focus();
  }

  mark(kind, text) {
    this.node.dataset.state = kind;
    this.state.textContent = text;
  }

  again(label = "Send again") {
    return el(
      "button",
      {
        type: "button",
        class: "primary",
        onclick: () => {
          this.leaving = new AbortController();
          this.run();
        },
      },
      label,
    );
  }

  /** No response: cancelled, offline, or the gateway is gone. */
  showNothing() {
    const cancelled = this.leaving.signal.aborted;
    const why = cancelled ? CANCELLED : navigator.onLine ? BROKEN : OFFLINE;
    this.mark(cancelled ? "cancelled" : "failed", cancelled ? "Cancelled" : "No response");
    this.replace(el("p", {}, why), el("div", { class: "row" }, this.again()), this.exchange(null));
    announce(`${this.upload.file.name}: ${this.state.textContent}`);
  }

  async showStored(response) {
    const { upload } = this;
    const asset = JSON.parse(response.text);
    this.asset = asset;
    this.digest = await sha256(upload.file);
    this.mark("stored", `${response.status} Stored`);
    const out = el("div", { class: "outcome", "aria-live": "polite" });
    const shown = el("div", { class: "shown" });
    const actions = el(
      "div",
      { class: "row" },
      button("Download", () => this.download(out, shown)),
      button("Read a range", () => this.range(out)),
      button("Interrupt and resume", () => this.resume(out)),
      button("Metadata", () => this.metadata(out)),
      this.key ? this.again("Send again with the same key") : null,
      button("Delete", () => this.erase(out, actions)),
    );
    this.replace(
      el("div", { class: "halves" }, factsOf(upload, asset, this.digest), shown),
      timingBar(serverTiming(response.headers.get("Server-Timing")), response.ms),
      actions,
      out,
      this.asked,
      this.exchange(response),
    );
    this.showCalls();
    announce(`${upload.file.name}: stored as ${asset.name}, ${asset.contentType}`);
    await this.show(shown);
  }

  showRefused(response) {
    const problem = parse(response.text);
    this.mark("refused", `${response.status} ${problem.code ?? response.reason}`);
    this.replace(
      el(
        "p",
        { class: "detail" },
        el("strong", {}, problem.title ?? response.reason),
        ` ${problem.detail ?? ""}`,
      ),
      reasonsOf(problem, response.headers),
      el("div", { class: "row" }, this.again()),
      this.asked,
      this.exchange(response, true),
    );
    this.showCalls();
    announce(`${this.upload.file.name}: refused, ${problem.title ?? response.status}`);
  }

  /** Downloads the file and shows it, if browsers can. Gives the response, if there was one. */
  async show(place) {
    const { asset } = this;
    try {
      const response = await ask(`/v1/assets/${asset.id}/content`);
      if (!response.ok) {
        place.replaceChildren(refusal(response, await response.text()));
        return response;
      }
      const type = response.headers.get("Content-Type") ?? asset.contentType;
      const blob = await response.blob();
      const known = viewerOf(type) === "text" ? blob : new Blob([blob], { type });
      const { node, free } = await preview(known, type, asset.name);
      this.free();
      this.free = free;
      place.replaceChildren(node);
      return response;
    } catch (error) {
      place.replaceChildren(
        el(
          "p",
          { class: "warn" },
          `The download broke off: ${error.message}. An adapter takes it up again with Range.`,
        ),
      );
      return null;
    } finally {
      refresh();
    }
  }

  async download(out, shown) {
    await this.attempt(out, async () => {
      const began = performance.now();
      const response = await this.show(shown);
      if (!response) return null;
      return [
        exchangeLine(`GET /v1/assets/${this.asset.id}/content`, response, [
          "Content-Type",
          "Content-Length",
          "ETag",
          "Cache-Control",
        ]),
        el("p", {}, `In ${duration(performance.now() - began)}.`),
      ];
    });
  }

  async range(out) {
    const last = Math.min(this.asset.size, 64) - 1;
    await this.attempt(out, async () => {
      const { response, bytes: part } = await readRange(this.asset.id, 0, last);
      if (!response.ok) return refusal(response, new TextDecoder().decode(part));
      return [
        exchangeLine(`Range: bytes=0-${last}`, response, [
          "Content-Range",
          "ETag",
          "Accept-Ranges",
        ]),
        el("pre", { tabindex: "0", "aria-label": "The bytes of the range" }, dump(part)),
      ];
    });
  }

  async resume(out) {
    await this.attempt(out, async () => {
      const done = await resume(this.asset.id);
      if (done.refused) return refusal(done.refused, done.text);
      const same =
        done.digest === null || this.digest === null
          ? ""
          : done.digest === this.digest
            ? ", and the digest is the file’s ✓"
            : ", but the digest is another ✗";
      return [
        el(
          "p",
          {},
          `Broke off after ${count(done.stopped)} of ${count(done.size)} bytes, on purpose.`,
        ),
        done.rest
          ? exchangeLine(
              `Range: bytes=${done.stopped}-${done.etag ? `\nIf-Range: ${done.etag}` : ""}`,
              done.rest,
              ["Content-Range", "ETag"],
            )
          : null,
        el("p", {}, el("strong", {}, `Complete: ${count(done.whole.size)} bytes${same}.`)),
      ];
    });
  }

  async metadata(out) {
    await this.attempt(out, async () => {
      const { response, text } = await readMetadata(this.asset.id);
      return response.ok
        ? [
            exchangeLine(`GET /v1/assets/${this.asset.id}`, response, ["Cache-Control"]),
            code(pretty(text)),
          ]
        : refusal(response, text);
    });
  }

  async erase(out, actions) {
    await this.attempt(out, async () => {
      const response = await ask(`/v1/assets/${this.asset.id}`, { method: "DELETE" });
      if (!response.ok) return refusal(response, await response.text());
      this.mark("cancelled", "Deleted");
      for (const each of actions.querySelectorAll("button"))
        each.disabled = each.textContent !== "Metadata" && each.textContent !== "Download";
      this.close.focus();
      return exchangeLine(`DELETE /v1/assets/${this.asset.id}`, response, []);
    });
  }

  async attempt(out, work) {
    out.replaceChildren(el("p", { class: "hint" }, "asking"));
    try {
      out.replaceChildren(...[await work()].flat().filter(Boolean));
    } catch (error) {
      out.replaceChildren(
        el(
          "p",
          { class: "warn" },
          `No whole response: ${error.message}. An adapter takes it up again with Range.`,
        ),
      );
    }
    refresh();
  }

  /** The request and the response as they were, and the same by curl. */
  exchange(response, open = false) {
    const command = curl(this.upload, this.key);
    const parts = [
      el(
        "details",
        {},
        el("summary", {}, "The same by curl"),
        code(command),
        copyButton(() => command, "Copy the command"),
      ),
    ];
    if (response) {
      const head = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      const line = `HTTP ${response.status} ${response.reason}`;
      const text = `${line}\n${head}\n\n${pretty(response.text)}`;
      parts.push(
        el(
          "details",
          { open },
          el("summary", {}, "The response as an adapter sees it"),
          code(text),
          copyButton(() => text, "Copy the response"),
        ),
      );
    }
    return el("div", { class: "exchange" }, parts);
  }

  /** What eGain and its storage were asked for this file. */
  showCalls() {
    if (!this.asked.isConnected || this.body.hidden) return;
    const calls = callsOf(this.began, this.until, this.asset?.id);
    const mark = JSON.stringify(calls);
    if (mark === this.told) return;
    this.told = mark;
    const told = calls
      .slice(-MOST_CALLS)
      .map((call) =>
        el(
          "li",
          { "data-faulted": call.faulted ? "" : null },
          el("code", {}, call.operation),
          ` ${call.status ?? "cut"}`,
          call.duration_us === null ? "" : ` in ${duration(call.duration_us / 1000)}`,
          call.faulted ? el("span", { class: "chip fault" }, "fault") : null,
        ),
      );
    const none = "Nothing: it was refused before a call was spent.";
    this.asked.replaceChildren(
      el("h4", {}, "What eGain was asked"),
      told.length ? el("ol", {}, told) : el("p", { class: "hint" }, none),
    );
  }
}

function button(text, act) {
  return el("button", { type: "button", onclick: act }, text);
}

function pace(loaded, total, ms) {
  const perSecond = loaded / Math.max(ms / 1000, 0.001);
  const left = (total - loaded) / perSecond;
  const done = `${bytes(loaded)} of ${bytes(total)}`;
  return `${done} · ${rate(perSecond)} · ${seconds(Math.max(left, 0.1))} left`;
}
