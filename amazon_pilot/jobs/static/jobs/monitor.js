// Live pages: one request at a time, none in a hidden tab, none while rows are chosen or a form is open. And the charts.
"use strict";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- Refreshing

const refresh = document.querySelector("[data-refresh]");
const live = document.querySelector("[data-live]");
let inFlight = false, failures = 0, timer = 0;

function seconds() {
  return Number(localStorage.getItem("monitor.seconds") ?? 5);
}

// Rows stay still while somebody chooses among them or fills in a form.
function isBusy() {
  return Boolean(live.querySelector("details[open] form, [data-choose]:checked, dialog[open]"));
}

function tick() {
  clearTimeout(timer);
  if (!seconds()) return;
  if (!document.hidden && !inFlight && !isBusy()) document.body.dispatchEvent(new Event("tick"));
  timer = setTimeout(tick, seconds() * 1000 * Math.min(8, 2 ** failures));
}

function focusables() {
  return [...live.querySelectorAll("a, button, select, input, summary, [tabindex]")];
}

if (live && refresh) {
  const select = refresh.querySelector("select"), state = refresh.querySelector("[data-refresh-state]");
  let focused = -1, open = [];
  select.value = String(seconds());
  select.addEventListener("change", () => { localStorage.setItem("monitor.seconds", select.value); tick(); });
  refresh.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  live.addEventListener("htmx:beforeRequest", (event) => { if (event.target === live) inFlight = true; });
  live.addEventListener("htmx:afterRequest", (event) => {
    if (event.target !== live) return;
    inFlight = false;
    failures = event.detail.successful ? 0 : failures + 1;
    state.textContent = failures ? "⚠" : "";
    state.title = failures ? `${event.detail.xhr.status || "–"}` : "";
  });
  live.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target !== live) return;
    focused = focusables().indexOf(document.activeElement);
    open = [...live.querySelectorAll("details")].map((each) => each.open);
  });
  live.addEventListener("htmx:afterSwap", (event) => {
    if (event.target !== live) return;
    [...live.querySelectorAll("details")].forEach((each, n) => { if (open[n]) each.open = true; });
    if (focused >= 0) focusables()[focused]?.focus({ preventScroll: true });
  });
  timer = setTimeout(tick, seconds() * 1000);
}

// ---- Charts

const drawn = [];

function axis(extra) {
  return { stroke: style("--body-quiet-color"), grid: { stroke: style("--hairline-color"), width: 1 }, ticks: { stroke: style("--hairline-color") }, ...extra };
}

function line(label, color, extra) {
  return { label, stroke: style(color), width: 2, points: { show: false }, ...extra };
}

function draw(box, title, data, series) {
  box.replaceChildren();
  const chart = new uPlot({
    title, width: box.clientWidth, height: 200, series: [{ label: box.closest("[data-charts]").dataset.time }, ...series], axes: [axis({}), axis({ size: 56 })],
    scales: { y: { range: (u, min, max) => [0, Math.max(1, max ?? 1) * 1.05] } }, cursor: { drag: { x: true, y: false } },
  }, data, box);
  drawn.push([box, chart]);
}

function table(panel, data) {
  const words = panel.dataset, target = panel.querySelector("[data-chart-table]");
  const row = (cells, tag) => { const tr = document.createElement("tr"); cells.forEach((text, n) => { const cell = document.createElement(n && tag === "td" ? "td" : "th"); if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row"; cell.textContent = text; tr.append(cell); }); return tr; };
  target.querySelector("thead").replaceChildren(row([words.time, words.succeeded, words.failed, words.other, words.wait, words.longest], "th"));
  target.querySelector("tbody").replaceChildren(...data.at.map((at, n) => row([new Date(at * 1000).toLocaleString(), data.succeeded[n], data.failed[n], data.other[n], data.wait[n] ?? "–", data.longest_wait[n] ?? "–"], "td")));
}

async function show(panel, range) {
  const words = panel.dataset, note = panel.querySelector("[data-chart-note]");
  const address = new URLSearchParams({ range, queue: words.queue, task: words.task });
  const answer = await fetch(`${words.charts}?${address}`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) { note.textContent = words.error; return; }
  const data = await answer.json();
  drawn.length = 0;
  note.textContent = data.at.some((_, n) => data.succeeded[n] + data.failed[n] + data.other[n]) ? "" : words.empty;
  draw(panel.querySelector('[data-chart="runs"]'), words.runs, [data.at, data.succeeded, data.failed, data.other],
    [line(words.succeeded, "--m-chart-good"), line(words.failed, "--m-chart-bad", { dash: [6, 3] }), line(words.other, "--m-chart-other", { dash: [2, 3] })]);
  draw(panel.querySelector('[data-chart="wait"]'), words.wait, [data.at, data.wait, data.longest_wait],
    [line(words.wait, "--m-link"), line(words.longest, "--m-chart-other", { dash: [2, 3] })]);
  table(panel, data);
}

const charts = document.querySelector("[data-charts]");
if (charts) {
  const buttons = [...document.querySelectorAll("[data-range]")];
  const choose = (range) => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.range === range)));
    const address = new URL(location);
    if (range === "1h") address.searchParams.delete("range"); else address.searchParams.set("range", range);
    history.replaceState(null, "", address);
    show(charts, range);
  };
  const first = new URLSearchParams(location.search).get("range");
  buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.range)));
  const start = () => choose(buttons.some((button) => button.dataset.range === first) ? first : "1h");
  start();
  setInterval(() => { if (!document.hidden && seconds()) show(charts, buttons.find((button) => button.getAttribute("aria-pressed") === "true").dataset.range); }, 60000);
  new ResizeObserver(() => drawn.forEach(([box, chart]) => chart.setSize({ width: box.clientWidth, height: 200 }))).observe(charts);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", start);
  document.querySelectorAll(".theme-toggle").forEach((toggle) => toggle.addEventListener("click", () => setTimeout(start, 50)));
}

// ---- Choosing rows: all of the page at once, a range with Shift, and how many.

const chooser = document.querySelector("[data-chooser]");
if (chooser) {
  let last = null;
  const boxes = () => [...document.querySelectorAll("[data-choose]")];
  const count = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    chooser.querySelectorAll("[data-chosen-count]").forEach((place) => { place.textContent = chosen; });
    chooser.querySelectorAll("[data-needs-choice]").forEach((button) => { button.disabled = !chosen; });
  };
  document.addEventListener("click", (event) => {
    const box = event.target;
    if (box.matches?.("[data-choose-all]")) boxes().forEach((each) => { each.checked = box.checked; });
    if (box.matches?.("[data-choose]")) {
      if (event.shiftKey && last) {
        const all = boxes(), [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
        all.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
      }
      last = box;
    }
    count();
  });
  count();
}

// ---- Counting down what comes back by itself; the server corrects it at each refresh.

setInterval(() => document.querySelectorAll("[data-countdown]").forEach((place) => {
  const left = Math.max(0, Number(place.dataset.countdown) - 1);
  place.dataset.countdown = String(left);
  place.textContent = place.textContent.replace(/\d+(\.\d+)?/, String(Math.round(left)));
}), 1000);

// ---- Copying an id, and two keys: / to search, ? for help.

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) navigator.clipboard?.writeText(button.dataset.copy).then(() => { button.textContent = button.dataset.copied; });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  const box = document.querySelector("[data-search]");
  if (box) { event.preventDefault(); box.focus(); box.select(); }
});
