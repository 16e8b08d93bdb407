// Live pages: one request at a time, none in a hidden tab; they stay as they are while rows are chosen or a form is open. And the charts, and the keys.
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
const isChoosing = () => Boolean(live.querySelector("[data-choose]:checked"));
const isBusy = () => isChoosing() || Boolean(live.querySelector("details[open] form"));

// A box of text stays where its reader has scrolled it to; one that grows is followed to its end until he scrolls up.
const boxes = () => [...live.querySelectorAll("pre")];
const isAtEnd = (box) => box.scrollHeight - box.clientHeight - box.scrollTop < 8;
const toEnd = (box) => { if (box.matches("[data-follow]")) box.scrollTop = box.scrollHeight; };

// What has ended does not change any more: the page stops asking, and says no longer that it does.
function isSettled() {
  const settled = Boolean(live.querySelector("[data-settled]"));
  if (settled) refresh.hidden = true;
  return settled;
}

function tick() {
  clearTimeout(timer);
  if (!seconds() || isSettled()) return;
  if (!document.hidden && !inFlight && !isBusy()) document.body.dispatchEvent(new Event("tick"));
  else if (!document.hidden && !inFlight && changed && isChoosing()) compare();
  timer = setTimeout(tick, seconds() * 1000 * Math.min(8, 2 ** failures));
}

// ---- While rows are chosen the list is asked for all the same, and a bar tells what would be new in it.

const changed = document.querySelector("[data-changed]");
let next = null;

const rowsOf = (place) => [...place.querySelectorAll("[data-choose]")].map((box) => [box.value, box.closest("tr").querySelector(".state").textContent]);

function tellChanged(text) {
  changed.querySelector("[data-changed-text]").textContent = text;
  changed.querySelector("[data-changed-show]").hidden = !text;
}

async function compare() {
  inFlight = true;
  const answer = await fetch(live.getAttribute("hx-get"), { headers: { "HX-Request": "true" } }).catch(() => null);
  const text = answer?.ok && !answer.redirected ? await answer.text().catch(() => "") : "";
  inFlight = false;
  failures = text ? 0 : failures + 1;
  if (!text || !isChoosing()) return;
  next = new DOMParser().parseFromString(text, "text/html").body;
  next.querySelectorAll("[hx-swap-oob]").forEach((each) => each.remove()); // the line of health is not of the list
  const known = rowsOf(live), ids = new Set(known.map(([id]) => id)), found = rowsOf(next);
  const fresh = new Set(found.map(([id]) => id).filter((id) => !ids.has(id))).size;
  const words = changed.dataset;
  tellChanged(String(known) === String(found) ? "" : fresh === 1 ? words.one : fresh ? words.many.replace("{n}", fresh) : words.other);
}

changed?.querySelector("[data-changed-show]").addEventListener("click", () => {
  const chosen = new Set([...live.querySelectorAll("[data-choose]:checked")].map((box) => box.value));
  live.replaceChildren(...next.childNodes);
  live.querySelectorAll("[data-choose]").forEach((box) => { box.checked = chosen.has(box.value); });
  tellChanged("");
  live.querySelector(".wide")?.focus({ preventScroll: true });
});

function focusables() {
  const places = document.querySelectorAll("[data-live], [data-live-rest]"); // the overview has its charts between the two
  return [...places].flatMap((place) => [...place.querySelectorAll("a, button, select, input, summary, [tabindex]")]);
}

if (live && refresh) {
  const select = refresh.querySelector("select"), state = refresh.querySelector("[data-refresh-state]");
  let focused = -1, address = "", open = [], scrolled = [];
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
    if (isBusy()) { event.detail.shouldSwap = false; return; } // somebody began meanwhile
    focused = focusables().indexOf(document.activeElement);
    address = document.activeElement.getAttribute("href") ?? "";
    open = [...live.querySelectorAll("details")].map((each) => each.open);
    scrolled = boxes().map((each) => ({ top: each.scrollTop, left: each.scrollLeft, follows: isAtEnd(each) }));
  });
  live.addEventListener("htmx:afterSwap", (event) => {
    if (event.target !== live) return;
    [...live.querySelectorAll("details")].forEach((each, n) => { if (open[n]) each.open = true; });
    if (changed) tellChanged("");
    boxes().forEach((each, n) => {
      if (!scrolled[n] || (scrolled[n].follows && each.matches("[data-follow]"))) toEnd(each);
      else each.scrollTo(scrolled[n].left, scrolled[n].top);
    });
    // The same row where it is still there: new ones may have come above it.
    const same = focusables().find((each) => address && each.getAttribute("href") === address);
    if (focused >= 0) (same ?? focusables()[focused])?.focus({ preventScroll: true });
  });
  boxes().forEach(toEnd);
  timer = setTimeout(tick, seconds() * 1000);
}

// ---- Charts

const drawn = [];
let marks = []; // the releases of the time shown

// A line where a release began, with its name: what changes there may have changed with it.
function drawMarks(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = style("--body-quiet-color");
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.font = `${11 * devicePixelRatio}px ${style("--font-family-primary") || "sans-serif"}`;
  marks.forEach(({ at, name }) => {
    const x = Math.round(chart.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.textAlign = x > bbox.left + bbox.width * 0.8 ? "right" : "left";
    ctx.fillText(name.slice(0, 20), x + (ctx.textAlign === "left" ? 4 : -4) * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
  });
  ctx.restore();
}

function axis(extra) {
  return { stroke: style("--body-quiet-color"), grid: { stroke: style("--hairline-color"), width: 1 }, ticks: { stroke: style("--hairline-color") }, ...extra };
}

// A value alone between two gaps makes no line, and where steps are few that is common: there each is a point too.
function line(label, color, extra) {
  return { label, stroke: style(color), width: 2, points: { show: (chart) => chart.data[0].length <= 25 }, ...extra };
}

function draw(box, title, data, series) {
  box.replaceChildren();
  const chart = new uPlot({
    title, width: box.clientWidth, height: box.closest(".small") ? 130 : 200, series: [{ label: box.closest("[data-charts]").dataset.time, value: times.legend }, ...series], axes: [axis(times.axis), axis({ size: 56 })],
    scales: { y: { range: (u, min, max) => [0, Math.max(1, max ?? 1) * 1.05] } }, cursor: { drag: { x: true, y: false } },
    hooks: { draw: [drawMarks] },
  }, data, box);
  drawn.push([box, chart]);
}

function table(panel, data) {
  const words = panel.dataset, target = panel.querySelector("[data-chart-table]");
  const row = (cells, tag) => { const tr = document.createElement("tr"); cells.forEach((text, n) => { const cell = document.createElement(n && tag === "td" ? "td" : "th"); if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row"; cell.textContent = text; tr.append(cell); }); return tr; };
  const columns = [[words.succeeded, data.succeeded], [words.failed, data.failed], [words.other, data.other], [words.wait, data.wait], [words.longest, data.longest_wait]];
  const held = data.gauges;
  if (held) columns.push([words.perSecond, data.per_second], [words.failedPerSecond, data.failed_per_second], [words.errorRate, data.error_rate], [words.size, held.size], [words.waiting, held.waiting], [words.running, held.running], [words.retries, held.retries], [words.archived, held.failed], [words.oldest, held.oldest.map(whole)], [words.memory, held.memory.map(megabytes)]);
  target.querySelector("thead").replaceChildren(row([words.time, ...columns.map(([title]) => title)], "th"));
  target.querySelector("tbody").replaceChildren(...data.at.map((at, n) => row([times.moment(at * 1000), ...columns.map(([, values]) => values[n] ?? "–")], "td")));
}

const megabytes = (bytes) => bytes === null ? null : Math.round(bytes / 1e4) / 100;
const whole = (seconds) => seconds === null ? null : Math.round(seconds);

// What one queue held: only its own page has room for it.
function drawGauges(panel, words, data) {
  const held = data.gauges, place = (name) => panel.querySelector(`[data-chart="${name}"]`);
  draw(place("pace"), words.perSecond, [data.at, data.per_second, data.failed_per_second],
    [line(words.perSecond, "--m-link"), line(words.failedPerSecond, "--m-chart-bad", { dash: [6, 3] })]);
  draw(place("rate"), words.errorRate, [data.at, data.error_rate], [line(words.errorRate, "--m-chart-bad")]);
  draw(place("sizes"), words.sizes, [data.at, held.size, held.waiting, held.running, held.retries, held.failed],
    [line(words.size, "--body-fg"), line(words.waiting, "--m-link", { dash: [8, 3] }), line(words.running, "--m-chart-good", { dash: [6, 3] }), line(words.retries, "--m-chart-other", { dash: [2, 3] }), line(words.archived, "--m-chart-bad", { dash: [10, 3, 2, 3] })]);
  draw(place("oldest"), words.oldest, [data.at, held.oldest], [line(words.oldest, "--m-chart-other")]);
  draw(place("memory"), words.memory, [data.at, held.memory.map(megabytes)], [line(words.memory, "--m-chart-good")]);
}

// The same in words, for who does not see the lines.
function tellMarks(panel) {
  const place = panel.querySelector("[data-chart-releases]");
  if (place) place.textContent = marks.length ? `${panel.dataset.releases} ${marks.map(({ at, name }) => `${name} (${times.moment(at * 1000)})`).join(", ")}` : "";
}

let newest = 0;

async function show(panel, range, end) {
  const words = panel.dataset, note = panel.querySelector("[data-chart-note]"), mine = ++newest;
  const address = new URLSearchParams({ range, queue: words.queue, task: words.task });
  if (end) address.set("end", stamp(end));
  const answer = await fetch(`${words.charts}?${address}`, { headers: { Accept: "application/json" } }).catch(() => null);
  const data = await answer?.json().catch(() => null);
  if (mine !== newest) return; // something else was asked for meanwhile
  if (!answer?.ok || !data) { note.textContent = data?.error ?? words.error; return; }
  drawn.length = 0;
  marks = data.releases;
  tellMarks(panel);
  const ran = data.at.some((_, n) => data.succeeded[n] + data.failed[n] + data.other[n]);
  note.textContent = [data.is_coarse ? words.coarse : "", ran ? "" : words.empty].join(" ").trim();
  draw(panel.querySelector('[data-chart="runs"]'), words.runs, [data.at, data.succeeded, data.failed, data.other],
    [line(words.succeeded, "--m-chart-good"), line(words.failed, "--m-chart-bad", { dash: [6, 3] }), line(words.other, "--m-chart-other", { dash: [2, 3] })]);
  draw(panel.querySelector('[data-chart="wait"]'), words.wait, [data.at, data.wait, data.longest_wait],
    [line(words.wait, "--m-link"), line(words.longest, "--m-chart-other", { dash: [2, 3] })]);
  if (data.gauges) drawGauges(panel, words, data);
  table(panel, data);
}

// A time as the address has it, to the minute and for every reader the same; and as its field has it, in the reader's zone.
const stamp = (end) => `${end.toISOString().slice(0, 16)}Z`;
const local = (end) => new Date(end - end.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

// What an address or a field says; null is now. What is no time, is to come or has just been is now too.
function endOf(text, recent = 60000) {
  const end = new Date(text ?? "");
  return end < Date.now() - recent ? end : null;
}

// How long a range is, in milliseconds, by its name: one of the buttons', or a length that somebody typed. NaN is none.
function lengthOf(name) {
  const [, number, unit] = name.match(/^(\d{1,6})([mhd])$/) ?? [];
  return number * { m: 60, h: 3600, d: 86400 }[unit] * 1000;
}

const charts = document.querySelector("[data-charts]");
if (charts) {
  const buttons = [...document.querySelectorAll("[data-range]")], asked = new URLSearchParams(location.search);
  const [field, now, forward] = ["[data-end]", "[data-now]", '[data-shift="1"]'].map((each) => document.querySelector(each));
  const when = document.querySelector("[data-chart-when]");
  const length = document.querySelector("[data-length]"), usual = buttons[0].dataset.range;
  const period = document.querySelector("#period"); // what is told of the same time, by the server
  let shownFor = location.search;
  let range = asked.get("range") || usual, end = endOf(asked.get("end")), typed = 0;

  const redraw = () => show(charts, range, end);
  const keep = () => {
    const address = new URL(location), words = { range: range === usual ? "" : range, end: end ? stamp(end) : "" };
    Object.entries(words).forEach(([name, word]) => { if (word) address.searchParams.set(name, word); else address.searchParams.delete(name); });
    history.replaceState(null, "", address);
  };
  const choose = (change) => {
    ({ range, end } = { range, end, ...change });
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.range === range)));
    length.elements.range.value = buttons.some((button) => button.dataset.range === range) ? "" : range;
    now.setAttribute("aria-pressed", String(!end));
    if (!end && document.activeElement === forward) now.focus(); // a button that is off would drop the focus
    forward.disabled = !end;
    const text = end ? local(end) : "";
    if (field.value !== text) field.value = text;
    when.textContent = end ? charts.dataset.fixed.replace("{end}", times.moment(end)) : charts.dataset.untilNow;
    keep();
    redraw();
    if (period && location.search !== shownFor) htmx.ajax("GET", location.pathname + location.search, { target: period, swap: "innerHTML" });
    shownFor = location.search;
  };

  buttons.forEach((button) => button.addEventListener("click", () => choose({ range: button.dataset.range })));
  // The server says what is wrong with a length, and without this script it answers the form with a table.
  length.addEventListener("submit", (event) => {
    event.preventDefault();
    choose({ range: length.elements.range.value.toLowerCase().replace(/\s/g, "") || usual });
  });
  document.querySelectorAll("[data-shift]").forEach((button) => button.addEventListener("click", () => {
    const span = lengthOf(range); // who came back to where he began has meanwhile looked at something
    choose({ end: endOf(Number(end ?? Date.now()) + button.dataset.shift * span, Math.max(60000, span / 12)) });
  }));
  now.addEventListener("click", () => choose({ end: null }));
  // A year is typed digit by digit, and each is a time: it is asked for when the typing has stopped.
  field.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => choose({ end: endOf(field.value) }), 700); });
  choose({});
  setInterval(() => { if (!end && !document.hidden && seconds()) redraw(); }, 60000);
  new ResizeObserver(() => drawn.forEach(([box, chart]) => chart.setSize({ width: box.clientWidth, height: 200 }))).observe(charts);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.querySelectorAll(".theme-toggle").forEach((toggle) => toggle.addEventListener("click", () => setTimeout(redraw, 50)));
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
    if (box.matches?.("[data-choose-all]")) box.closest("table").querySelectorAll("[data-choose]").forEach((each) => { each.checked = box.checked; });
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

// ---- Copying an id

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) navigator.clipboard?.writeText(button.dataset.copy).then(() => { button.textContent = button.dataset.copied; });
});

// ---- Keys: never while somebody types, and not at all in a browser where they were switched off.

const keys = document.querySelector("[data-keys]");
if (keys) {
  const SECOND_KEY = 1500; // milliseconds that g waits for the next one
  const opener = document.querySelector("[data-keys-open]"), isOn = keys.querySelector("[data-keys-on]");
  const box = document.querySelector("[data-search]");
  const jobs = keys.querySelector('[data-go="j"]').href;
  let went = 0;

  opener.hidden = false;
  opener.addEventListener("click", () => keys.showModal());
  keys.querySelector("[data-keys-close]").addEventListener("click", () => keys.close());
  isOn.checked = localStorage.getItem("monitor.keys") !== "off";
  isOn.addEventListener("change", () => localStorage.setItem("monitor.keys", isOn.checked ? "on" : "off"));
  if (box && location.hash === "#q") {
    box.focus();
    history.replaceState(null, "", location.pathname + location.search); // else the form's answer would have it too
  }

  const step = (by) => {
    const links = [...document.querySelectorAll("#content table.stack tbody tr")].map((row) => row.querySelector("a")).filter((link) => link?.checkVisibility());
    const here = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    links[here < 0 ? 0 : Math.min(links.length - 1, Math.max(0, here + by))]?.focus();
  };
  const meant = {
    "/": () => { if (box) { box.focus(); box.select(); } else location.href = `${jobs}#q`; },
    "?": () => keys.showModal(),
    "g": () => { went = Date.now(); },
    "j": () => step(1),
    "k": () => step(-1),
    "x": () => document.activeElement.closest("tr")?.querySelector("[data-choose]")?.click(),
  };
  document.addEventListener("keydown", (event) => {
    const isTyped = event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (!isOn.checked || keys.open || isTyped || event.ctrlKey || event.metaKey || event.altKey) return;
    const gone = Date.now() - went < SECOND_KEY ? keys.querySelector(`[data-go="${CSS.escape(event.key)}"]`) : null;
    went = 0;
    const act = gone ? () => { location.href = gone.href; } : Object.hasOwn(meant, event.key) ? meant[event.key] : null;
    if (act) { event.preventDefault(); act(); }
  });
}
