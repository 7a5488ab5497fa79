// How long the pair on screen is kept for this person. Renewed while the page is seen and used; the last minute is counted down.

import { post } from "./api.js";

const RENEW_EVERY = 45000;
const COUNTDOWN = 60;

export class Lease {
  // on: {left(seconds or null), expired(), refused(error)}
  constructor(on) {
    this.on = on;
    this.trial = null;
    this.used = false;
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) {
      addEventListener(kind, () => this.noticed(), { passive: true, capture: true });
    }
    setInterval(() => this.tick(), 1000);
  }

  hold(trial) {
    this.trial = trial.id;
    this.until = trial.until; // by performance.now()
    this.renewed = performance.now();
    this.used = false;
    this.on.left(null);
  }

  drop() {
    this.trial = null;
    this.on.left(null);
  }

  noticed() {
    this.used = true;
    if (this.trial && this.until - performance.now() < COUNTDOWN * 1000) this.renew();
  }

  tick() {
    if (!this.trial) return;
    const left = Math.ceil((this.until - performance.now()) / 1000);
    if (left <= 0) {
      this.drop();
      this.on.expired();
      return;
    }
    if (this.used && !document.hidden && performance.now() - this.renewed > RENEW_EVERY) this.renew();
    this.on.left(left <= COUNTDOWN ? left : null);
  }

  async renew() {
    if (this.renewing || performance.now() - this.renewed < 2000) return;
    const trial = this.trial;
    this.renewing = true;
    this.renewed = performance.now();
    try {
      const { expires_in_ms: left } = await post("/api/heartbeat", { trial });
      if (this.trial === trial) {
        this.until = performance.now() + left;
        this.used = false;
      }
    } catch (error) {
      if (error.status && this.trial === trial) this.on.refused(error); // without a reply the countdown goes on
    } finally {
      this.renewing = false;
    }
  }
}
