// A file as it came back, shown from a blob: nothing of it runs in this page.

import { el } from "./dom.js";
import { bytes } from "./format.js";

/** More text than this helps nobody. */
const MOST_TEXT = 64 * 1024;

/** The kind of viewer for a media type, or null for none. */
export function viewerOf(type) {
  const essence = type.split(";")[0].trim().toLowerCase();
  if (/^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon)$/.test(essence)) return "image";
  if (essence.startsWith("audio/")) return "audio";
  if (essence.startsWith("video/")) return "video";
  if (essence === "application/pdf") return "pdf";
  if (/^text\//.test(essence) || /[/+](json|xml)$/.test(essence)) return "text";
  return null;
}

/** The element that shows it, and a function that frees what it holds. */
export async function preview(blob, type, name) {
  const url = URL.createObjectURL(blob);
  const save = el("a", { class: "button quiet", href: url, download: name }, "Save the file");
  const shown = await view(viewerOf(type), blob, type, url, name);
  return {
    node: el("figure", { class: "preview" }, shown, el("figcaption", {}, save)),
    free: () => URL.revokeObjectURL(url),
  };
}

async function view(viewer, blob, type, url, name) {
  const failed = (event) =>
    event.target.replaceWith(el("p", { class: "hint" }, "This browser can’t show it."));
  switch (viewer) {
    case "image":
      return el("img", { src: url, alt: `${name} as it came back`, onerror: failed });
    case "audio":
      return el("audio", { src: url, controls: true, "aria-label": name, onerror: failed });
    case "video":
      return el("video", {
        src: url,
        controls: true,
        playsinline: true,
        "aria-label": name,
        onerror: failed,
      });
    case "pdf":
      return el("iframe", { src: url, title: `${name} as it came back` });
    case "text":
      return el(
        "pre",
        { tabindex: "0", "aria-label": `${name} as it came back` },
        await read(blob, type),
      );
    default:
      return el("p", { class: "hint" }, `A browser has no preview of ${type}.`);
  }
}

async function read(blob, type) {
  const charset = /charset="?([\w-]+)/i.exec(type)?.[1] ?? "utf-8";
  const start = await blob.slice(0, MOST_TEXT).arrayBuffer();
  const more = blob.size > MOST_TEXT ? `\n… ${bytes(blob.size - MOST_TEXT)} more` : "";
  try {
    return new TextDecoder(charset).decode(start) + more;
  } catch {
    return new TextDecoder().decode(start) + more;
  }
}
