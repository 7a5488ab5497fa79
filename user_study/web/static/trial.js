// The trial page: keys, buttons and the lines of text, wired to the controller (trial/trial_controller.js).

import { FollowUp } from "./trial/follow_up.js";
import * as dialog from "./trial/dialog.js";
import { TrialController } from "./trial/trial_controller.js";
import { ImageView } from "./trial/image_view.js";

const page = document.getElementById("facts");
const help = document.getElementById("help");
const facts = JSON.parse(page.dataset.facts);
const byId = (id) => document.getElementById(id);
const answers = [...document.querySelectorAll("[data-answer]")];
const PEEK = 300; // ms: a shorter press leaves the images exchanged until the next press

const imageView = new ImageView(byId("stage"), () => {
  byId("zoom").textContent = `${Math.round(imageView.zoom * 100)} %`;
  byId("flip").setAttribute("aria-pressed", String(imageView.exchanged));
  byId("view").setAttribute("aria-pressed", String(imageView.view === "one"));
});
const followUp = new FollowUp(imageView);

const controller = new TrialController(facts, {
  imageView,
  followUp,
  say(text, tone = "", retry = null) {
    const line = byId("said");
    line.textContent = text;
    byId("line").dataset.tone = tone;
    byId("retry").hidden = !retry;
    if (retry) byId("retry").onclick = retry;
  },
  progress(state) {
    const { training, answered, cap } = state;
    const [done, of] = training ? [training.item - 1, training.of] : [answered, cap];
    byId("done").max = of;
    byId("done").value = done;
    byId("count").textContent = training ? `Practice ${training.item} of ${training.of}` : `${answered} of ${cap}`;
  },
  enable(on, undo) {
    for (const made of answers) made.setAttribute("aria-disabled", String(!on));
    byId("undo").setAttribute("aria-disabled", String(!undo));
    byId("announced").textContent = on ? `Pair ${byId("count").textContent} is shown.` : "";
  },
  countdown(seconds) {
    byId("countdown").hidden = seconds === null;
    if (seconds !== null) byId("countdown").textContent = `This pair is kept for you for ${seconds} s more.`;
  },
});

// Buttons

let pointer = "mouse";
addEventListener("pointerdown", (event) => (pointer = event.pointerType || "mouse"), true);
const kindOf = (event) => (event.detail === 0 ? "key" : event.pointerType || pointer);

// A click by pointer gives the focus back to the page, so that the space bar exchanges the images.
function onClick(made, run) {
  made.addEventListener("click", (event) => {
    if (event.detail > 0) made.blur();
    if (made.getAttribute("aria-disabled") !== "true") run(event);
  });
}

for (const made of answers) onClick(made, (event) => controller.answer(made.dataset.answer, kindOf(event), event.timeStamp));
onClick(byId("undo"), () => controller.undo());
onClick(byId("zoom-in"), () => imageView.zoomTo(imageView.zoom * 1.4));
onClick(byId("zoom-out"), () => imageView.zoomTo(imageView.zoom / 1.4));
onClick(byId("zoom"), () => imageView.zoomTo(1));
onClick(byId("actual"), () => imageView.zoomTo(imageView.actual));
onClick(byId("double"), () => imageView.zoomTo(2 * imageView.actual));
onClick(byId("view"), () => imageView.setView(imageView.view === "one" ? "side" : "one"));
onClick(byId("more"), () => {
  const open = byId("tools").classList.toggle("open");
  byId("more").setAttribute("aria-expanded", String(open));
});
onClick(byId("ask-help"), () => help.showModal());
onClick(byId("stop"), () => controller.leave());
byId("close-help").addEventListener("click", () => help.close());

// Exchange in place: while held; a short press leaves it so

let pressed = null;
function press() {
  if (pressed !== null || dialog.kind()) return;
  pressed = performance.now();
  imageView.exchange(!imageView.exchanged);
}
function release() {
  if (pressed === null) return;
  if (performance.now() - pressed > PEEK) imageView.exchange(!imageView.exchanged);
  pressed = null;
}
byId("flip").addEventListener("pointerdown", (event) => event.button === 0 && press());
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, release);
byId("flip").addEventListener("click", (event) => {
  if (event.detail > 0) byId("flip").blur();
  else imageView.exchange(!imageView.exchanged); // by keyboard or by assistive technology
});
byId("flip").addEventListener("contextmenu", (event) => event.preventDefault());

// Keys. A held key is one press: its repeats never answer, open or exchange anything.

const [first, second] = facts.swap ? ["yes", "no"] : ["no", "yes"];
const answerKeys = { n: "no", y: "yes", u: "unsure", ArrowLeft: first, ArrowRight: second };
const zoomKeys = { "+": () => imageView.zoom * 1.4, "=": () => imageView.zoom * 1.4, "-": () => imageView.zoom / 1.4, 0: () => 1, 1: () => imageView.actual, 2: () => 2 * imageView.actual };
const panKeys = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const onControl = event.target.closest?.("button, a, summary");
  if (event.repeat && (key === "Enter" || key === " ")) return event.preventDefault();
  if (help.open || dialog.kind()) return;
  if (followUp.key(event)) return event.preventDefault();
  if (key === " " && !onControl) {
    event.preventDefault();
    if (!event.repeat) press();
  } else if (imageView.zoom > 1 && panKeys[key]) {
    event.preventDefault();
    imageView.pan(...panKeys[key].map((step) => step * 0.08 * imageView.width));
  } else if (key === "ArrowUp" || key === "ArrowDown") {
    byId("stage").scrollBy(0, key === "ArrowUp" ? -60 : 60); // where stacked images do not fit
  } else if (key in zoomKeys && followUp.mode === "answer") {
    event.preventDefault();
    imageView.zoomTo(zoomKeys[key]());
  } else if (answerKeys[key] && (key !== "u" || facts.unsure)) {
    event.preventDefault();
    if (!event.repeat) controller.answer(answerKeys[key], "key", event.timeStamp);
  } else if (key === "Backspace") {
    event.preventDefault();
    if (!event.repeat) controller.undo();
  } else if (key === "v" && !event.repeat) imageView.setView(imageView.view === "one" ? "side" : "one");
  else if (key === "?" && !event.repeat) help.showModal();
});
addEventListener("keyup", (event) => event.key === " " && release());

controller.start();
