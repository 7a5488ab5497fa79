// The bar under the images: the answers, then what a Yes may ask (what changed, and where), or the feedback of a training pair.

export const CATEGORIES = ["detail", "structure", "meaning"];

export class FollowUp {
  constructor(imageView) {
    this.imageView = imageView;
    this.parts = Object.fromEntries(
      [...document.querySelectorAll("[data-asks]")].map((part) => [part.dataset.asks, part]),
    );
    this.mode = "answer";
    this.resolve = null;
    for (const made of document.querySelectorAll("[data-category]")) {
      made.addEventListener("click", () => this.settle(made.dataset.category));
    }
    document.getElementById("nowhere").addEventListener("click", () => this.settle(null));
    document.getElementById("here").addEventListener("click", () => this.here());
    document.getElementById("go-on").addEventListener("click", () => this.settle(true));
    for (const made of document.querySelectorAll(".back")) made.addEventListener("click", () => this.settle(undefined));
  }

  show(mode) {
    this.mode = mode;
    for (const [name, part] of Object.entries(this.parts)) part.hidden = name !== mode;
    this.imageView.layout();
  }

  settle(value) {
    const resolve = this.resolve;
    this.resolve = null;
    this.imageView.stopPicking();
    resolve?.(value);
  }

  wait(mode) {
    this.show(mode);
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  // {category, where}, or null when the person goes back to the question
  async ask(wanted, side) {
    const found = { category: null, where: null };
    if (wanted.category) {
      const waiting = this.wait("category");
      this.parts.category.querySelector("button").focus();
      found.category = await waiting;
      if (found.category === undefined) return null;
    }
    if (wanted.where && side) {
      document.getElementById("where-letter").textContent = side === "left" ? "A" : "B";
      const waiting = this.wait("where");
      this.imageView.pick(side, (place) => this.settle(place));
      document.activeElement?.blur();
      found.where = await waiting;
      if (found.where === undefined) return null;
    }
    return found;
  }

  here() {
    const picking = this.imageView.picking;
    if (!picking) return;
    if (!picking.shown) this.imageView.moveMarker(0, 0); // the first press shows the cursor
    else this.settle([picking.x, picking.y]);
  }

  async feedback({ correct, text }) {
    const end = text.indexOf(". ") + 1 || text.length; // the first sentence is the verdict
    const verdict = document.getElementById("verdict");
    verdict.textContent = text.slice(0, end);
    verdict.className = correct ? "good" : "bad";
    document.getElementById("reason").textContent = text.slice(end).trim();
    const waiting = this.wait("feedback");
    document.getElementById("go-on").focus();
    await waiting;
  }

  // True when the key was for this bar.
  key(event) {
    const { key } = event;
    if (this.mode === "category") {
      const index = "123".indexOf(key);
      if (index >= 0 && !event.repeat) this.settle(CATEGORIES[index]);
      else if (key === "Escape" || key === "Backspace") this.settle(undefined);
      else return false;
      return true;
    }
    if (this.mode === "where") {
      const step = event.shiftKey ? 0.1 : 0.02;
      const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (arrows[key]) this.imageView.moveMarker(...arrows[key]);
      else if (key === "Enter" && !event.repeat && !event.target.closest?.("button")) this.here();
      else if (key === "Escape" || key === "Backspace") this.settle(undefined);
      else return false;
      return true;
    }
    return false;
  }
}
