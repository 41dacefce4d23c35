// Lines over the last minutes, drawn by hand: some hundred points need no library.

import { el, svg } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 140;

/**
 * A chart of several series. `show` gets the points, oldest first: `{ at, values }` with a value,
 * or null for none, for each series; `span` is the time that fits, in milliseconds.
 */
export function lines(
  title,
  series,
  format,
  { floor = 0, most = null, steps = false, plain = false, scale = nice, decades = null } = {},
) {
  const rows = decades ?? 4;
  const parts = Array.from({ length: rows - 1 }, (_, at) => (at + 1) / rows);
  const grid = parts.map((part) =>
    svg("line", {
      class: "grid",
      x1: 0,
      x2: WIDTH,
      y1: heightOf(1 - part),
      y2: heightOf(1 - part),
    }),
  );
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, hidden: true });
  const areas = series.map((_, at) => svg("path", { class: `area series-${at}` }));
  const dots = series.map((_, at) => svg("path", { class: `dots series-${at}` }));
  const paths = series.map((_, at) => svg("path", { class: `line series-${at}` }));
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    grid,
    areas,
    paths,
    dots,
    cursor,
  );
  const top = el("span", { class: "scale most" });
  const left = el("span", { class: "scale left" });
  const right = el("span", { class: "scale right" }, "now");
  const stepsTold = decades
    ? parts.map((part, at) => {
        const told = el("span", { class: "scale step" }, format(most / 10 ** (at + 1)));
        told.style.top = `${heightOf(1 - part)}px`;
        return told;
      })
    : [];
  const values = series.map(() => el("strong", { class: "number" }, "–"));
  const legend = el(
    "ul",
    { class: "legend" },
    series.map((name, at) =>
      el(
        "li",
        {},
        el("span", { class: `key series-${at}`, "aria-hidden": "true" }),
        ` ${name} `,
        values[at],
      ),
    ),
  );
  const note = el("p", { class: "hint" });
  const node = el(
    "article",
    { class: "panel chart" },
    el("h2", {}, title),
    legend,
    el("div", { class: "plot" }, picture, top, stepsTold, left, right),
    note,
  );
  let last = null;
  let pointed = null;
  picture.addEventListener("pointermove", ({ clientX }) => {
    const box = picture.getBoundingClientRect();
    point((clientX - box.left) / box.width);
  });
  picture.addEventListener("pointerleave", () => point(null));

  /** Tells the values at a part of the width, or the latest. */
  function point(part) {
    pointed = part;
    if (last) tell();
  }

  function tell() {
    const { points, now, span, current } = last;
    const at = pointed === null ? null : now - span * (1 - pointed);
    const near =
      at === null
        ? null
        : points.reduce(
            (best, each) =>
              best === null || Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best,
            null,
          );
    cursor.toggleAttribute("hidden", near === null);
    if (near)
      for (const end of ["x1", "x2"])
        cursor.setAttribute(end, WIDTH * (1 - (now - near.at) / span));
    right.textContent = near ? `${Math.round((now - near.at) / 1000)} s ago` : "now";
    series.forEach((_, index) => {
      const latest = () => points.findLast((each) => each.values[index] !== null)?.values[index];
      const value = near ? near.values[index] : current ? current[index] : latest();
      values[index].textContent = value === null || value === undefined ? "–" : format(value);
    });
  }

  // `current` are the numbers of the legend, where they aren't the last values.
  function show(points, { now, span }, more = "", current = null) {
    const all = points.flatMap((point) => point.values).filter((value) => value !== null);
    const height = most ?? scale(Math.max(floor, ...all));
    const x = (at) => WIDTH * (1 - (now - at) / span);
    // Between lowest and highest in powers of ten, where slow and quick are seen together.
    const part = decades
      ? (value) => 1 + Math.log10(Math.max(value, 1e-12) / height) / decades
      : (value) => value / height;
    const y = (value) => heightOf(part(value));
    series.forEach((_, at) => {
      const { line, area, single } = trace(points, at, x, y, steps);
      dots[at].setAttribute("d", single);
      paths[at].setAttribute("d", line);
      areas[at].setAttribute("d", plain ? "" : area);
    });
    last = { points, now, span, current };
    tell();
    top.textContent = format(height);
    left.textContent = `${Math.round(span / 60000)} min ago`;
    note.textContent = more;
    picture.setAttribute(
      "aria-label",
      `${title}: ${series.map((name, at) => `${name} ${values[at].textContent}`).join(", ")}`,
    );
  }

  return { node, show };
}

/** Where a part of the whole height is, with room for the line at both ends. */
function heightOf(part) {
  return HEIGHT - 2 - (HEIGHT - 6) * Math.min(Math.max(part, 0), 1);
}

/** The outline, interrupted where there is no value, and the area below it. */
function trace(points, at, x, y, steps) {
  let line = "";
  let area = "";
  let single = "";
  let run = [];
  const finish = () => {
    if (run.length > 0) {
      const [first, ...others] = run;
      const next = ([left, top]) => (steps ? `H${left}V${top}` : `L${left},${top}`);
      const path = [`M${first[0]},${first[1]}`, ...others.map(next)].join("");
      if (run.length === 1) single += `${path}h0`;
      else {
        line += path;
        area += `${path}V${HEIGHT}H${run[0][0]}Z`;
      }
    }
    run = [];
  };
  for (const point of points) {
    const value = point.values[at];
    if (value === null) finish();
    else run.push([x(point.at).toFixed(1), y(value).toFixed(1)]);
  }
  finish();
  return { line, area, single };
}

/** The next of 1, 2, 5, 10, … above a value. */
export function nice(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((step) => step * unit >= value * 0.999999);
}

/** The next power of two above a count of bytes. */
export function niceBytes(value) {
  return 2 ** Math.ceil(Math.log2(Math.max(value, 1)));
}

/** Bars beside names, the largest first. `show` gets `[name, value, text]`. */
export function bars(title, none) {
  const list = el("ul", { class: "bars" });
  const empty = el("p", { class: "hint" }, none);
  const node = el("article", { class: "panel chart" }, el("h2", {}, title), list, empty);

  function show(rows) {
    const most = Math.max(...rows.map(([, value]) => value), 1e-9);
    empty.hidden = rows.length > 0;
    list.replaceChildren(
      ...rows.map(([name, value, text]) =>
        el(
          "li",
          {},
          el("code", {}, name),
          el("span", { class: "number" }, text),
          svg(
            "svg",
            { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
            svg("rect", { class: "rail", width: 100, height: 6 }),
            svg("rect", { class: "bar", width: Math.max((100 * value) / most, 1), height: 6 }),
          ),
        ),
      ),
    );
  }

  return { node, show };
}
