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
  const whole = [time.getHours(), time.getMinutes(), time.getSeconds()].map((each) => part(each));
  return `${whole.join(":")}.${part(time.getMilliseconds(), 3)}`;
}

/** One argument of a POSIX shell. */
export function shell(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/** More than this is not read into memory to be hashed. */
const MOST_HASHED = 64 * 1024 * 1024;

/**
 * The lowercase hexadecimal SHA-256, or null where there is none: a browser gives none to plain
 * http beyond loopback, and a file may be too large, or gone.
 */
export async function sha256(blob) {
  if (!globalThis.crypto?.subtle || blob.size > MOST_HASHED) return null;
  const content = await blob.arrayBuffer().catch(() => null);
  if (!content) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
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
