// Four plots of the last minutes, a curve for each container.

import { bytes, clock, percent, rate } from "./format.js";
import { COLOURS, KEPT } from "./model.js";

/** @typedef {import("./model.js").Container} Container */
/** @typedef {import("./model.js").Figure} Figure */

/** How many containers a plot draws: those with the highest peaks. */
const CURVES = 8;

/** How many seconds are shown at least. */
const SHORTEST = 30;

/** Bytes are divided by powers of two, or the axis would have 95.4 MiB. */
const POWERS = Array.from({ length: 50 }, (_, at) => 2 ** at);

/**
 * @typedef {object} Kind
 * @property {string} id
 * @property {string} title
 * @property {Figure} above
 * @property {Figure} [below]
 * @property {(value: number) => string} text
 * @property {number} least what the axis shows at least
 * @property {number[]} [steps] what the axis is divided by
 */

/** @type {Kind[]} */
const KINDS = [
  { id: "plot-cpu", title: "Processor time", above: "cpu", text: percent, least: 10 },
  { id: "plot-memory", title: "Memory", above: "memory", text: bytes, least: 1 << 20, steps: POWERS },
  { id: "plot-network", title: "Network", above: "received", below: "sent", text: rate, least: 1024, steps: POWERS },
  { id: "plot-io", title: "Block devices", above: "read", below: "written", text: rate, least: 1024, steps: POWERS },
];

/** @param {(number | null)[]} values */
const peak = (values) => values.reduce((/** @type {number} */ most, value) => Math.max(most, value ?? 0), 0);

/** The style sheet's colours as they are now: light or dark. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    curves: Array.from({ length: COLOURS }, (_, at) => colour(`--curve-${at}`)),
    grid: colour("--line"),
    text: colour("--muted"),
  };
}

class Plot {
  /** @param {Kind} kind */
  constructor(kind) {
    this.kind = kind;
    this.place = /** @type {HTMLElement} */ (document.getElementById(kind.id));
    this.place.setAttribute("role", "img");
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    /** @type {Container[]} */
    this.drawn = [];
    /** @type {any} */
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(this.place);
  }

  #size() {
    return { width: Math.max(200, this.place.clientWidth), height: this.place.clientHeight };
  }

  /** @param {number[]} times @param {Container[]} containers */
  update(times, containers) {
    const { above, below, text } = this.kind;
    const peaks = containers.map((container) => ({
      container,
      peak: Math.max(peak(container.history[above]), below ? peak(container.history[below]) : 0),
    }));
    const highest = peaks.sort((a, b) => b.peak - a.peak).slice(0, CURVES).map((entry) => entry.container);
    // In an order that stays, so that the plot is not made anew for each overtaking.
    highest.sort((a, b) => a.told.Name.localeCompare(b.told.Name));
    const isSame = highest.length === this.drawn.length && highest.every((container, at) => container === this.drawn[at]);
    if (!isSame || !this.plot) this.#make(highest);
    const negative = (/** @type {number | null} */ value) => (value === null ? null : -value);
    const data = highest.flatMap((container) => [
      container.history[above],
      ...(below ? [container.history[below].map(negative)] : []),
    ]);
    this.plot.setData([times, ...data]);
    const parts = highest.map((container) => {
      const value = container.now[above];
      return `${container.told.Name} ${value === null ? "nothing" : text(value)}`;
    });
    this.place.setAttribute("aria-label", `${this.kind.title}: ${parts.join(", ") || "nothing"}. The table below has all figures.`);
  }

  /** Makes the plot anew: with other curves, or other colours. @param {Container[]} drawn */
  #make(drawn) {
    this.plot?.destroy();
    this.drawn = drawn;
    const colours = palette();
    const axis = { stroke: colours.text, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
    const curve = (/** @type {Container} */ container) => {
      const stroke = colours.curves[container.colour];
      return { stroke, width: 1.75, fill: `${stroke}18`, points: { show: false } };
    };
    const { text, below, steps } = this.kind;
    const marks = (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((value) => text(Math.abs(value)).replace(/\.0+ /, " "));
    this.plot = new uPlot({
      ...this.#size(),
      legend: { show: false },
      cursor: { sync: { key: "time" }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: (/** @type {any} */ _, /** @type {number} */ first, /** @type {number} */ last) => span(first, last) },
        y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => this.#range(low, high) },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 30, gap: 9, values: clocks },
        { ...axis, size: 74, space: 34, values: marks, ...(steps ? { incrs: steps } : {}) },
      ],
      series: [{}, ...drawn.flatMap((container) => (below ? [curve(container), curve(container)] : [curve(container)]))],
      hooks: { setCursor: [() => this.#tell()] },
    }, [[]], this.place);
    this.plot.over.append(this.tip);
  }

  /** From zero, or as far below as there is; never so narrow that noise looks like work. @param {number} low @param {number} high */
  #range(low, high) {
    const { below, least } = this.kind;
    const top = Math.max(high ?? 0, least) * 1.1;
    return [below ? Math.min((low ?? 0) * 1.1, -least) : 0, top];
  }

  /** Shows the figures of the moment that the pointer is at. */
  #tell() {
    const { idx, left } = this.plot.cursor;
    const { above, below, text } = this.kind;
    const value = (/** @type {Container} */ container, /** @type {Figure} */ figure) => container.history[figure][idx] ?? null;
    const rows = this.drawn.filter((container) => idx !== null && idx !== undefined && value(container, above) !== null);
    this.tip.hidden = rows.length === 0 || left < 0;
    this.tip.replaceChildren(...rows.map((container) => {
      const row = document.createElement("div");
      row.dataset.colour = String(container.colour);
      const second = below ? ` / ${text(value(container, below) ?? 0)}` : "";
      row.textContent = `${container.told.Name}  ${text(value(container, above) ?? 0)}${second}`;
      return row;
    }));
    const isRight = left > this.plot.over.clientWidth / 2;
    this.tip.style.left = isRight ? "auto" : `${left + 12}px`;
    this.tip.style.right = isRight ? `${this.plot.over.clientWidth - left + 12}px` : "auto";
  }

  repaint() {
    if (this.plot) this.#make(this.drawn);
  }
}

/**
 * The time that is shown: it grows with what is known.
 * @param {number} first
 * @param {number} last
 */
const span = (first, last) => [Math.max(last - KEPT + 1, Math.min(first, last - SHORTEST)), last];

/** @param {any} _ @param {number[]} splits */
const clocks = (_, splits) => splits.map((time) => clock(new Date(time * 1000)));

/** All four. */
export class Plots {
  constructor() {
    this.plots = KINDS.map((kind) => new Plot(kind));
  }

  /** @param {number[]} times @param {Container[]} containers */
  update(times, containers) {
    for (const plot of this.plots) plot.update(times, containers);
  }

  /** Takes the colours anew from the style sheet. */
  repaint() {
    for (const plot of this.plots) plot.repaint();
  }
}
