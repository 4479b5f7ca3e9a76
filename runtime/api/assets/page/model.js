// What the daemon told, as figures to show: rates from sums, and the last minutes of each.

/** How many samples are kept: three minutes at one a second. */
export const KEPT = 180;

/** How many colours the style sheet has. */
export const COLOURS = 8;

/** How far back a refusal is called recent, in seconds. */
const RECENT = 60;

/**
 * @typedef {object} Usage sums since the container's start, but for memory and tasks
 * @property {number} Time nanoseconds since the epoch
 * @property {number} Cpu nanoseconds
 * @property {number} Memory
 * @property {number} MemoryLimit
 * @property {number} Received
 * @property {number} Transmitted
 * @property {number} Read
 * @property {number} Written
 * @property {number} Tasks
 */

/**
 * @typedef {object} ContainerOverview
 * @property {string} Id
 * @property {string} Name
 * @property {string} Image
 * @property {string} State
 * @property {string} Health
 * @property {number} Restarts
 * @property {Usage | null} Usage
 */

/** @typedef {{ Kind: "container" | "host" | "outside", Name?: string }} Party */
/** @typedef {{ From: Party, To: Party, Connections: number, Sent: number, Received: number }} Talk */
/** @typedef {{ Reason: string, Hint: string, Packets: number }} Drops */
/** @typedef {{ Address: string, Port: number, ContainerName?: string }} FlowEnd */
/** @typedef {{ Reason: string, Hint: string, RuleScope?: string, RuleSource?: string }} FlowDrop */
/** @typedef {{ Time: string, Protocol: string, Source?: FlowEnd, Destination?: FlowEnd, Drop: FlowDrop }} Refusal */
/** @typedef {{ Scope: string, Action: string, Source: string, Hits: number }} Rule */

/**
 * @typedef {object} Port
 * @property {string} ContainerName
 * @property {string} Protocol
 * @property {string} HostIP
 * @property {number} HostPort
 * @property {number} HostPortLast
 * @property {string} ContainerIP
 * @property {number} ContainerPort
 * @property {number} ContainerPortLast
 * @property {number} Connections
 * @property {number} Refused
 * @property {number} Packets
 * @property {number} Bytes
 * @property {Rule[]} Rules
 */

/**
 * @typedef {object} Sample
 * @property {{ Name: string, Version: string, Cpus: number, Memory: number }} Host
 * @property {ContainerOverview[]} Containers
 * @property {Port[]} Ports
 * @property {Drops[]} Drops
 * @property {Refusal[]} Recent the last ones first
 * @property {Talk[]} Talks
 * @property {number} TalksLeftOut
 */

/** What is plotted of a container. */
const FIGURES = /** @type {const} */ (["cpu", "memory", "received", "sent", "read", "written"]);

/** @typedef {(typeof FIGURES)[number]} Figure */

/** A container with what it uses now and used before. */
export class Container {
  /** @param {ContainerOverview} told @param {number} colour @param {number} past how many samples it was not there for */
  constructor(told, colour, past) {
    this.told = told;
    this.colour = colour;
    /** @type {Record<Figure, number | null>} */
    this.now = { cpu: null, memory: null, received: null, sent: null, read: null, written: null };
    /** @type {Record<Figure, (number | null)[]>} */
    this.history = { cpu: [], memory: [], received: [], sent: [], read: [], written: [] };
    for (const figure of FIGURES) this.history[figure] = Array(past).fill(null);
  }

  /** @param {ContainerOverview} told */
  update(told) {
    const before = this.told.Usage;
    this.told = told;
    this.#measure(before, told.Usage);
    this.#keep((figure) => this.now[figure]);
  }

  /** Leaves a gap in its curves. */
  gap() {
    this.#keep(() => null);
  }

  /** @param {(figure: Figure) => number | null} value */
  #keep(value) {
    for (const figure of FIGURES) {
      const values = this.history[figure];
      values.push(value(figure));
      if (values.length > KEPT) values.shift();
    }
  }

  /** @param {Usage | null} before @param {Usage | null} now */
  #measure(before, now) {
    const figures = this.now;
    if (!now) {
      for (const figure of FIGURES) figures[figure] = null;
      return;
    }
    figures.memory = now.Memory;
    const nanoseconds = before ? now.Time - before.Time : 0;
    // The same sample once more says nothing new; sums that went back are of a new start.
    if (!before || nanoseconds <= 0 || now.Cpu < before.Cpu) return;
    const perSecond = (/** @type {number} */ sum, /** @type {number} */ earlier) =>
      Math.max(0, ((sum - earlier) * 1e9) / nanoseconds);
    figures.cpu = perSecond(now.Cpu, before.Cpu) / 1e7;
    figures.received = perSecond(now.Received, before.Received);
    figures.sent = perSecond(now.Transmitted, before.Transmitted);
    figures.read = perSecond(now.Read, before.Read);
    figures.written = perSecond(now.Written, before.Written);
  }
}

/** All that the page shows. */
export class Model {
  constructor() {
    /** When each sample came, in seconds since the epoch. @type {number[]} */
    this.times = [];
    /** @type {Map<string, Container>} */
    this.containers = new Map();
    /** @type {(Port & { key: string, perSecond: number })[]} */
    this.ports = [];
    /** @type {(Drops & { recent: number, last: number | null })[]} */
    this.drops = [];
    /** @type {(Refusal & { key: string })[]} */
    this.refused = [];
    /** @type {(Talk & { key: string, perSecond: number })[]} */
    this.talks = [];
    this.talksLeftOut = 0;
    this.host = { Name: "", Version: "", Cpus: 1, Memory: 0 };
    /** Refusals that were seen happen, by reason. @type {Map<string, { at: number, packets: number }[]>} */
    this.refusals = new Map();
    /** @type {Map<string, number>} */
    this.refusedBefore = new Map();
  }

  /**
   * Takes a sample that came at a time.
   * @param {Sample} sample
   * @param {number} time in seconds since the epoch
   * @returns {string[]} what is worth saying aloud
   */
  take(sample, time) {
    const last = this.times.at(-1);
    const isFirst = last === undefined;
    this.host = sample.Host;
    const news = this.#containers(sample.Containers, isFirst);
    this.#pass(time);
    const seconds = last === undefined ? 0 : time - last;
    this.#ports(sample.Ports, seconds);
    this.#talks(sample.Talks, seconds);
    this.#drops(sample.Drops, time, isFirst);
    this.refused = keyed(sample.Recent);
    this.talksLeftOut = sample.TalksLeftOut;
    return news;
  }

  /** Breaks the curves: what was missed while nobody looked is no straight line. @param {number} time */
  gap(time) {
    if (this.times.length === 0) return;
    for (const container of this.containers.values()) container.gap();
    this.#pass(time);
  }

  /** @param {number} time */
  #pass(time) {
    this.times.push(time);
    if (this.times.length > KEPT) this.times.shift();
  }

  /** @param {ContainerOverview[]} told @param {boolean} isFirst */
  #containers(told, isFirst) {
    /** @type {string[]} */
    const news = [];
    const present = new Set(told.map((container) => container.Id));
    for (const [id, container] of this.containers) {
      if (present.has(id)) continue;
      this.containers.delete(id);
      news.push(`${container.told.Name} was removed`);
    }
    for (const container of told) {
      const known = this.containers.get(container.Id);
      const entry = known ?? new Container(container, this.#freeColour(), this.times.length);
      if (known && known.told.State !== container.State) news.push(`${container.Name} is ${container.State}`);
      else if (!known && !isFirst) news.push(`${container.Name} is new`);
      this.containers.set(container.Id, entry);
      entry.update(container);
    }
    return news;
  }

  /** The colour that the fewest have. */
  #freeColour() {
    const uses = Array(COLOURS).fill(0);
    for (const container of this.containers.values()) uses[container.colour] += 1;
    return uses.indexOf(Math.min(...uses));
  }

  /** @param {Port[]} told @param {number} seconds since the sample before */
  #ports(told, seconds) {
    const before = new Map(this.ports.map((port) => [port.key, port.Connections]));
    this.ports = told.map((port) => {
      const key = `${port.Protocol} ${port.HostIP} ${port.HostPort} ${port.ContainerIP}`;
      const more = port.Connections - (before.get(key) ?? port.Connections);
      return { ...port, key, perSecond: seconds > 0 ? Math.max(0, more) / seconds : 0 };
    });
  }

  /** @param {Talk[]} told @param {number} seconds since the sample before */
  #talks(told, seconds) {
    const before = new Map(this.talks.map((talk) => [talk.key, talk.Sent + talk.Received]));
    this.talks = told.map((talk) => {
      const key = `${talk.From.Kind} ${talk.From.Name} ${talk.To.Kind} ${talk.To.Name}`;
      const bytes = talk.Sent + talk.Received;
      const more = bytes - (before.get(key) ?? bytes);
      return { ...talk, key, perSecond: seconds > 0 ? Math.max(0, more) / seconds : 0 };
    });
  }

  /** @param {Drops[]} told @param {number} time @param {boolean} isFirst */
  #drops(told, time, isFirst) {
    this.drops = told.map((drops) => {
      const seen = this.refusals.get(drops.Reason) ?? [];
      const before = this.refusedBefore.get(drops.Reason) ?? (isFirst ? drops.Packets : 0);
      if (drops.Packets > before) seen.push({ at: time, packets: drops.Packets - before });
      while (seen.length > 1 && seen[0].at < time - RECENT) seen.shift();
      this.refusals.set(drops.Reason, seen);
      this.refusedBefore.set(drops.Reason, drops.Packets);
      const recent = seen.filter((refusal) => refusal.at >= time - RECENT);
      const packets = recent.reduce((sum, refusal) => sum + refusal.packets, 0);
      return { ...drops, recent: packets, last: seen.at(-1)?.at ?? null };
    });
  }
}

/**
 * Refusals with what tells them apart: several may be of one moment.
 * @param {Refusal[]} refusals
 */
function keyed(refusals) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  // From the oldest on: a new one changes no other's key.
  const named = [...refusals].reverse().map((refusal) => {
    const again = (seen.get(refusal.Time) ?? 0) + 1;
    seen.set(refusal.Time, again);
    return { ...refusal, key: `${refusal.Time} ${again}` };
  });
  return named.reverse();
}
