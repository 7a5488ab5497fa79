// A break, or the wheel, or both: what a person may do between two pairs.

import { mount } from "../spin.js";
import { get } from "./api.js";
import * as dialog from "./dialog.js";
import * as states from "./states.js";

export function openBreakScreen(controller, state, rest) {
  const { facts } = controller;
  const content = document.createElement("div");
  const line = () => content.appendChild(document.createElement("p"));
  const score = line();
  const say = (points) => (score.textContent = facts.wheel ? `Your score is ${points}.` : "");
  say(state.score);
  dialog.open({ ...states.pause(controller, state, rest), content });
  if (facts.board) sayRank(line());
  if (state.spins === 0) return;
  const done = (result) => {
    if (!result) return;
    controller.spinsLeft = controller.state.spins = result.spins_left;
    say(result.score);
    if (result.spins_left === 0) dialog.focusFirst();
  };
  mount(content.appendChild(document.createElement("div")), { wheel: facts.wheel, spins: state.spins, done }).focus();
}

async function sayRank(line) {
  try {
    const { you } = await get("/api/leaderboard");
    if (you) line.textContent = `You are number ${you.rank} on the leaderboard.`;
  } catch {
    // only an extra: without it nothing is missing
  }
}
