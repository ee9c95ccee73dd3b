// The curves: the loss by one logit, or by f(x)_y, with the point and its tangent.

/** The size of a picture, as in plots.py. */
const WIDTH = 240;
const HEIGHT = 156;
const UNITS = 10;
const UNIT = WIDTH / UNITS;
const SIDE = 5;
const FLOOR = 1.2;
const HEADROOM = 4;
const BESIDE = 0.25;
const POINTS = 97;
const SMALLEST_SHARE = Math.exp(-9);
/** Higher than any picture, for a tangent that is vertical. */
const STEEP = 100;

/**
 * Where numbers are drawn in a picture.
 * @typedef {{ left: number, run: number, bottom: number, rise: number }} Frame
 */

/**
 * Return a path through points, as SVG has it; a loss that no number tells has no point.
 * @param {Frame} frame
 * @param {[number, number][]} points
 */
function pathOf({ left, run, bottom, rise }, points) {
  const at = points.flatMap(([x, loss]) => {
    const across = ((x - left) / run) * UNIT;
    const down = HEIGHT - (loss / rise - bottom) * UNIT;
    if (Number.isNaN(down)) return [];
    return [`${across.toFixed(2)} ${Math.min(Math.max(down, -9999), 9999).toFixed(2)}`];
  });
  return at.length ? `M${at.join("L")}` : "";
}

/**
 * Return the loss where one logit is moved, for each of its values.
 * @param {Row} row
 * @param {Results} now
 * @param {number} c
 * @param {number[]} xs
 */
function lossesBy(row, now, c, xs) {
  // What the others have in the sum and in the loss stays, so each point costs little.
  const top = largestOf(now.z.filter((_, k) => k !== c));
  const rest = sum(now.z.map((z, k) => (k === c ? 0 : Math.exp(z - top))));
  const held = sum(now.z.map((z, k) => (k !== c && now.weights[k] ? now.weights[k] * z : 0)));
  return xs.map((x) => {
    const z = scaled(x, row);
    const most = Math.max(top, z);
    const logTotal = most + Math.log(rest * Math.exp(top - most) + Math.exp(z - most));
    const ownTerm = now.weights[c] ? now.weights[c] * z : 0;
    return now.total * logTotal - held - ownTerm + row.zeta * logTotal ** 2 + now.entropy;
  });
}

/**
 * One picture. It shows a class, and moves its window along when the point leaves it.
 */
class Plot {
  /**
   * @param {HTMLElement} element
   * @param {{ run: number, rise: number }} scales
   */
  constructor(element, scales) {
    const { index } = element.dataset;
    this.element = element;
    this.scales = scales;
    this.index = index === undefined ? null : Number(index);
    this.svg = /** @type {SVGSVGElement} */ (element.querySelector("svg"));
  }

  /**
   * Say which class it is of; the number stands beside a_ only.
   * @param {string} name
   * @param {number | null} number
   */
  rename(name, number = null) {
    const [said, index] = [".name", "msub > mn"].map((place) =>
      this.element.querySelector(`figcaption ${place}`));
    if (said) said.textContent = name;
    if (index && number !== null) index.textContent = String(number);
  }

  /**
   * Return the value of the logit at a place on the screen.
   * @param {number} across in pixels
   * @param {number} left where the picture begins
   */
  logitAt(across, left) {
    const box = this.svg.getBoundingClientRect();
    const x = ((across - box.left) / box.width) * (WIDTH + 2 * SIDE) - SIDE;
    const steps = Math.round((x / UNIT) * 20) / 20;
    const inside = Math.min(Math.max(steps, 1), UNITS - 1);
    return Number((left + inside * this.scales.run).toPrecision(12));
  }

  /**
   * @param {Row} row
   * @param {Results} now
   * @param {number} left where it begins
   */
  draw(row, now, left) {
    const loss = now.loss + now.zLoss;
    const bottom = Math.max(-FLOOR, loss / this.scales.rise - HEADROOM);
    if (this.index === null) this.drawOutput(row, now, loss);
    else this.drawLogit(row, now, this.index, loss, { left, bottom, ...this.scales });
  }

  /**
   * @param {Row} row
   * @param {Results} now
   * @param {number} c
   * @param {number} loss
   * @param {Frame} frame
   */
  drawLogit(row, now, c, loss, frame) {
    const { left, run } = frame;
    const at = row.logits[c];
    const step = (UNITS * run) / (POINTS - 1);
    const xs = Array.from({ length: POINTS }, (_, k) => left + k * step);
    const losses = lossesBy(row, now, c, xs);
    const factor = now.steepness[c];
    const [pull, push] = [now.weights[c], (now.total + 2 * row.zeta * now.logTotal) * now.probs[c]];
    const slope = now.gradLogits[c];
    const [before, end, lowest] = [at + (1 - BESIDE) * run, at + run, loss - pull * factor * run];
    this.set(frame, {
      curve: xs.map((x, k) => [x, losses[k]]),
      level: [[at, loss], [end, loss]],
      pull: [[before, loss], [before, lowest]],
      push: [[end, lowest], [end, loss + slope * run]],
      tangent: [left, left + UNITS * run].map((x) => [x, loss + slope * (x - at)]),
    }, [at, loss]);
    this.say(push, pull, slope, factor);
  }

  /**
   * @param {Row} row
   * @param {Results} now
   * @param {number} loss
   */
  drawOutput(row, now, loss) {
    const y = row.target ?? row.label;
    const [share, weight, slope] = [now.probs[y], now.weights[y], now.gradProbs[y]];
    const first = Math.min(SMALLEST_SHARE, share || Number.MIN_VALUE);
    const xs = Array.from({ length: POINTS }, (_, k) => first ** (1 - k / (POINTS - 1)));
    const rise = Math.max(this.scales.rise, loss / HEADROOM);
    const frame = { left: 0, run: 1 / UNITS, bottom: -FLOOR, rise };
    this.set(frame, {
      curve: xs.map((x) => [x, loss - weight * (Math.log(x) - now.logs[y])]),
      tangent: Number.isFinite(slope)
        ? [0, 1].map((x) => [x, loss + slope * (x - share)])
        : [[0, loss + STEEP * rise], [0, loss - STEEP * rise]],
    }, [share, loss]);
    this.say(weight, share, slope);
  }

  /**
   * @param {Frame} frame
   * @param {Record<string, [number, number][]>} lines
   * @param {[number, number]} point
   */
  set(frame, lines, point) {
    for (const [name, points] of Object.entries(lines)) {
      this.svg.querySelector(`.${name}`)?.setAttribute("d", pathOf(frame, points));
    }
    const zero = [frame.left, frame.left + UNITS * frame.run];
    this.svg.querySelector(".zero")?.setAttribute("d", pathOf(frame, zero.map((x) => [x, 0])));
    const [cx, cy] = pathOf(frame, [point]).slice(1).split(" ");
    const circle = Object.entries(cy ? { cx, cy, r: "4" } : { r: "0" });
    circle.forEach(([name, value]) => this.svg.querySelector("circle")?.setAttribute(name, value));
    const ends = this.svg.querySelectorAll("text");
    // As many digits as tell the ends apart.
    const apart = Math.log10(Math.max(...zero.map(Math.abs)) / (zero[1] - zero[0]));
    const digits = 3 + Math.max(0, Math.floor(apart));
    zero.forEach((x, k) => {
      if (ends[k]) ends[k].textContent = String(Number(x.toPrecision(digits))).replace("-", MINUS);
    });
  }

  /**
   * Say the slope in numbers.
   * @param {...number} numbers
   */
  say(...numbers) {
    const slope = written(numbers[2], 6);
    const power = slope.power && ` times ten to the ${slope.power}`;
    const spoken = slope.sign + slope.mantissa + power;
    const label = this.svg.getAttribute("aria-label") ?? "";
    this.svg.setAttribute("aria-label", label.replace(/slope .*/, () => `slope ${spoken}`));
    const places = this.element.querySelectorAll("[data-says]");
    for (const place of places) {
      const number = numbers[Number(/** @type {HTMLElement} */ (place).dataset.says)];
      place.innerHTML = inText(number, 6);
    }
  }
}
