// What is measured while a pair is on screen: time from the moment both images are seen, and times away from the window.

export class Timing {
  constructor() {
    this.away = null;
    const left = () => this.start !== undefined && this.away === null && (this.away = performance.now());
    const back = () => {
      if (this.away === null || document.hidden || !document.hasFocus()) return;
      this.blurs += 1;
      this.blurMs += performance.now() - this.away;
      this.away = null;
    };
    addEventListener("blur", left);
    addEventListener("focus", back);
    document.addEventListener("visibilitychange", () => (document.hidden ? left() : back()));
  }

  // Both images are on the screen now.
  begin(loadMs) {
    const start = performance.now();
    Object.assign(this, { start, loadMs: Math.max(0, loadMs), blurs: 0, blurMs: 0, away: document.hasFocus() ? null : start });
  }

  read() {
    const round = (value) => Math.round(value * 10) / 10;
    return {
      rt_ms: round(performance.now() - this.start),
      load_ms: round(this.loadMs),
      blurs: this.blurs,
      blur_ms: round(this.blurMs),
      viewport: [innerWidth, innerHeight],
      pixel_ratio: Math.round(devicePixelRatio * 1000) / 1000,
    };
  }
}
