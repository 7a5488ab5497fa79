// Answers on their way. They are sent one after another, kept in sessionStorage until the server has replied, and sent again
// after a fault: an answer is stored by the server once only, however often it arrives.

import { post, Refused } from "./api.js";

const WAITS = [1000, 2000, 4000, 8000, 15000];

export class Outbox {
  // on: {stored(reply, answer), refused(error, answer), stuck(count, message), flowing()}
  constructor(person, on) {
    this.key = `answers:${person}`;
    this.on = on;
    this.sending = false;
    this.failures = 0;
    this.waiters = [];
    try {
      this.answers = JSON.parse(sessionStorage.getItem(this.key)) ?? [];
    } catch {
      this.answers = [];
    }
    addEventListener("online", () => this.retry());
  }

  get empty() {
    return this.answers.length === 0;
  }

  push(answer) {
    this.answers.push(answer);
    this.keep();
    this.send();
  }

  // Takes back an answer that has not left yet; false when it is too late for that.
  withdraw(trial) {
    const last = this.answers.at(-1);
    if (last?.trial !== trial || (this.sending && this.answers.length === 1)) return false;
    this.answers.pop();
    this.keep();
    return true;
  }

  // Resolves once nothing waits any more.
  emptied() {
    return this.empty ? Promise.resolve() : new Promise((done) => this.waiters.push(done));
  }

  retry() {
    clearTimeout(this.timer);
    this.send();
  }

  async send() {
    if (this.sending || this.empty) return;
    this.sending = true;
    const answer = this.answers[0];
    let after = () => {};
    try {
      const reply = await post("/api/answer", answer);
      const again = this.failures > 0; // a duplicate is what this answer has become, not a second one
      after = () => this.on.stored({ ...reply, again }, answer);
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401) {
        this.sending = false;
        this.later(error);
        return;
      }
      after = () => this.on.refused(error, answer);
    }
    this.answers.shift();
    this.keep();
    this.sending = false;
    if (this.failures > 0 && this.empty) this.on.flowing();
    if (this.empty) this.failures = 0;
    after();
    if (this.empty) this.waiters.splice(0).forEach((done) => done());
    this.send();
  }

  later(error) {
    const wait = Math.max(error.wait ?? 0, WAITS[Math.min(this.failures, WAITS.length - 1)]);
    this.failures += 1;
    clearTimeout(this.timer);
    if (error instanceof Refused) return this.on.refused(error, null); // signed out: kept until the person is back
    this.timer = setTimeout(() => this.send(), wait);
    this.on.stuck(this.answers.length, error.message);
  }

  keep() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(this.answers));
    } catch {
      // storage full or forbidden: the answers live as long as this page does
    }
  }
}
