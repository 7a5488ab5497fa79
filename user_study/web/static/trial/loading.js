// Pairs of images, fetched and decoded before they are shown. Each frame of the image view holds both images of the pair, so that
// exchanging them in place needs no load; that makes four elements from two downloads.

const TRIES = 4;

export class Pair {
  constructor(trial) {
    this.trial = trial;
    this.asked = performance.now();
    this.decodedAt = null;
    this.elements = { left: [], right: [] }; // per frame: [its own image, the other one]
    this.ready = this.load();
    this.ready.catch(() => {}); // whoever shows the pair hears of it
  }

  get decoded() {
    return this.decodedAt !== null;
  }

  async load() {
    const { left, right } = this.trial;
    const [ownLeft, ownRight] = await Promise.all([decoded(left, "A"), decoded(right, "B")]);
    const [otherLeft, otherRight] = await Promise.all([decoded(right, "B"), decoded(left, "A")]);
    this.elements = { left: [ownLeft, otherLeft], right: [ownRight, otherRight] };
    this.decodedAt = performance.now();
    return this;
  }
}

async function decoded(source, label) {
  for (let tried = 1; ; tried += 1) {
    const image = new Image(source.width, source.height);
    image.alt = `Image ${label}`;
    image.draggable = false;
    image.decoding = "sync";
    image.src = source.url;
    try {
      await image.decode();
      return image;
    } catch {
      if (tried === TRIES) throw new Error(`Image ${label} could not be loaded.`);
      await new Promise((go) => setTimeout(go, 400 * 2 ** tried));
    }
  }
}

// The pairs loaded ahead, by trial; asking twice loads once.
export class Loader {
  constructor() {
    this.pairs = new Map();
  }

  get(trial) {
    const found = this.pairs.get(trial.id);
    if (found) {
      found.trial = trial;
      return found;
    }
    const made = new Pair(trial);
    this.pairs.set(trial.id, made);
    made.ready.catch(() => this.pairs.delete(trial.id)); // the next request tries again
    return made;
  }

  keep(trials) {
    const wanted = new Set(trials.filter(Boolean).map((trial) => trial.id));
    for (const id of this.pairs.keys()) if (!wanted.has(id)) this.pairs.delete(id);
  }
}
