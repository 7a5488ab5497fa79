// The run of pairs: what is on screen, when an answer counts, what follows it. The server's STATE is the truth; the pair that is
// loaded ahead is shown before the server has replied, and taken back with a message if the server says otherwise.

import { post } from "./api.js";
import * as dialog from "./dialog.js";
import { openBreakScreen } from "./break_screen.js";
import { Lease } from "./lease.js";
import { Loader } from "./loading.js";
import { loadLastAnswer, saveLastAnswer } from "./local_state.js";
import { Outbox } from "./outbox.js";
import { nextFrame } from "./next_frame.js";
import * as states from "./states.js";
import { Timing } from "./timing.js";

const SHORTEST = 250; // ms: an earlier press is the end of a double click or of the press before
const POLL = 20000; // ms between looks whether a paused study goes on
const RETRY = 5000; // ms between attempts to fetch a pair
const NAMES = { yes: "Yes", no: "No", unsure: "Not sure" };

export class TrialController {
  // facts: what the page says about the study; ui: {say, progress, enable, countdown, imageView, followUp}
  constructor(facts, ui) {
    Object.assign(this, ui);
    this.facts = facts;
    this.state = null;
    this.pair = null;
    this.turn = 0; // grows whenever something else is to be shown; late steps of an older turn end there
    this.accepts = false;
    this.loader = new Loader();
    this.timing = new Timing();
    this.lease = new Lease({
      left: (seconds) => this.countdown(seconds),
      expired: () => this.closeWith(states.expired(this)),
      refused: (error) => (error.status === 401 ? this.signedOut() : this.closeWith(states.expired(this))),
    });
    this.outbox = new Outbox(facts.person, {
      stored: (reply, answer) => this.stored(reply, answer),
      refused: (error, answer) => this.refused(error, answer),
      stuck: (count, message) => this.stuck(count, message),
      flowing: () => this.say("Connected again. Every answer is stored.", "good"),
    });
    this.last = loadLastAnswer(facts.person);
  }

  async start() {
    this.openTabs();
    addEventListener("beforeunload", (event) => this.outbox.empty || event.preventDefault());
    addEventListener("pagehide", () => this.letGo());
    addEventListener("pageshow", (event) => event.persisted && this.refresh());
    if (this.facts.desktop && innerWidth < 900) {
      await new Promise((go) => dialog.open(states.smallScreen(go)));
      dialog.close();
    }
    if (!this.outbox.empty) {
      this.say("Sending the answers that were kept.");
      this.outbox.send();
      await this.outbox.emptied();
    }
    if (!this.state) await this.refresh();
  }

  // The server's word

  async refresh(message = null) {
    this.stop();
    const { turn } = this;
    try {
      const state = await post("/api/next");
      if (turn === this.turn) this.adopt(state, message);
    } catch (error) {
      if (turn !== this.turn) return;
      if (error.status === 401) this.signedOut();
      else if (error.code === "not_ready") location.assign("/");
      else if (error.status) this.closeWith(states.refused(this, error.message));
      else {
        this.closeWith(states.offline(() => this.refresh(message)));
        this.later(() => this.refresh(message), Math.max(error.wait, RETRY));
      }
    }
  }

  adopt(state, message = null) {
    const before = this.state;
    this.take(state);
    if (message) this.say(message, "mind");
    if (["consent", "instructions"].includes(state.phase)) return location.assign(`/${state.phase}`);
    if (["done", "closed"].includes(state.phase)) return location.assign("/finish");
    if (state.phase === "paused") {
      this.closeWith(states.paused(this));
      return this.later(() => this.refresh(), POLL);
    }
    if (!state.trial) return this.closeWith(states.full(this));
    const over = state.phase !== "training";
    if (before?.phase === "training" && (over || state.training.attempt !== before.training.attempt)) {
      return this.closeWith(states.trained(this, state, over));
    }
    this.goOn();
  }

  take(state) {
    this.state = state;
    this.progress(state);
    const trials = [state.trial, state.upcoming].filter(Boolean);
    for (const trial of trials) trial.until = performance.now() + trial.expires_in_ms;
    this.loader.keep([...trials, this.pair?.trial, this.last?.trial]);
    for (const trial of trials) this.loader.get(trial);
  }

  // A break or the wheel if one is due, else the pair.
  goOn() {
    const { state } = this;
    const rest = state.break_due && this.rested !== state.answered;
    if (rest || state.spins > (this.spinsLeft ?? 0)) return this.pause(state, rest);
    this.spinsLeft = state.spins;
    if (state.trial.until < performance.now() + 1000) return this.refresh(); // the dialog was open for long
    this.present(state.trial);
  }

  pause(state, rest) {
    this.rested = state.answered;
    this.spinsLeft = state.spins;
    this.stop();
    openBreakScreen(this, state, rest);
  }

  // Showing a pair

  present(trial) {
    dialog.close();
    const pair = this.loader.get(trial);
    if (this.pair === pair && (this.accepts || this.showing === pair || this.followUp.mode !== "answer")) {
      if (this.accepts) this.lease.hold(trial);
    } else this.show(pair);
  }

  async show(pair) {
    this.stop();
    const { turn } = this;
    const asked = performance.now();
    this.followUp.show("answer");
    if (!pair.decoded) {
      this.imageView.clear();
      this.pair = null;
      document.body.classList.add("loading");
      try {
        await pair.ready;
      } catch (error) {
        if (turn === this.turn) this.closeWith(states.unseen(this, pair.trial, error.message));
        return;
      }
      if (turn !== this.turn) return;
      document.body.classList.remove("loading");
    }
    this.pair = this.showing = pair;
    this.imageView.show(pair);
    await nextFrame();
    if (turn !== this.turn) return;
    this.showing = null;
    this.timing.begin(pair.decodedAt - asked);
    this.lease.hold(pair.trial);
    this.accepts = true;
    this.enable(true, this.canUndo);
    performance.mark("shown", { detail: pair.trial.id });
  }

  // Nothing is answered and nothing held until the next pair is shown.
  stop() {
    this.turn += 1;
    this.accepts = false;
    this.showing = null;
    clearTimeout(this.timer);
    this.lease.drop();
    this.followUp.settle(undefined);
    this.enable(false, false);
    document.body.classList.remove("loading");
  }

  closeWith(description) {
    this.stop();
    dialog.open(description);
  }

  get canUndo() {
    return Boolean(this.state.can_undo && this.last);
  }

  // Answering

  async answer(value, input, pressed) {
    if (!this.accepts || dialog.kind() || performance.now() - this.timing.start < SHORTEST) return;
    performance.mark("answered", { startTime: pressed, detail: this.pair.trial.id });
    this.accepts = false;
    this.say("");
    const { state, pair, imageView } = this;
    const { trial } = pair;
    const answer = { trial: trial.id, answer: value, held: false, input, ...this.timing.read(), category: null, where: null };
    const wanted = state.follow_up;
    if (value === "yes" && state.phase === "main" && (wanted.category || (wanted.where && trial.candidate_side))) {
      const { turn } = this;
      const found = await this.followUp.ask(wanted, trial.candidate_side);
      if (turn !== this.turn) return;
      if (found === null) {
        this.followUp.show("answer");
        this.accepts = true;
        return;
      }
      Object.assign(answer, found);
    }
    const { usedToggle, toggles, zoomMax, shownWidth } = imageView;
    Object.assign(answer, { view: usedToggle ? "toggle" : "side", toggles, shown_width: shownWidth });
    answer.zoom_max = Math.round(zoomMax * 100) / 100;
    this.stop();
    this.rested = null;
    this.last = saveLastAnswer(this.facts.person, { trial, value });
    const next = state.phase === "main" && !this.pausesAfter(state) ? state.upcoming : null;
    if (next && this.loader.get(next).decoded) {
      this.state = { ...state, trial: next, upcoming: null, can_undo: true, answered: state.answered + 1 };
      this.progress(this.state);
      this.show(this.loader.get(next));
    } else if (state.phase !== "training") {
      document.body.classList.add("loading"); // in the training the pair stays for its feedback
    }
    this.outbox.push(answer);
  }

  // The server will ask for a break or offer the wheel after this answer: the next pair must not flash by.
  pausesAfter({ answered, valid }) {
    const { breakEvery, spinEvery } = this.facts;
    return (breakEvery > 0 && (answered + 1) % breakEvery === 0) || (spinEvery > 0 && (valid + 1) % spinEvery === 0);
  }

  async stored(reply, answer) {
    const { state, notice, feedback } = reply;
    if (notice) this.say(notice, "mind");
    else if (reply.duplicate && !reply.again) this.say("This pair had been answered already; the first answer is kept.", "mind");
    if (!this.outbox.empty || this.undoing || dialog.kind() === "elsewhere") {
      if (state.upcoming) this.loader.get(state.upcoming);
      return; // the reply to the last answer, or to what was asked since, decides
    }
    if (feedback && this.pair?.trial.id === answer.trial) {
      const { turn } = this;
      await this.followUp.feedback(feedback);
      if (turn !== this.turn) return;
      this.say("");
    }
    const shown = this.pair?.trial.id;
    const swapped = shown && shown !== answer.trial && shown === this.state?.trial?.id && state.trial && state.trial.id !== shown;
    this.adopt(state, swapped && !notice ? "The pair that was shown has gone to somebody else; here is another one." : null);
  }

  refused(error, answer) {
    if (error.status === 401) this.signedOut();
    else this.refresh(`Your answer ${NAMES[answer.answer]} was not stored. ${error.message}`);
  }

  stuck(count, message) {
    const kept = count === 1 ? "One answer is" : `${count} answers are`;
    this.say(`${message} ${kept} kept in this tab and sent again by itself. Keep it open.`, "bad", () => this.outbox.retry());
  }

  async undo() {
    if (!this.accepts || !this.canUndo || dialog.kind()) return;
    const { trial, value } = this.last;
    this.stop();
    this.last = saveLastAnswer(this.facts.person, null);
    const said = `You had answered ${NAMES[value]}. Answer again.`;
    if (this.outbox.withdraw(trial.id)) {
      const { state } = this;
      this.state = { ...state, trial, upcoming: state.trial, can_undo: false, answered: state.answered - 1 };
      this.progress(this.state);
      this.say(said);
      return this.show(this.loader.get(trial));
    }
    document.body.classList.add("loading");
    this.undoing = true;
    await this.outbox.emptied();
    try {
      const state = await post("/api/undo", { trial: trial.id });
      this.take(state);
      this.say(said);
      this.show(this.loader.get(state.trial));
    } catch (error) {
      this.refresh(error.message);
    } finally {
      this.undoing = false;
    }
  }

  // Ends and other places

  signedOut() {
    this.closeWith(states.signedOut(!this.outbox.empty));
  }

  // The server keeps the pair for a moment more, so that a page that is only reloaded finds it again.
  letGo() {
    if (!this.pair || dialog.kind() === "elsewhere") return;
    navigator.sendBeacon("/api/release", new Blob(["{}"], { type: "application/json" }));
  }

  leave() {
    location.assign("/");
  }

  later(run, wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(run, wait);
  }

  // One tab at a time: the one opened or chosen last goes on, the others wait.
  openTabs() {
    const tabs = new BroadcastChannel(`study:${this.facts.person}`);
    tabs.onmessage = () => {
      const here = () => {
        tabs.postMessage("here");
        this.refresh();
      };
      this.closeWith(states.elsewhere(here));
    };
    tabs.postMessage("here");
  }
}
