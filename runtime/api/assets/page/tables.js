// The page's four tables.

import { ago, bytes, clock, count, frequency, percent, rate, socket } from "./format.js";
import { Table, setText } from "./table.js";

/** @typedef {import("./model.js").Container} Container */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Party} Party */

/** @param {string} id */
const table = (id) => /** @type {HTMLTableElement} */ (document.getElementById(id));

/** A figure that is not there is sorted below all that are. */
const ABSENT = -1;

/**
 * @param {import("./model.js").Figure} figure
 * @param {string} label
 * @param {(value: number) => string} text
 */
const figure = (figure, label, text) => ({
  label,
  value: (/** @type {Container} */ row) => row.now[figure] ?? ABSENT,
  text: (/** @type {Container} */ row) => {
    const value = row.now[figure];
    return value === null ? "–" : text(value);
  },
});

/**
 * How a person calls it.
 * @param {Party} party
 */
export const partyName = (party) => party.Name ?? (party.Kind === "host" ? "this host" : "outside");

/**
 * @param {Container} row
 * @returns {string} such as `running, healthy`
 */
function state(row) {
  const { State, Health, Restarts } = row.told;
  const again = Restarts > 0 ? `, ${count(Restarts)} ${Restarts === 1 ? "restart" : "restarts"}` : "";
  return `${State}${Health ? `, ${Health}` : ""}${again}`;
}

/** @param {import("./model.js").Port} port */
function rules(port) {
  const one = (/** @type {import("./model.js").Rule} */ rule) =>
    `${rule.Action} ${rule.Source || "all others"} (${count(rule.Hits)})`;
  return port.Rules.map(one).join(", ") || "everybody";
}

/** All tables, and the choice of one container in the first. */
export class Tables {
  /** @param {(id: string) => void} choose is called with the container whose name is pressed */
  constructor(choose) {
    this.choose = choose;
    /** @type {string | null} */
    this.chosen = null;
    this.containers = this.#containers();
    this.talks = talks();
    this.ports = ports();
    this.now = 0;
    this.drops = this.#drops();
    this.refused = refused();
  }

  #containers() {
    const memory = (/** @type {Container} */ row) => {
      const usage = row.told.Usage;
      return usage ? `${bytes(usage.Memory)} of ${bytes(usage.MemoryLimit)}` : "–";
    };
    return new Table(table("table-containers"), "What each container uses now", (/** @type {Container} */ row) => row.told.Id, [
      { label: "Name", wide: true, value: (row) => row.told.Name, fill: (cell, row) => this.#name(cell, row) },
      { label: "State", wide: true, value: (row) => row.told.State, fill: fillState },
      figure("cpu", "CPU", percent),
      { label: "Memory", value: (row) => row.now.memory ?? ABSENT, text: memory },
      figure("received", "Received", rate),
      figure("sent", "Sent", rate),
      figure("read", "Read", rate),
      figure("written", "Written", rate),
      { label: "Tasks", value: (row) => row.told.Usage?.Tasks ?? ABSENT, text: (row) => String(row.told.Usage?.Tasks ?? "–") },
    ], 0);
  }

  /** @param {HTMLElement} cell @param {Container} row */
  #name(cell, row) {
    let button = cell.querySelector("button");
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "name";
      button.title = "Show it alone";
      button.addEventListener("click", () => this.choose(row.told.Id));
      const image = document.createElement("span");
      image.className = "image muted";
      cell.append(button, image);
    }
    setText(button, row.told.Name);
    setText(/** @type {Element} */ (cell.lastElementChild), row.told.Image);
    button.dataset.colour = String(row.colour);
    button.setAttribute("aria-pressed", String(this.chosen === row.told.Id));
  }

  #drops() {
    /** @typedef {Model["drops"][number]} Row */
    return new Table(table("table-drops"), "Packets that were refused, by reason", (/** @type {Row} */ row) => row.Reason, [
      { label: "Reason", wide: true, value: (row) => row.Reason, text: (row) => row.Reason.replaceAll("_", " ") },
      { label: "Packets", value: (row) => row.Packets, text: (row) => count(row.Packets) },
      { label: "In the last minute", value: (row) => row.recent, text: (row) => count(row.recent) },
      { label: "Last", value: (row) => row.last ?? 0, text: (row) => (row.last === null ? "earlier" : ago(this.now - row.last)) },
      { label: "What it means", wide: true, value: (row) => row.Hint },
    ], 2);
  }

  /** @param {Model} model @param {Container[]} shown @param {(name: string | undefined) => boolean} isShown */
  update(model, shown, isShown) {
    this.now = model.times.at(-1) ?? 0;
    fill(this.containers, shown);
    fill(this.talks, model.talks.filter((talk) => isShown(talk.From.Name) || isShown(talk.To.Name)));
    fill(this.ports, model.ports.filter((port) => isShown(port.ContainerName)));
    fill(this.drops, model.drops);
    const narrowed = model.refused.filter(({ Source, Destination }) => isShown(Source?.ContainerName) || isShown(Destination?.ContainerName));
    this.refused.update(narrowed);
    /** @type {HTMLElement} */ (document.getElementById("refused")).hidden = narrowed.length === 0;
  }
}

/** @param {HTMLElement} cell @param {Container} row */
function fillState(cell, row) {
  setText(cell, state(row));
  cell.dataset.mood = row.told.Health === "unhealthy" ? "bad" : row.told.State === "running" ? "good" : "idle";
}

function talks() {
  /** @typedef {Model["talks"][number]} Row */
  return new Table(table("table-talks"), "Who has talked to whom since somebody began to look", (/** @type {Row} */ row) => row.key, [
    { label: "From", wide: true, value: (row) => partyName(row.From) },
    { label: "To", wide: true, value: (row) => partyName(row.To) },
    { label: "Connections", value: (row) => row.Connections, text: (row) => count(row.Connections) },
    { label: "Sent", value: (row) => row.Sent, text: (row) => bytes(row.Sent) },
    { label: "Received", value: (row) => row.Received, text: (row) => bytes(row.Received) },
    { label: "Now", value: (row) => row.perSecond, text: (row) => rate(row.perSecond) },
  ], 2);
}

/**
 * One end of what was refused: a container by its name, anybody else by the address.
 * @param {import("./model.js").FlowEnd | undefined} end
 */
function refusedEnd(end) {
  if (!end) return "unreadable";
  return end.ContainerName ? `${end.ContainerName}${end.Port ? `:${end.Port}` : ""}` : end.Port ? socket(end.Address, end.Port, 0) : end.Address;
}

/** @param {import("./model.js").FlowDrop} drop */
function byRule(drop) {
  return drop.RuleScope ? `${drop.RuleSource ? `deny ${drop.RuleSource}` : "not among those allowed"} (${drop.RuleScope})` : "";
}

function refused() {
  /** @typedef {Model["refused"][number]} Row */
  return new Table(table("table-refused"), "The packets that were refused last", (/** @type {Row} */ row) => row.key, [
    { label: "Time", wide: true, value: (row) => Date.parse(row.Time), text: (row) => clock(new Date(row.Time)) },
    { label: "Reason", wide: true, value: (row) => row.Drop.Reason, text: (row) => row.Drop.Reason.replaceAll("_", " ") },
    { label: "Protocol", wide: true, value: (row) => row.Protocol },
    { label: "From", wide: true, value: (row) => refusedEnd(row.Source) },
    { label: "To", wide: true, value: (row) => refusedEnd(row.Destination) },
    { label: "Rule", wide: true, value: (row) => byRule(row.Drop) },
  ], 0, true);
}

function ports() {
  /** @typedef {Model["ports"][number]} Row */
  const host = (/** @type {Row} */ row) => `${socket(row.HostIP, row.HostPort, row.HostPortLast)}/${row.Protocol}`;
  const inside = (/** @type {Row} */ row) =>
    row.ContainerPortLast > row.ContainerPort ? `${row.ContainerPort}-${row.ContainerPortLast}` : `${row.ContainerPort}`;
  return new Table(table("table-ports"), "Published ports, and what came through them", (/** @type {Row} */ row) => row.key, [
    { label: "Port", wide: true, value: (row) => row.HostPort, text: host },
    { label: "Leads to", wide: true, value: (row) => row.ContainerName, text: (row) => `${row.ContainerName}:${inside(row)}` },
    { label: "Connections", value: (row) => row.Connections, text: (row) => count(row.Connections) },
    { label: "A second", value: (row) => row.perSecond, text: (row) => frequency(row.perSecond) },
    { label: "Received", value: (row) => row.Bytes, text: (row) => bytes(row.Bytes) },
    { label: "Refused", value: (row) => row.Refused, text: (row) => count(row.Refused) },
    { label: "Who may come", wide: true, value: rules },
  ], 0);
}

/**
 * Brings a table up to date, or says that there is nothing.
 * @template Row
 * @param {Table<Row>} of
 * @param {Row[]} rows
 */
function fill(of, rows) {
  of.update(rows);
  const section = /** @type {HTMLElement} */ (of.table.closest("section"));
  const isEmpty = rows.length === 0;
  section.classList.toggle("is-empty", isEmpty);
  const note = section.querySelector(".empty");
  if (note instanceof HTMLElement) note.hidden = !isEmpty;
}
