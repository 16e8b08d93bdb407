// Draws a product's history: steps, gaps where nothing was seen, the best rank on top, a named mark for each change.
"use strict";

// The value of a colour of pilot.css in the present theme: a canvas knows neither var() nor light-dark().
const probe = document.body.appendChild(document.createElement("i"));
const style = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
const AMBER = "#e07b00", BLUE = "#3f8fd2", GREEN = "#2f9e5b", VIOLET = "#9a6fd0", GREY = "#8a949b";
const RANKS = [GREEN, BLUE, VIOLET, GREY], HOLDERS = ["#0b7a8d", "#d98324", "#9a6fd0", "#c2475f", "#6b8e23", GREY], LOST = "#c2475f";
const BUY_BOX = ["buybox_change", "buybox_lost", "buybox_won", "buybox_new_seller"];
const height = () => (innerWidth < 768 ? 170 : 230);

function axis(extra) {
  // Asked at every drawing: the theme may change while the page is open.
  const soft = () => style("--soft"), line = () => style("--line");
  return { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, ...extra };
}

function steps(label, color, more) {
  return { label, stroke: color, width: 2, spanGaps: false, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false }, ...more };
}

// Intervals without an offer are shaded, whoever holds the buy box is a band along the foot, and each change of these kinds
// is a dotted line with its name above, where there is room for one.
function overlay(data, kinds, hasBand) {
  return (u) => {
    const { left, top, width, height } = u.bbox, ctx = u.ctx, dot = devicePixelRatio;
    const across = (at) => u.valToPos(at, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    data.at.forEach((at, i) => {
      if (i + 1 >= data.at.length) return;
      const from = across(at), to = across(data.at[i + 1]);
      ctx.fillStyle = style("--mark");
      if (data.unavailable[i]) ctx.fillRect(from, top, to - from, height);
      if (!hasBand || data.seller[i] === null) return;
      ctx.fillStyle = data.own.length ? (data.own[i] ? GREEN : LOST) : HOLDERS[Math.min(data.seller[i], HOLDERS.length - 1)];
      ctx.fillRect(from, top + height - 5 * dot, to - from, 5 * dot);
    });
    ctx.strokeStyle = ctx.fillStyle = style("--soft");
    ctx.setLineDash([2 * dot, 4 * dot]);
    const told = data.changes.filter((change) => kinds.includes(change.kind)).sort((a, b) => a.at - b.at)
      .map((change) => ({ label: change.label, x: Math.round(across(change.at)) })).filter(({ x }) => x >= left && x <= left + width);
    ctx.beginPath();
    told.forEach(({ x }) => { ctx.moveTo(x, top); ctx.lineTo(x, top + height); });
    ctx.stroke();
    ctx.restore();
    ctx.save();
    ctx.fillStyle = style("--soft");
    ctx.font = `${10 * dot}px system-ui, sans-serif`;
    let free = -Infinity;
    told.forEach(({ label, x }) => {
      const wide = ctx.measureText(label).width, from = Math.min(x, left + width - wide);
      if (from < free) return;
      ctx.fillText(label, from, top - 4 * dot);
      free = from + wide + 8 * dot;
    });
    ctx.restore();
  };
}

function draw(panel, data, { title, kinds, series, columns, axes, scales, hasBand = false }) {
  const box = panel.appendChild(Object.assign(document.createElement("div"), { className: "chart" }));
  const size = () => ({ width: box.clientWidth, height: height() });
  const chart = new uPlot({
    title, ...size(), padding: [18, null, null, null], series: [{ label: panel.dataset.time, value: times.legend }, ...series], axes: [axis(times.axis), ...axes], scales,
    hooks: { drawClear: [overlay(data, kinds, hasBand)] }, cursor: { drag: { x: true, y: false }, sync: { key: "history" } },
  }, [data.at, ...columns], box);
  new ResizeObserver(() => chart.setSize(size())).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());
}

// A scale with a single value would have no height.
const padded = (u, min, max) => (min === null ? [0, 1] : min === max ? [min * 0.95, max * 1.05] : [min - (max - min) * 0.08, max + (max - min) * 0.08]);
// Ranks: a little more than what was seen, and of the marks only so many as can be read.
const near = (u, min, max) => (min === null ? [1, 100] : max < min * 2 ? [Math.max(1, min / 1.5), max * 1.5] : [Math.max(1, min / 1.2), max * 1.2]);
function roundRanks(u, axis, min, max) {
  const powers = Array.from({ length: 8 }, (_, i) => 10 ** i);
  const all = powers.flatMap((power) => [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => n * power)).filter((n) => n >= min && n <= max);
  return [/^10*$/, /^[125]0*$/].map((round) => all.filter((n) => round.test(n))).find((kept) => kept.length >= 3) ?? all;
}
const rankMarks = { size: 60, splits: roundRanks, filter: (u, splits) => splits, values: (u, splits) => splits.map((n) => `#${n}`) };

async function show(panel) {
  const answer = await fetch(panel.dataset.source, { headers: { Accept: "application/json" } });
  if (!answer.ok) { panel.textContent = panel.dataset.failed; return; }
  const data = await answer.json();
  if (!data.at.length) { panel.textContent = panel.dataset.empty; return; }
  const words = panel.dataset;
  const holder = { label: words.seller, scale: "holder", paths: () => null, points: { show: false }, value: (u, n) => data.sellers[n] ?? "–" };
  draw(panel, data, {
    title: `${words.price} (${data.currency})`, kinds: ["price_change", "rival_price", ...BUY_BOX, "availability_change"], hasBand: true,
    series: [steps(words.price, AMBER), steps(words.listPrice, BLUE, { dash: [6, 4] }), holder], columns: [data.price, data.list_price, data.seller],
    axes: [axis({ size: 60 })], scales: { y: { range: padded }, holder: { range: [0, 1] } },
  });
  draw(panel, data, {
    title: words.rank, kinds: ["bsr_change", "rival_rank"],
    series: data.ranks.length ? data.ranks.map((one, i) => steps(one.category, RANKS[i], i ? { width: 1, dash: [6, 4], scale: "main" } : {})) : [steps(words.rank, GREEN)],
    columns: data.ranks.length ? data.ranks.map((one) => one.values) : [data.bsr],
    axes: data.ranks.length > 1 ? [axis(rankMarks), axis({ ...rankMarks, side: 1, scale: "main", grid: { show: false } })] : [axis(rankMarks)],
    scales: { y: { dir: -1, distr: 3, log: 10, range: near }, main: { dir: -1, distr: 3, log: 10, range: near } },
  });
  draw(panel, data, {
    title: `${words.rating} · ${words.reviews}`, kinds: ["rating_change", "review_count_change", "listing_change"],
    series: [steps(words.rating, VIOLET), steps(words.reviews, BLUE, { dash: [6, 4], scale: "n" })], columns: [data.rating, data.reviews],
    axes: [axis({ size: 60 }), axis({ side: 1, scale: "n", size: 60, grid: { show: false } })], scales: { y: { range: [1, 5] }, n: { range: padded } },
  });
  const table = document.getElementById("history-rows");
  const number = (value) => (value === null || value === undefined ? "–" : String(value));
  data.at.map((_, i) => i).reverse().slice(0, 200).forEach((i) => {
    const row = table.insertRow();
    [times.moment(data.at[i] * 1000), number(data.price[i]), number(data.bsr[i]), number(data.rating[i]), number(data.reviews[i]), data.sellers[data.seller[i]] ?? "–"]
      .forEach((text, column) => { const cell = row.insertCell(); cell.textContent = text; if (column && column < 5) cell.className = "n"; });
  });
}

document.querySelectorAll("[data-source]").forEach((panel) => show(panel).catch(() => { panel.textContent = panel.dataset.failed; }));
