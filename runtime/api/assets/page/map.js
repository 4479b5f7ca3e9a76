// Who talks to whom as a picture: bands from who began, on the left, to those they reach, on the right.

import { bytes, count } from "./format.js";
import { partyName } from "./tables.js";

/** @typedef {import("./model.js").Talk} Talk */
/** @typedef {import("./model.js").Party} Party */

/** How many bands are drawn, the widest first; the table has the rest. */
const BANDS = 16;
/** Between two nodes of a side. */
const GAP = 14;
/** How wide a node is. */
const NODE = 8;
/** How much height a node has, as long as the picture is lower than the table beside it is wont to be. */
const ROOM = 46;
const ROOMY = 230;

/** The room for the names on each side. @param {number} wide */
const names = (wide) => (wide < 480 ? 104 : 124);

/**
 * @typedef {object} Node
 * @property {string} name
 * @property {Party} party
 * @property {number} size
 * @property {number} top
 * @property {number} used how much of it bands have taken
 */

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** A band's width: a megabyte is wider than a kilobyte, but not a thousand times. @param {Talk} talk */
const width = (talk) => Math.min(30, 3 + 1.5 * Math.log2(1 + (talk.Sent + talk.Received) / 1024));

/** @param {Talk} talk */
const from = (talk) => partyName(talk.From);

/** @param {Talk} talk */
const to = (talk) => partyName(talk.To);

/**
 * The nodes of one side.
 * @param {Talk[]} talks
 * @param {(talk: Talk) => string} name
 * @param {(talk: Talk) => Party} party
 */
function nodes(talks, name, party) {
  /** @type {Map<string, Node>} */
  const found = new Map();
  for (const talk of talks) {
    const node = found.get(name(talk)) ?? { name: name(talk), party: party(talk), size: 0, top: 0, used: 0 };
    node.size += width(talk);
    found.set(node.name, node);
  }
  return found;
}

/** @param {Map<string, Node>} side */
function heightOf(side) {
  const sizes = [...side.values()].map((node) => Math.max(node.size, GAP));
  return sizes.reduce((sum, size) => sum + size + GAP, 0);
}

/** Spreads nodes over the height. @param {Map<string, Node>} side @param {number} height */
function arrange(side, height) {
  const more = (height - heightOf(side)) / side.size;
  let top = (GAP + more) / 2;
  for (const node of side.values()) {
    const room = Math.max(node.size, GAP);
    node.top = top + (room - node.size) / 2;
    top += room + GAP + more;
  }
}

export class TalkMap {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    /** What is drawn already. */
    this.drawn = "";
  }

  /**
   * @param {Talk[]} talks
   * @param {(name: string | undefined) => number | undefined} colour of a container by its name
   */
  update(talks, colour) {
    const shown = talks.slice(0, BANDS);
    // In an order that stays while figures change.
    shown.sort((a, b) => from(a).localeCompare(from(b)) || to(a).localeCompare(to(b)));
    const wide = Math.max(280, this.place.clientWidth);
    const state = JSON.stringify([wide, shown, shown.map((talk) => [colour(talk.From.Name), colour(talk.To.Name)])]);
    if (state === this.drawn) return;
    this.drawn = state;
    this.place.replaceChildren(draw(shown, wide, colour));
  }
}

/**
 * @param {Talk[]} talks
 * @param {number} wide
 * @param {(name: string | undefined) => number | undefined} colour
 */
function draw(talks, wide, colour) {
  const left = nodes(talks, from, (talk) => talk.From);
  const right = nodes(talks, to, (talk) => talk.To);
  const height = Math.max(heightOf(left), heightOf(right), Math.min(ROOMY, ROOM * Math.max(left.size, right.size)));
  arrange(left, height);
  arrange(right, height);
  const says = talks.map((talk) => `${from(talk)} to ${to(talk)}, ${count(talk.Connections)}`).join("; ");
  const svg = element("svg", {
    width: wide, height, viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": `Connections from whom to whom: ${says || "none"}`,
  });
  for (const talk of talks) {
    const [begin, end] = [/** @type {Node} */ (left.get(from(talk))), /** @type {Node} */ (right.get(to(talk)))];
    const band = element("path", { class: "band", d: curve(begin, end, width(talk), wide) });
    tint(band, talk.From.Kind === "container" ? colour(talk.From.Name) : colour(talk.To.Name));
    const title = element("title", {});
    title.textContent = `${from(talk)} → ${to(talk)}: ${count(talk.Connections)} connections, ${bytes(talk.Sent)} sent, ${bytes(talk.Received)} received`;
    band.append(title);
    svg.append(band);
  }
  const [begin, end] = [names(wide), wide - names(wide)];
  for (const node of left.values()) svg.append(...label(node, begin - NODE, begin - NODE - 8, "end", begin - NODE - 8, colour));
  for (const node of right.values()) svg.append(...label(node, end, end + NODE + 8, "start", begin - NODE - 8, colour));
  return svg;
}

/**
 * A band's outline; both nodes give it the next of their room.
 * @param {Node} from
 * @param {Node} to
 * @param {number} thick
 * @param {number} wide
 */
function curve(from, to, thick, wide) {
  const [x1, x2] = [names(wide), wide - names(wide)];
  const [y1, y2] = [from.top + from.used, to.top + to.used];
  from.used += thick;
  to.used += thick;
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}V${y2 + thick}` +
    `C${middle} ${y2 + thick} ${middle} ${y1 + thick} ${x1} ${y1 + thick}Z`;
}

/**
 * @param {Node} node
 * @param {number} x
 * @param {number} nameAt
 * @param {string} anchor
 * @param {number} room
 * @param {(name: string | undefined) => number | undefined} colour
 */
function label(node, x, nameAt, anchor, room, colour) {
  const bar = element("rect", { class: "node", x, y: node.top, width: NODE, height: node.size, rx: 2 });
  tint(bar, colour(node.party.Name));
  const text = element("text", { x: nameAt, y: node.top + node.size / 2, "text-anchor": anchor, "dominant-baseline": "central" });
  // Letters of this size are at most as wide as that, on average.
  const longest = Math.floor(room / 7);
  text.textContent = node.name.length > longest ? `${node.name.slice(0, longest - 1)}…` : node.name;
  const title = element("title", {});
  title.textContent = node.name;
  text.append(title);
  return [bar, text];
}

/** @param {Element} shape @param {number | undefined} colour */
function tint(shape, colour) {
  if (colour !== undefined) shape.setAttribute("data-colour", String(colour));
}
