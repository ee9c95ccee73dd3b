// A row of logits on the page, from its heading to its last step: what moves, and what follows.

/** What is said where the exponentials of moved logits overflow. */
const TOO_LARGE =
  "exp(a) is too large for float64; for such logits softgrad explain subtracts the largest first";

/** The steps of a slider that move a logit by a unit of its picture. */
const STEPS_OF_UNIT = 10;

/** The room at either edge of a picture that no slider enters, as a share of its half: a unit. */
const MARGIN = 2 / UNITS;

class Moving {
  /** @param {HTMLElement} root */
  constructor(root) {
    const data = JSON.parse(root.querySelector("script[type*=json]")?.textContent ?? "");
    this.root = root;
    /** @type {string[] | null} */
    this.names = data.names;
    /** @type {Formula[]} */
    this.formulas = data.formulas;
    /** Whether the derivation subtracts the largest logit, as it was written for large ones. */
    this.subtracts = JSON.stringify(data.formulas).includes('["Largest"]');
    /** @type {string[]} */
    this.options = data.options;
    /** @type {boolean} */
    this.canChoose = data.canChoose;
    /** How far a picture reaches to either side of the logit that it begins with. */
    this.half = UNITS / 2 * data.scales.run;
    this.step = data.scales.run / STEPS_OF_UNIT;
    /** @type {Map<number, number>} */
    this.lefts = new Map();
    /** @type {Row} */
    this.row = { ...data.row, logits: data.row.logits.map(Number) };
    this.start = structuredClone(this.row);
    this.now = compute(this.row);
    this.group = `target ${Math.random()}`;
    this.said = make("span", { className: "said", role: "status" });
    this.summary = "";
    /** @type {((row: Row, now: Results) => void)[]} */
    this.followers = [];
    this.plots = this.all(".plot").map((plot) => new Plot(plot, data.scales));
    this.steps = this.all(".step");
    this.visible = new Set(this.steps);
    /** @type {Set<HTMLElement>} */
    this.stale = new Set();
    /** @type {Map<string, number>} */
    this.values = new Map();
    this.isWaiting = false;
    addControls(this);
    this.all("tr[data-class]").forEach((line) => addToLine(this, line));
    this.plots.forEach((plot) => addDrag(this, plot));
    this.watchSteps();
    this.followers.forEach((follow) => follow(this.row, this.now));
    this.tell();
    root.classList.add("live");
  }

  /**
   * @param {string} selector
   * @returns {HTMLElement[]}
   */
  all = (selector) => [...this.root.querySelectorAll(/** @type {"p"} */ (selector))];

  /**
   * Return where the picture of a class begins. It moves along when the point comes to its edge.
   * @param {number} c
   */
  leftOf(c) {
    const at = this.row.logits[c];
    const left = this.lefts.get(c) ?? this.start.logits[c] - this.half;
    const edge = MARGIN * this.half * 0.999;
    const isInside = at - left >= edge && left + 2 * this.half - at >= edge;
    this.lefts.set(c, isInside ? left : at - this.half);
    return isInside ? left : at - this.half;
  }

  /**
   * Return between what a slider moves a logit: inside of its picture, parts of the slope included.
   * @param {number} c
   */
  rangeOf(c) {
    const [left, margin] = [this.leftOf(c), MARGIN * this.half];
    return { min: left + margin, max: left + 2 * this.half - margin };
  }

  /** @param {number} c */
  nameOf(c) {
    return this.names ? `${c} ${this.names[c]}` : String(c);
  }

  /**
   * Change the row; what is shown follows with the next frame.
   * @param {Partial<Row>} changes
   */
  change(changes) {
    Object.assign(this.row, changes);
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => this.show());
  }

  /** @param {number} c */
  chooseTarget(c) {
    const { logits, other, target } = this.row;
    const others = [...logits.keys()].filter((k) => k !== c);
    const next = others.reduce((best, k) => (logits[k] > logits[best] ? k : best));
    this.change({ target: c, label: c, other: other === c ? (target ?? next) : other });
    this.tell();
  }

  /**
   * Take a step of gradient descent; return the steepest slope there was, NaN for no such step.
   * @param {number} rate
   */
  descend(rate) {
    const { gradLogits } = compute(this.row);
    const logits = this.row.logits.map((logit, c) => logit - rate * gradLogits[c]);
    const isStill = logits.some((logit, c) => logit !== this.row.logits[c] && !canMove(logit));
    if (isStill) return NaN;
    this.change({ logits });
    return largestOf(gradLogits.map(Math.abs));
  }

  /** Say the loss to screen readers: once a move is done, not while it goes on. */
  tell() {
    this.summarize(compute(this.row));
    this.said.innerHTML = this.summary;
    this.said.ariaBusy = "false";
  }

  /** @param {Results} results */
  summarize({ loss, zLoss, probs, logTotal }) {
    const { target } = this.row;
    const share = target === null ? "" : `, f(x)<sub>${target}</sub> ${inText(probs[target], 4)}`;
    const isTooLarge = Math.exp(logTotal) === Infinity && !this.subtracts;
    const remark = isTooLarge ? `; ${TOO_LARGE}` : "";
    this.summary = `loss ${inText(loss + zLoss, 4)}${share}${remark}`;
  }

  show() {
    this.isWaiting = false;
    this.now = compute(this.row);
    this.root.classList.add("moved");
    const told = this.summary;
    this.summarize(this.now);
    if (this.summary !== told) {
      this.said.ariaBusy = "true";
      this.said.innerHTML = this.summary;
    }
    this.followers.forEach((follow) => follow(this.row, this.now));
    fillTotals(this, this.now);
    fillTitle(this);
    hideSums(this.root);
    this.plotTarget();
    for (const plot of this.plots) {
      plot.draw(this.row, this.now, plot.index === null ? 0 : this.leftOf(plot.index));
    }
    this.stale = new Set(this.steps);
    this.values.clear();
    this.visible.forEach((step) => this.showStep(step));
  }

  /** Let the target have a picture: where it has none, in the place of the flattest. */
  plotTarget() {
    const { label, logits } = this.row;
    const name = this.names ? ` ${this.names[label]}` : "";
    const classes = this.plots.filter((plot) => plot.index !== null);
    this.plots.find((plot) => plot.index === null)?.rename(name);
    if (!classes.length || classes.some((plot) => plot.index === label)) return;
    if (!canMove(logits[label])) return;
    const size = (/** @type {Plot} */ plot) => Math.abs(this.now.gradLogits[plot.index ?? 0]);
    const flattest = classes.reduce((one, two) => (size(two) < size(one) ? two : one));
    flattest.index = label;
    flattest.rename(name, label);
  }

  /** Steps that are not seen need not follow before they are. */
  watchSteps() {
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const step = /** @type {HTMLElement} */ (target);
        this.visible[isIntersecting ? "add" : "delete"](step);
        if (isIntersecting) this.showStep(step);
      }
    }, { rootMargin: "200px" });
    this.steps.forEach((step) => seen.observe(step));
    addEventListener("beforeprint", () => this.steps.forEach((step) => this.showStep(step)));
  }

  /**
   * Evaluate the formulas behind the numbers of a step.
   * @param {HTMLElement} step
   */
  showStep(step) {
    if (!this.stale.delete(step)) return;
    const { row, now, names } = this;
    const y = row.target ?? row.label;
    /** @param {Element} place */
    const classAt = (place) => (place.closest("[data-case=other]") ? row.other : y);
    for (const place of step.querySelectorAll("[data-of]")) {
      const { of, digits, held } = /** @type {HTMLElement} */ (place).dataset;
      const c = classAt(place);
      // The same formula stands in many steps.
      const key = `${of} ${c}`;
      const value = this.values.get(key) ??
        evaluate(this.formulas[Number(of)], { row, now, indices: { y, i: y, c }, by: null })[0];
      this.values.set(key, value);
      const drawn = inFormula(value, Number(digits ?? 6), Number(held ?? 0));
      if (place.innerHTML !== drawn) place.innerHTML = drawn;
    }
    for (const which of step.querySelectorAll("[data-case] > .which")) {
      if (which.lastChild) {
        which.lastChild.textContent = names ? ` (${names[classAt(which)]}):` : ":";
      }
    }
  }
}

for (const root of document.querySelectorAll(".moving:not(.live)")) {
  new Moving(/** @type {HTMLElement} */ (root));
}
