// Puts the parts together, and chooses the view by the address.

import { byId } from "./dom.js";
import * as faults from "./faults.js";
import * as live from "./live.js";
import * as sandbox from "./sandbox.js";
import * as send from "./send.js";

const VIEWS = ["try", "live"];

function choose() {
  const wanted = location.hash.slice(1);
  if (wanted && !VIEWS.includes(wanted)) return; // Such as the link that skips to the content.
  const chosen = wanted || VIEWS[0];
  for (const view of VIEWS) {
    byId(`view-${view}`).hidden = view !== chosen;
    const link = document.querySelector(`[data-view=${view}]`);
    if (view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = chosen === "live" ? "Live · asset-gateway" : "Try asset-gateway";
  live.shown(chosen === "live");
}

/** On a phone the files come before the faults: what was sent is seen at once. */
function arrange() {
  const before = byId(narrow.matches ? "files-box" : "send");
  if (before.nextElementSibling !== byId("faults")) before.after(byId("faults"));
}

const narrow = matchMedia("(max-width: 899px)");
narrow.addEventListener("change", arrange);
arrange();
faults.start();
send.start();
sandbox.start();
live.start();
choose();
addEventListener("hashchange", choose);
addEventListener("offline", () => live.linked("offline"));
