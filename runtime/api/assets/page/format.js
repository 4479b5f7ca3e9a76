// Figures as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/**
 * Three digits that count.
 * @param {number} value
 * @returns {string}
 */
function short(value) {
  if (value === 0) return "0";
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/**
 * @param {number} count
 * @returns {string} such as `1.50 MiB`
 */
export function bytes(count) {
  let unit = 0;
  let value = Math.abs(count);
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : short(value)} ${UNITS[unit]}`;
}

/**
 * @param {number} perSecond
 * @returns {string} such as `1.50 MiB/s`
 */
export const rate = (perSecond) => `${bytes(perSecond)}/s`;

/**
 * @param {number} value of one processor
 * @returns {string} such as `12.5 %`
 */
export const percent = (value) => `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} %`;

/**
 * @param {number} value
 * @returns {string} with thousands apart
 */
export const count = (value) => Math.round(value).toLocaleString("en");

/**
 * @param {number} value how often in a second
 * @returns {string}
 */
export const frequency = (value) => (value >= 10 ? count(value) : String(Number(value.toFixed(1))));

/**
 * @param {number} seconds
 * @returns {string} such as `12 s ago`
 */
export function ago(seconds) {
  if (seconds < 1.5) return "now";
  return seconds < 90 ? `${Math.round(seconds)} s ago` : `${Math.round(seconds / 60)} min ago`;
}

/**
 * @param {Date} time
 * @returns {string} such as `13:05:09`
 */
export const clock = (time) => time.toLocaleTimeString("en-GB");

/**
 * An address with a port or a range of ports.
 * @param {string} address
 * @param {number} first
 * @param {number} last
 * @returns {string}
 */
export function socket(address, first, last) {
  const host = address.includes(":") ? `[${address}]` : address;
  return last > first ? `${host}:${first}-${last}` : `${host}:${first}`;
}
