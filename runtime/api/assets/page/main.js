// The page: listens to the daemon's figures, and shows them.

import { bytes, count, rate } from "./format.js";
import { TalkMap } from "./map.js";
import { Model } from "./model.js";
import { Plots } from "./plots.js";
import { Tables } from "./tables.js";
import { setText } from "./table.js";

/** How long the page waits before it asks again where it was refused, in milliseconds. */
const AGAIN = 5000;

/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const model = new Model();
const plots = new Plots();
const map = new TalkMap(find("map"));
const tables = new Tables(choose);
const filter = /** @type {HTMLInputElement} */ (find("filter"));
const pause = find("pause");

/** @type {EventSource | null} */
let source = null;
/** @type {number | undefined} */
let retry;
let isPaused = false;

/** @param {"live" | "paused" | "lost" | "waiting"} state @param {string} text */
function say(state, text) {
  const place = find("state");
  place.dataset.state = state;
  setText(place, text);
}

/** Listens, unless the page is paused or nobody sees it: the daemon measures only for those who look. */
function listen() {
  clearTimeout(retry);
  source?.close();
  source = null;
  if (isPaused || document.hidden) return;
  model.gap(Date.now() / 1000);
  source = new EventSource("page/live");
  source.addEventListener("message", (event) => {
    say("live", "Live");
    const news = model.take(JSON.parse(event.data), Date.now() / 1000);
    if (news.length > 0) setText(find("news"), news.join(". "));
    show();
  });
  source.addEventListener("error", () => {
    say("lost", "No connection with the daemon");
    // A browser asks again by itself, unless it was refused.
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(listen, AGAIN);
  });
}

/** Shows one container alone, or all again. @param {string | null} id */
function choose(id) {
  tables.chosen = tables.chosen === id ? null : id;
  show();
}

function show() {
  const needle = filter.value.trim().toLowerCase();
  const all = [...model.containers.values()];
  if (!model.containers.has(tables.chosen ?? "")) tables.chosen = null;
  const fits = all.filter(({ told }) => `${told.Name} ${told.Image}`.toLowerCase().includes(needle));
  const plotted = tables.chosen === null ? fits : fits.filter(({ told }) => told.Id === tables.chosen);
  const names = new Set(plotted.map(({ told }) => told.Name));
  const isNarrowed = needle !== "" || tables.chosen !== null;
  const isShown = (/** @type {string | undefined} */ name) => !isNarrowed || (name !== undefined && names.has(name));
  const colours = new Map(all.map(({ told, colour }) => [told.Name, colour]));

  tables.update(model, fits, isShown);
  plots.update(model.times, plotted);
  const talks = model.talks.filter((talk) => isShown(talk.From.Name) || isShown(talk.To.Name));
  map.update(talks, (name) => colours.get(name ?? ""));
  const more = find("talks-more");
  more.hidden = model.talksLeftOut === 0;
  setText(more, `${count(model.talksLeftOut)} more are not listed: the busiest are.`);
  summarise(all);
}

/** @param {import("./model.js").Container[]} all */
function summarise(all) {
  const sum = (/** @type {import("./model.js").Figure} */ figure) =>
    all.reduce((total, container) => total + (container.now[figure] ?? 0), 0);
  const running = all.filter(({ told }) => told.Usage).length;
  const { Cpus, Memory, Name, Version } = model.host;
  const refused = model.drops.reduce((total, drops) => total + drops.recent, 0);
  setText(find("host"), Name);
  setText(find("version"), `Beeline ${Version}`);
  tile("sum-containers", count(running), running === all.length ? "running" : `of ${count(all.length)} running`);
  tile("sum-cpu", (sum("cpu") / 100).toFixed(2), `of ${count(Cpus)}`);
  tile("sum-memory", bytes(sum("memory")), `of ${bytes(Memory)}`);
  tile("sum-network", rate(sum("received") + sum("sent")), "");
  tile("sum-io", rate(sum("read") + sum("written")), "");
  tile("sum-drops", count(refused), "in the last minute");
}

/** @param {string} id @param {string} value @param {string} note */
function tile(id, value, note) {
  const place = find(id);
  if (place.childElementCount === 0) place.replaceChildren(document.createElement("b"), " ", document.createElement("span"));
  const [figure, words] = place.children;
  setText(figure, value);
  setText(words, note);
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) say("paused", "Paused");
  else say("waiting", "Connecting");
  listen();
});
filter.addEventListener("input", show);
document.addEventListener("visibilitychange", listen);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && tables.chosen !== null) choose(tables.chosen);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  plots.repaint();
  show();
});
new ResizeObserver(show).observe(find("map"));
listen();
