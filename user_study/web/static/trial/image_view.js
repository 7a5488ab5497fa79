// The two frames: size, synchronised zoom and pan, exchange in place, and the click that says where.

const GAP = 12; // CSS pixels between the frames
const LARGEST = 3; // CSS pixels per image pixel when fitted: small images are not blown up without end
const LEAST_SHARE = 0.5; // stacked frames shrink to this share of the width to be seen without scrolling; else they fill the width

export class ImageView {
  constructor(root, changed) {
    this.root = root;
    this.changed = changed; // called after zoom, view or exchange has changed
    this.frames = ["left", "right"].map((side) => {
      const frame = root.querySelector(`[data-side="${side}"]`);
      return { side, frame, label: frame.querySelector(".letter"), window: frame.querySelector(".window") };
    });
    this.view = "side"; // or "one": a single, larger frame whose image is exchanged
    this.pair = null;
    this.reset();
    new ResizeObserver(() => this.layout()).observe(root);
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    // two fingers zoom the pair, never the page
    root.addEventListener("touchstart", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
    this.pointers = new Map();
    for (const { window } of this.frames) {
      window.addEventListener("pointerdown", (event) => this.down(event, window));
      window.addEventListener("pointermove", (event) => this.move(event, window));
      for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, (event) => this.up(event));
    }
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0, y: 0, exchanged: false, toggles: 0, zoomMax: 1, usedToggle: false });
  }

  show(pair) {
    this.pair = pair;
    this.reset();
    for (const { side, window } of this.frames) window.replaceChildren(...pair.elements[side]);
    this.root.scrollTop = 0;
    this.usedToggle = this.view === "one";
    this.layout();
    this.paintSides();
    this.changed();
  }

  clear() {
    this.pair = null;
    for (const { window } of this.frames) window.replaceChildren();
  }

  get shownWidth() {
    return Math.round(this.width * 10) / 10;
  }

  // Sizes

  layout() {
    if (!this.pair) return;
    const { width: w, height: h } = this.pair.trial.left;
    const room = getComputedStyle(this.root);
    const W = this.root.clientWidth - parseFloat(room.paddingLeft) - parseFloat(room.paddingRight);
    const H = this.root.clientHeight - parseFloat(room.paddingTop) - parseFloat(room.paddingBottom);
    const letter = 24; // the letter is above a frame, beside a stacked one
    const beside = Math.min((W - GAP) / 2 / w, (H - letter) / h);
    const across = (W - letter) / w;
    const below = Math.min(across, (H - GAP) / 2 / h);
    let scale, layout;
    if (this.view === "one") {
      layout = "one";
      scale = Math.min(W / w, (H - letter) / h);
    } else if (W >= 700 || W > H) {
      layout = below > 1.25 * beside ? "stacked" : "beside"; // wide pictures are larger one above the other
      scale = Math.max(beside, layout === "stacked" ? below : 0);
    } else {
      layout = "stacked";
      scale = below >= LEAST_SHARE * across ? below : across;
    }
    scale = Math.max(Math.min(scale, LARGEST), 32 / w);
    this.root.dataset.layout = layout;
    [this.width, this.height] = [Math.floor(w * scale), Math.floor(h * scale)];
    this.root.classList.toggle("scrolls", layout === "stacked" && 2 * this.height + GAP > H + 1);
    for (const { window } of this.frames) {
      window.style.width = `${this.width}px`;
      window.style.height = `${this.height}px`;
    }
    this.place(this.zoom, this.x, this.y);
  }

  // Zoom, as a multiple of the fitted size; x and y: the image's corner, in CSS pixels of the frame

  get actual() {
    return this.pair.trial.left.width / devicePixelRatio / this.width; // one image pixel on one pixel of the screen
  }

  place(zoom, x, y) {
    if (!this.pair) return;
    const least = Math.min(1, this.actual);
    this.zoom = Math.min(Math.max(zoom, least), Math.max(8, 4 * this.actual));
    const [spareX, spareY] = [this.width * (1 - this.zoom), this.height * (1 - this.zoom)];
    this.x = spareX >= 0 ? spareX / 2 : Math.min(0, Math.max(spareX, x));
    this.y = spareY >= 0 ? spareY / 2 : Math.min(0, Math.max(spareY, y));
    this.zoomMax = Math.max(this.zoomMax, this.zoom);
    const still = this.zoom === 1;
    this.root.classList.toggle("zoomed", this.zoom > 1);
    for (const side of ["left", "right"]) {
      for (const image of this.pair.elements[side]) {
        image.style.transform = still ? "none" : `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
      }
    }
    this.placeMarker();
  }

  zoomTo(zoom, px = this.width / 2, py = this.height / 2) {
    if (!this.pair) return;
    const from = this.zoom;
    const to = Math.min(Math.max(zoom, Math.min(1, this.actual)), Math.max(8, 4 * this.actual));
    this.place(to, px - ((px - this.x) * to) / from, py - ((py - this.y) * to) / from);
    this.changed();
  }

  pan(dx, dy) {
    this.place(this.zoom, this.x + dx, this.y + dy);
  }

  wheel(event) {
    const frame = event.target.closest(".window");
    if (!frame || (this.root.classList.contains("scrolls") && this.zoom === 1 && !event.ctrlKey)) return;
    event.preventDefault();
    const step = event.deltaY * (event.deltaMode === 1 ? 16 : 1) * (event.ctrlKey ? 4 : 1);
    this.zoomTo(this.zoom * Math.exp(-Math.max(-240, Math.min(240, step)) / 400), ...this.at(event, frame));
  }

  at(event, frame) {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event, frame) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, this.at(event, frame));
    this.moved = this.pointers.size > 1 ? Infinity : 0;
    if (this.zoom > 1 || this.pointers.size > 1) frame.setPointerCapture(event.pointerId);
  }

  move(event, frame) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.at(event, frame);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    this.moved += Math.hypot(dx, dy);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 1) {
      if (this.zoom > 1) this.pan(dx, dy);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
    const spread = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1);
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.zoomTo((this.zoom * spread(now, other)) / spread(before, other), ...middle);
    this.pan(dx / 2, dy / 2);
  }

  up(event) {
    const was = this.pointers.delete(event.pointerId);
    const frame = event.currentTarget;
    if (was && event.type === "pointerup" && this.moved < 8 && this.pointers.size === 0) this.clicked(event, frame);
  }

  // Exchange in place: each frame shows the other image at the same position

  exchange(on) {
    if (!this.pair || on === this.exchanged) return;
    this.exchanged = on;
    if (on) {
      this.toggles += 1;
      this.usedToggle = true;
    }
    this.paintSides();
    this.changed();
  }

  setView(view) {
    this.view = view;
    this.exchanged = false;
    if (view === "one") this.usedToggle = true;
    this.layout();
    this.paintSides();
    this.changed();
  }

  paintSides() {
    const letters = this.exchanged ? ["B", "A"] : ["A", "B"];
    this.frames.forEach(({ window, label }, index) => {
      label.textContent = letters[index];
      [...window.querySelectorAll("img")].forEach((image, which) => {
        const seen = (which === 1) === this.exchanged;
        image.classList.toggle("under", !seen);
        image.setAttribute("aria-hidden", String(!seen));
      });
    });
  }

  // Where: a click on one side, or a cursor moved by the arrow keys

  pick(side, done) {
    if (this.view === "one") this.setView("side");
    this.exchange(false);
    const { window } = this.frames.find((frame) => frame.side === side);
    this.picking = { window, done, x: 0.5, y: 0.5, shown: false };
    this.marker = document.createElement("span");
    this.marker.className = "marker";
    this.marker.hidden = true;
    window.append(this.marker);
    window.classList.add("picking");
    window.scrollIntoView({ block: "nearest" });
  }

  stopPicking() {
    if (!this.picking) return;
    this.marker.remove();
    this.picking.window.classList.remove("picking");
    this.picking = this.marker = null;
  }

  moveMarker(dx, dy) {
    const clip = (value) => Math.min(1, Math.max(0, value));
    if (this.picking.shown) Object.assign(this.picking, { x: clip(this.picking.x + dx), y: clip(this.picking.y + dy) });
    this.picking.shown = true;
    this.placeMarker();
  }

  placeMarker() {
    if (!this.picking) return;
    this.marker.hidden = !this.picking.shown;
    this.marker.style.left = `${this.x + this.picking.x * this.width * this.zoom}px`;
    this.marker.style.top = `${this.y + this.picking.y * this.height * this.zoom}px`;
  }

  clicked(event, frame) {
    if (!this.picking || frame !== this.picking.window) return;
    const [px, py] = this.at(event, frame);
    const x = (px - this.x) / this.zoom / this.width;
    const y = (py - this.y) / this.zoom / this.height;
    if (x >= 0 && x <= 1 && y >= 0 && y <= 1) this.picking.done([x, y]);
  }
}
