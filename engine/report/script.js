"use strict";
(function () {
const report = JSON.parse(document.getElementById("report-data").textContent);
const SVG = "http://www.w3.org/2000/svg";  // a name, not an address that is fetched
const MOST_CIRCLES = 3000;  // above, points are drawn on a canvas
const VOTES_FOR_ALL = 150;  // up to so many pairs every vote interval is drawn

function make(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function draw(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}
function shown(value, digits) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(digits === undefined ? 2 : digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}
function span(low, high) {
  return low === null || low === undefined || high === null ? "" : ` [${shown(low)}, ${shown(high)}]`;
}
function ticks(low, high, most) {
  const rough = (high - low) / Math.max(1, most);
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const result = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) result.push(k * step);
  return result;
}
function tickText(value) { return String(Number(value.toPrecision(6))); }
function domain(values) {
  let low = 0, high = 1;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return [low, high];
}
function clip(text, length) { return text.length > length ? text.slice(0, length - 1) + "…" : text; }

// ---- the table -------------------------------------------------------------------------------------------------------

function liveTable(section, choose) {
  const table = section.querySelector("table.results");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const tools = section.querySelector(".tools");
  tools.hidden = false;
  for (const row of rows) {
    const head = row.cells[0];
    const button = make("button", { type: "button", title: "show this variant below" }, head.textContent);
    head.replaceChildren(button);
    row.addEventListener("click", () => choose(Number(row.dataset.row)));
  }
  table.querySelectorAll("thead th").forEach((head, place) => {
    const button = make("button", { type: "button", title: "sort" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(head, place));
  });
  function sort(head, place) {
    const now = head.getAttribute("aria-sort");
    const first = head.dataset.better === "higher" ? "descending" : "ascending";
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const text = place === 0 || !head.classList.contains("numeric");
    const key = (row) => text ? row.cells[place].textContent.trim()
      : row.cells[place].dataset.value === "" ? null : Number(row.cells[place].dataset.value);
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === null || y === null) return (x === null) - (y === null);  // what has no value stays at the end
      return sign * (text ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
    });
    body.append(...rows);
  }
  const find = section.querySelector(".find"), found = section.querySelector(".found");
  function search() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) count += 1;
    }
    found.textContent = words.length ? `${count} of ${rows.length} variants` : `${rows.length} variants`;
  }
  find.addEventListener("input", search);
  search();
  return (index) => {
    for (const row of rows) row.classList.toggle("current", Number(row.dataset.row) === index);
  };
}

// ---- one variant -----------------------------------------------------------------------------------------------------

function explore(section, table) {
  const pairs = table.pairs;
  const count = pairs.id.length;
  const state = { variant: 0, run: 0, origin: -1, pair: -1 };
  const part = (name) => section.querySelector(name);
  const pickVariant = part(".pick-variant"), pickSeed = part(".pick-seed"), pickOrigin = part(".pick-origin");
  part(".explore").hidden = false;

  table.variants.forEach((variant, index) => pickVariant.append(make("option", { value: index }, variant.label)));
  pickOrigin.append(make("option", { value: -1 }, "no origin"));
  table.origins.forEach((origin, index) => pickOrigin.append(make("option", { value: index }, origin.name)));
  part(".origin-label").hidden = table.origins.length < 2;
  pickVariant.addEventListener("change", () => choose(Number(pickVariant.value)));
  pickSeed.addEventListener("change", () => { state.run = Number(pickSeed.value); refresh(); });
  pickOrigin.addEventListener("change", () => light(Number(pickOrigin.value)));

  function choose(index) {
    state.variant = index;
    state.run = 0;
    const runs = table.variants[index].runs;
    pickSeed.replaceChildren(...runs.map((run, place) => make("option", { value: place }, String(run.seed))));
    part(".seed-label").hidden = runs.length < 2;
    pickVariant.value = index;
    mark(index);
    refresh();
  }
  function light(origin) {
    state.origin = origin;
    pickOrigin.value = origin;
    drawScatter();
    drawOrigins();
  }
  const mark = liveTable(section, choose);
  const chosen = () => table.variants[state.variant];
  const run = () => chosen().runs[state.run];

  function refresh() {
    state.pair = -1;
    const variant = chosen(), runs = variant.runs;
    const seeds = runs.length > 1 ? ` Below: seed ${run().seed} of ${runs.length} seeds; the table averages them.` : "";
    part(".chosen").textContent = `${variant.label}: SRCC ${variant.figures.srcc}, MSE ${variant.figures.mse}` +
      `${variant.note ? ` (${variant.note})` : ""}.${seeds}`;
    drawAll();
    examples();
  }
  function drawAll() { drawScatter(); drawCalibration(); drawOrigins(); }

  function describe(i) {
    const origin = pairs.origin ? `${table.origins[pairs.origin[i]].name}, ` : "";
    const votes = pairs.votes ? `${span(pairs.low[i], pairs.high[i])} (${pairs.votes[i]} votes)` : "";
    return { origin, label: `label ${shown(pairs.label[i])}${votes}`, predicted: `predicted ${shown(run().predicted[i])}` };
  }

  // axes shared by scatter and calibration: predicted to the right, label upwards
  function frame(box, predictions, name) {
    const width = Math.max(260, Math.min(box.clientWidth || 560, 620)), height = Math.round(width * 0.78);
    const pad = { left: 46, right: 10, top: 8, bottom: 42 };
    const [low, high] = domain(predictions);
    const [bottom, top] = domain(pairs.label);
    const x = (v) => pad.left + (v - low) / (high - low) * (width - pad.left - pad.right);
    const y = (v) => height - pad.bottom - (v - bottom) / (top - bottom) * (height - pad.top - pad.bottom);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
    for (const t of ticks(low, high, Math.min(10, width / 60))) {
      svg.append(draw("line", { class: "axis", x1: x(t), x2: x(t), y1: pad.top, y2: height - pad.bottom }),
        draw("text", { x: x(t), y: height - pad.bottom + 16, "text-anchor": "middle" }, tickText(t)));
    }
    for (const t of ticks(bottom, top, 6)) {
      svg.append(draw("line", { class: "axis", x1: pad.left, x2: width - pad.right, y1: y(t), y2: y(t) }),
        draw("text", { x: pad.left - 6, y: y(t) + 4, "text-anchor": "end" }, tickText(t)));
    }
    svg.append(draw("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
      draw("text", { class: "strong", x: (pad.left + width - pad.right) / 2, y: height - 6, "text-anchor": "middle" }, "predicted difference"),
      draw("text", { class: "strong", transform: `translate(13 ${(height - pad.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "label"));
    return { svg, x, y, width, height };
  }

  function drawScatter() {
    const box = part(".chart-scatter .plot"), predicted = run().predicted;
    const { svg, x, y, width, height } = frame(box, predicted,
      `Scatter of ${count} pairs, predicted difference against label, for ${chosen().label}. Arrow keys go from pair to pair.`);
    svg.setAttribute("tabindex", "0");
    const radius = count > 1000 ? 2.5 : count > 300 ? 3 : 4;
    const lit = (i) => state.origin >= 0 && pairs.origin[i] === state.origin;
    const style = (i) => state.origin < 0 ? "dot" : lit(i) ? "dot lit" : "dot faint";
    const votes = (i, name) => draw("line", { class: name, x1: x(predicted[i]), x2: x(predicted[i]), y1: y(pairs.low[i]), y2: y(pairs.high[i]) });
    if (pairs.low && count <= VOTES_FOR_ALL) for (let i = 0; i < count; i++) svg.append(votes(i, "votes"));
    const order = Array.from({ length: count }, (_, i) => i);
    if (state.origin >= 0) order.sort((a, b) => lit(a) - lit(b));
    let canvas = null;
    if (count > MOST_CIRCLES) {
      canvas = make("canvas", { width: width * 2, height: height * 2, "aria-hidden": "true" });
    } else {
      for (const i of order) svg.append(draw("circle", { class: style(i), cx: x(predicted[i]).toFixed(1), cy: y(pairs.label[i]).toFixed(1), r: radius }));
    }
    const overlay = draw("g", {});
    svg.append(overlay);
    box.replaceChildren(...(canvas ? [svg, canvas] : [svg]));
    if (canvas) {
      const pen = canvas.getContext("2d");
      pen.scale(2, 2);
      const sample = draw("circle", {});
      svg.append(sample);
      for (const i of order) {
        if (sample.getAttribute("class") !== style(i)) {
          sample.setAttribute("class", style(i));
          const css = getComputedStyle(sample);
          pen.fillStyle = css.fill;
          pen.globalAlpha = Number(css.fillOpacity) * 0.7;
        }
        pen.beginPath();
        pen.arc(x(predicted[i]), y(pairs.label[i]), 2, 0, 7);
        pen.fill();
      }
      sample.remove();
    }
    function point(i) {
      state.pair = i;
      overlay.replaceChildren();
      if (i >= 0) {
        if (pairs.low) overlay.append(votes(i, "votes lit"));
        overlay.append(draw("circle", { class: "ring", cx: x(predicted[i]), cy: y(pairs.label[i]), r: 7 }));
      }
      readout();
    }
    function nearest(event) {
      const area = svg.getBoundingClientRect();
      const px = (event.clientX - area.left) * width / area.width, py = (event.clientY - area.top) * height / area.height;
      let best = -1, distance = 24 * 24;
      for (let i = 0; i < count; i++) {
        const d = (x(predicted[i]) - px) ** 2 + (y(pairs.label[i]) - py) ** 2;
        if (d < distance) { best = i; distance = d; }
      }
      return best;
    }
    svg.addEventListener("pointermove", (event) => { const i = nearest(event); if (i >= 0 && i !== state.pair) point(i); });
    svg.addEventListener("pointerdown", (event) => point(nearest(event)));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const sorted = Array.from({ length: count }, (_, i) => i).sort((a, b) => predicted[a] - predicted[b] || a - b);
      point(sorted[Math.max(0, Math.min(count - 1, sorted.indexOf(state.pair) + step))]);
    });
    point(state.pair);
  }

  function readout() {
    const box = part(".readout"), i = state.pair;
    if (i < 0) {
      box.replaceChildren(make("p", { class: "quiet" }, "Point at a dot, tap it, or use the arrow keys, to see its pair." +
        (pairs.low ? " The line through a dot is the interval of its votes." : "")));
      return;
    }
    const { origin, label, predicted } = describe(i);
    const names = (table.pictures[i] || []).filter(Boolean);
    const thumbs = make("div", { class: "thumbs" }, ...names.map((name) => picture(name, "")));
    box.replaceChildren(make("p", {}, make("b", {}, pairs.id[i]), make("br"), origin + label, make("br"), predicted));
    if (names.length === 2) box.prepend(thumbs);
  }

  function drawCalibration() {
    const box = part(".chart-calibration .plot"), bins = run().calibration;
    const { svg, x, y } = frame(box, run().predicted, `Calibration of ${chosen().label}: mean label against mean prediction in ${bins.length} bins.`);
    if (bins.length > 1) svg.append(draw("polyline", { class: "curve", points: bins.map((b) => `${x(b.x)},${y(b.mean)}`).join(" ") }));
    for (const b of bins) {
      if (b.low !== null) svg.append(draw("line", { class: "whisker", x1: x(b.x), x2: x(b.x), y1: y(b.low), y2: y(b.high) }));
      svg.append(draw("circle", { class: "mark model", cx: x(b.x), cy: y(b.mean), r: 4 },
        draw("title", {}, `${b.n} pairs: predicted ${shown(b.x)}, label ${shown(b.mean)}${span(b.low, b.high)}`)));
    }
    box.replaceChildren(svg);
    part(".chart-calibration .explain").textContent = (bins.length === 1 ? "One bin: predictions are constant, or pairs are few. "
      : `Bins of about ${Math.round(count / bins.length)} pairs by prediction; `) +
      `lines: ${Math.round(table.level * 100)}% interval of the mean label over sources. On the dashed line predictions mean what they say.` +
      (chosen().learned ? "" : " A training-free metric is not calibrated.");
  }

  function drawOrigins() {
    const figure = part(".chart-origins"), box = part(".chart-origins .plot");
    figure.hidden = !run().origins;
    if (!run().origins) return;
    const width = Math.max(280, Math.min(box.clientWidth || 900, 1150)), narrow = width < 620;
    const longest = Math.max(...table.origins.map((origin) => origin.name.length));
    const text = narrow ? 0 : Math.min(24 + longest * 7.5, width * 0.3), right = narrow ? 118 : 150, line = narrow ? 46 : 30, top = 24;
    const height = top + line * table.origins.length + 26;
    const means = run().origins, figures = chosen().origins;
    const ends = [...means, ...table.origins].flatMap((m) => [m.mean, m.low === null ? m.mean : m.low, m.high === null ? m.mean : m.high]);
    const [low, high] = domain(ends);
    const left = text + 8;
    const x = (v) => left + (v - low) / (high - low) * (width - left - right);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
      `Mean prediction and mean label of ${chosen().label}, per origin.` });
    for (const t of ticks(low, high, 5)) {
      svg.append(draw("line", { class: "axis", x1: x(t), x2: x(t), y1: top - 4, y2: height - 22 }),
        draw("text", { x: x(t), y: height - 6, "text-anchor": "middle" }, tickText(t)));
    }
    svg.append(draw("text", { x: width - right + 58, y: 14, "text-anchor": "end" }, "SRCC"),
      draw("text", { x: width - 4, y: 14, "text-anchor": "end" }, "MSE"));
    table.origins.forEach((origin, k) => {
      const y = top + line * k + (narrow ? 32 : line / 2), m = means[k], f = figures[k] || {};
      const hit = draw("rect", { class: state.origin === k ? "hit lit" : "hit", x: 0, y: top + line * k, width, height: line },
        draw("title", {}, `${origin.name}: ${origin.n} pairs, label ${shown(origin.mean)}${span(origin.low, origin.high)}, predicted ${shown(m.mean)}${span(m.low, m.high)}`));
      hit.addEventListener("click", () => light(state.origin === k ? -1 : k));
      svg.append(hit, draw("text", { class: "strong", x: narrow ? 4 : text, y: narrow ? y - 14 : y + 4, "text-anchor": narrow ? "start" : "end" },
        clip(origin.name, Math.floor((narrow ? width - 10 : text - 20) / 7.5))));
      if (origin.low !== null) svg.append(draw("line", { class: "whisker human", x1: x(origin.low), x2: x(origin.high), y1: y - 4, y2: y - 4 }));
      if (m.low !== null) svg.append(draw("line", { class: "whisker", x1: x(m.low), x2: x(m.high), y1: y + 4, y2: y + 4 }));
      svg.append(draw("circle", { class: "mark human", cx: x(origin.mean), cy: y - 4, r: 4.5 }),
        draw("rect", { class: "mark model", x: x(m.mean) - 3.5, y: y + 0.5, width: 7, height: 7 }),
        draw("text", { class: "strong", x: width - right + 58, y: y + 4, "text-anchor": "end" }, shown(f.srcc, 3)),
        draw("text", { class: "strong", x: width - 4, y: y + 4, "text-anchor": "end" }, shown(f.mse, 4)));
    });
    box.replaceChildren(svg);
    part(".chart-origins .explain").textContent =
      "○ mean label, ■ mean prediction, with intervals over sources. Choose an origin to highlight its pairs above." +
      (figures.length ? ` SRCC and MSE within the origin${chosen().runs.length > 1 ? ", means over seeds" : ""}.` : "");
  }

  // ---- best and worst pairs ----

  function picture(name, alt) {
    const inline = document.getElementById(`picture-${name}`);  // one that the maps show too
    return make("img", { src: inline ? inline.getAttribute("href") : report.pictures[name], alt });
  }
  function examples() {
    const ranks = chosen().learned ? "" : "By place in the order, since a training-free metric is not calibrated. ";
    const maps = chosen().maps_note ? `${chosen().maps_note} ` : state.run > 0 && chosen().maps
      ? `Heat maps are drawn for seed ${chosen().runs[0].seed} only. `
      : chosen().maps ? "Heat map: where the metric sees the difference, on one scale from 0 (grey, violet) to 1 (yellow). " : "";
    const key = `○ label${pairs.low ? " with the interval of its votes" : ""}, ■ prediction. `;
    part(".worst-note").textContent = `${ranks || "Largest distance between prediction and label. "}${key}${maps}`;
    part(".best-note").textContent = ranks || "Smallest distance between prediction and label.";
    for (const kind of ["worst", "best"]) part(`.cards.${kind}`).replaceChildren(...run()[kind].map(card));
  }
  function card(i) {
    const { origin, label, predicted } = describe(i);
    const known = table.pictures[i];
    const maps = state.run === 0 && chosen().maps ? chosen().maps[i] : undefined;
    const slot = (title, name, absent) => make("div", {}, make("span", {}, title),
      name ? picture(name, `${title} of pair ${pairs.id[i]}`) : make("div", { class: "missing" }, absent));
    const absent = known ? "image is missing or unreadable" : "no picture embedded";
    const pictures = [slot("reference", known && known[0], absent), slot("candidate", known && known[1], absent)];
    if (maps !== undefined) pictures.push(slot("heat map", maps, "no heat map"));
    return make("article", { class: "card" },
      known || maps !== undefined ? make("div", { class: "thumbs3" }, ...pictures) : null,
      make("div", { class: "facts" }, make("div", { class: "pair" }, pairs.id[i]),
        `${origin}${label}, ${predicted}`, strip(i), known ? null : make("div", { class: "key" }, "No picture: only those of the leading variants' first seed are embedded.")));
  }
  function strip(i) {
    const value = run().predicted[i], [low, high] = domain([value, pairs.label[i]]);
    const x = (v) => 2 + 96 * (v - low) / (high - low);
    const at = (v) => `${x(v)}%`;
    const svg = draw("svg", { class: "strip", role: "img", "aria-label": `label ${shown(pairs.label[i])}, predicted ${shown(value)}` },
      draw("line", { class: "axis", x1: at(low), x2: at(high), y1: 11, y2: 11 }));
    if (pairs.low) svg.append(draw("line", { class: "whisker human", x1: at(pairs.low[i]), x2: at(pairs.high[i]), y1: 11, y2: 11 }));
    svg.append(draw("circle", { class: "mark human", cx: at(pairs.label[i]), cy: 11, r: 5 }),
      draw("svg", { x: at(value), y: 7, overflow: "visible" }, draw("rect", { class: "mark model", x: -4, y: 0, width: 8, height: 8 })));
    return svg;
  }

  let seen = 0;
  new ResizeObserver(() => {
    const width = part(".charts").clientWidth;
    if (width > 0 && Math.abs(width - seen) > 4) { seen = width; drawAll(); }
  }).observe(part(".charts"));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);  // a canvas keeps its colours
  choose(0);
  seen = part(".charts").clientWidth;
  return drawAll;
}

// ---- data sets -------------------------------------------------------------------------------------------------------

const sections = Array.from(document.querySelectorAll(".data-set"));
const redraw = sections.map((section, index) => explore(section, report.tables[index]));
const tabs = Array.from(document.querySelectorAll(".tab"));
function show(wanted) {
  sections.forEach((section, index) => {
    section.hidden = index !== wanted;
    if (index === wanted) { tabs[index].setAttribute("aria-current", "page"); redraw[index](); }
    else tabs[index].removeAttribute("aria-current");
  });
}
if (tabs.length) {
  tabs.forEach((tab, index) => tab.addEventListener("click", (event) => { event.preventDefault(); show(index); }));
  const asked = sections.findIndex((section) => `#${section.id}` === location.hash);
  show(asked < 0 ? 0 : asked);
}
document.documentElement.dataset.ready = "yes";
})();
