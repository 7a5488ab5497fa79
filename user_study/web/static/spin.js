// The wheel. Its segments are those the server draws from; the server draws, and the wheel stops on what was drawn.

import { post } from "./trial/api.js";

const SVG = "http://www.w3.org/2000/svg";
const signed = (points) => (points > 0 ? `+${points}` : `${points}`.replace("-", "\u2212"));

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The picture; segment k of n is centred at (k + 1/2) / n of a turn, clockwise from the top, where the pointer is.
export function draw(values) {
  const picture = element("svg", { viewBox: "-110 -118 220 228", class: "wheel", role: "img" });
  picture.setAttribute("aria-label", `Wheel with the segments ${values.map(signed).join(", ")}`);
  const disc = element("g", { class: "disc" });
  const at = (turn, radius) => [radius * Math.sin(2 * Math.PI * turn), -radius * Math.cos(2 * Math.PI * turn)];
  values.forEach((points, index) => {
    const [from, to] = [index / values.length, (index + 1) / values.length];
    const [x0, y0] = at(from, 100);
    const [x1, y1] = at(to, 100);
    const outline = values.length === 1 ? "M0-100A100 100 0 1 1-.01-100Z" : `M0 0L${x0} ${y0}A100 100 0 ${to - from > 0.5 ? 1 : 0} 1 ${x1} ${y1}Z`;
    disc.append(element("path", { d: outline, class: points > 0 ? (index % 4 ? "gain" : "gain most") : "loss", "data-points": points }));
    const turn = (from + to) / 2;
    const [x, y] = at(turn, 64);
    disc.append(element("text", { x, y, transform: `rotate(${360 * turn} ${x} ${y})` }, signed(points)));
  });
  picture.append(disc, element("circle", { r: 9, class: "hub" }), element("path", { d: "M-10-116L10-116L0-94Z", class: "pointer" }));
  return picture;
}

// Turns until segment `index` is under the pointer; at once where motion is not wanted.
export function stopOn(picture, index, count) {
  const disc = picture.querySelector(".disc");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const before = Number(picture.dataset.turned ?? 0);
  const rest = 1 - (index + 0.5) / count;
  const turned = Math.floor(before) + (still ? 1 : 5) + rest;
  picture.dataset.turned = turned;
  picture.dataset.segment = index;
  disc.style.transition = still ? "none" : "transform 2.4s cubic-bezier(.12, .7, .15, 1)";
  disc.style.transform = `rotate(${360 * turned}deg)`;
  if (still) return Promise.resolve();
  return new Promise((done) => {
    disc.addEventListener("transitionend", done, { once: true });
    setTimeout(done, 2800);
  });
}

// A wheel with its button and its words. `done(result)` after each spin.
export function mount(place, { wheel, spins, done = () => {} }) {
  const picture = draw(wheel);
  const spin = Object.assign(document.createElement("button"), { type: "button", className: "primary spin", textContent: "Spin" });
  const said = Object.assign(document.createElement("p"), { className: "spin-said", role: "status" });
  said.textContent = spins > 1 ? `${spins} spins are yours.` : "One spin is yours.";
  place.replaceChildren(picture, said, spin);
  spin.addEventListener("click", async () => {
    if (spin.getAttribute("aria-disabled") === "true") return;
    spin.setAttribute("aria-disabled", "true");
    said.textContent = "The wheel turns.";
    try {
      const result = await post("/api/spin");
      let shown = picture;
      if (JSON.stringify(result.wheel) !== JSON.stringify(wheel)) {
        shown = draw(result.wheel); // the study changed its wheel since this page was made
        place.querySelector(".wheel").replaceWith(shown);
      }
      await stopOn(shown, result.segment, result.wheel.length);
      const floored = (result.applied ?? result.points) !== result.points ? " It falls no lower." : "";
      said.textContent = `${signed(result.points)} points. Your score is ${result.score}.${floored}`;
      spin.hidden = result.spins_left === 0;
      if (!spin.hidden) said.textContent += ` ${result.spins_left} more to spin.`;
      done(result);
    } catch (error) {
      said.textContent = error.status ? error.message : "The wheel needs a connection. Spin again when you are online; nothing is lost.";
      spin.hidden = error.code === "no_spin";
      done(null);
    }
    spin.setAttribute("aria-disabled", "false");
  });
  return spin;
}

for (const place of document.querySelectorAll("[data-wheel-here]")) {
  mount(place, { wheel: JSON.parse(place.dataset.wheelHere), spins: Number(place.dataset.spins) });
}
