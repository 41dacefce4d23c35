// Numbers, names and commands as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${trim(value, digits)} ${UNITS[unit]}`;
}

export const rate = (perSecond) => `${bytes(Math.round(perSecond))}/s`;

export function duration(ms) {
  if (ms < 1) return `${trim(ms, 1)} ms`;
  if (ms < 1000) return `${trim(ms, ms < 10 ? 1 : 0)} ms`;
  return seconds(ms / 1000);
}

export function seconds(value) {
  if (value < 100) return `${trim(value, value < 10 ? 1 : 0)} s`;
  return `${Math.round(value / 60)} min`;
}

export const count = (value) => new Intl.NumberFormat("en").format(value);

/** Without zeros at the end. */
function trim(value, digits) {
  return String(Number(value.toFixed(digits)));
}

export const many = (value, what) => `${count(value)} ${what}${value === 1 ? "" : "s"}`;

export function clock(ms) {
  const time = new Date(ms);
  const part = (value, width = 2) => String(value).padStart(width, "0");
  return `${part(time.getHours())}:${part(time.getMinutes())}:${part(time.getSeconds())}.${part(time.getMilliseconds(), 3)}`;
}

/** One argument of a POSIX shell. */
export function shell(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/** The lowercase hexadecimal SHA-256, or null where the browser has none (plain http beyond loopback). */
export async function sha256(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** JSON with indentation, or the text as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** `Server-Timing` as pairs of stage and milliseconds. */
export function serverTiming(header) {
  return (header ?? "").split(",").flatMap((entry) => {
    const found = /^\s*([\w-]+)\s*;\s*dur=([\d.]+)/.exec(entry);
    return found ? [{ stage: found[1], ms: Number(found[2]) }] : [];
  });
}
