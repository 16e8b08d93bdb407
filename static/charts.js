// Draws a product's history: steps, gaps where nothing was seen, the best rank on top, a mark for each change.
"use strict";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const AMBER = "#e07b00", BLUE = "#3f8fd2", GREEN = "#2f9e5b", VIOLET = "#9a6fd0";

function axis(extra) {
  // Asked at every drawing: the theme may change while the page is open.
  const soft = () => style("--soft"), line = () => style("--line");
  return { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, ...extra };
}

function steps(label, color, dash) {
  return { label, stroke: color, width: 2, dash, spanGaps: false, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
}

// Intervals without an offer are shaded, and changes are marked with a dotted line: never told by colour alone.
function overlay(data) {
  return (u) => {
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    u.ctx.fillStyle = style("--mark");
    data.unavailable.forEach((gone, i) => {
      if (!gone || i + 1 >= data.at.length) return;
      const from = u.valToPos(data.at[i], "x", true), to = u.valToPos(data.at[i + 1], "x", true);
      u.ctx.fillRect(from, top, to - from, height);
    });
    u.ctx.strokeStyle = style("--soft");
    u.ctx.setLineDash([2, 4]);
    data.changes.forEach((change) => {
      const x = Math.round(u.valToPos(change.at, "x", true));
      u.ctx.beginPath();
      u.ctx.moveTo(x, top);
      u.ctx.lineTo(x, top + height);
      u.ctx.stroke();
    });
    u.ctx.restore();
  };
}

function draw(box, data, time, title, series, columns, axes, scales) {
  const chart = new uPlot({
    title, width: box.clientWidth, height: 260, series: [{ label: time, value: times.legend }, ...series], axes: [axis(times.axis), ...axes], scales,
    hooks: { drawClear: [overlay(data)] }, cursor: { drag: { x: true, y: false } },
  }, [data.at, ...columns], box);
  new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: 260 })).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());
}

// A scale with a single value would have no height.
const padded = (u, min, max) => (min === null ? [0, 1] : min === max ? [min * 0.95, max * 1.05] : [min - (max - min) * 0.08, max + (max - min) * 0.08]);

async function show(panel) {
  const answer = await fetch(panel.dataset.source, { headers: { Accept: "application/json" } });
  if (!answer.ok) { panel.textContent = panel.dataset.failed; return; }
  const data = await answer.json();
  if (!data.at.length) { panel.textContent = panel.dataset.empty; return; }
  const words = panel.dataset, box = () => panel.appendChild(Object.assign(document.createElement("div"), { className: "chart" }));
  draw(box(), data, words.time, `${words.price} (${data.currency})`,
    [steps(words.price, AMBER), steps(words.listPrice, BLUE, [6, 4])], [data.price, data.list_price],
    [axis({ size: 60 })], { y: { range: padded } });
  draw(box(), data, words.time, `${words.rank}: ${data.category || "–"}`, [steps(words.rank, GREEN)], [data.bsr],
    [axis({ size: 60, filter: (u, splits) => splits, values: (u, splits) => splits.map((n) => (/^[1235]/.test(n) ? `#${n}` : "")) })],
    { y: { dir: -1, distr: 3, log: 10 } });
  draw(box(), data, words.time, `${words.rating} · ${words.reviews}`,
    [steps(words.rating, VIOLET), { ...steps(words.reviews, BLUE, [6, 4]), scale: "n" }], [data.rating, data.reviews],
    [axis({ size: 60 }), axis({ side: 1, scale: "n", size: 60, grid: { show: false } })], { y: { range: [1, 5] }, n: { range: padded } });
  const table = document.getElementById("history-rows");
  const number = (value) => (value === null || value === undefined ? "–" : String(value));
  data.at.map((_, i) => i).reverse().slice(0, 200).forEach((i) => {
    const row = table.insertRow();
    [times.moment(data.at[i] * 1000), number(data.price[i]), number(data.bsr[i]), number(data.rating[i]), number(data.reviews[i])]
      .forEach((text, column) => { const cell = row.insertCell(); cell.textContent = text; if (column) cell.className = "n"; });
  });
}

document.querySelectorAll("[data-source]").forEach((panel) => show(panel).catch(() => { panel.textContent = panel.dataset.failed; }));
