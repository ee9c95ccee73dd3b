// The formulas of the derivation, evaluated: so the numbers of its steps follow a row that moves.

/**
 * A formula as softgrad_core.derivation has it: its name, and what it is made of.
 * @typedef {[string, ...any[]]} Formula
 */

/**
 * A number, and its derivative with respect to what is moved.
 * @typedef {[number, number]} Dual
 */

/**
 * Where formulas are evaluated. `indices` says which classes letters stand for, and `by` what a
 * derivative is taken by: a logit of a class, or an output on its own.
 * @typedef {object} Point
 * @property {Row} row
 * @property {Results} now
 * @property {Record<string, number>} indices
 * @property {{ kind: string, index: number, steepness: number } | null} by
 */

/**
 * Return the class that an index stands for.
 * @param {string | number} index
 * @param {Point} point
 */
const classOf = (index, point) => (typeof index === "number" ? index : point.indices[index]);

/**
 * Return the same point where a letter stands for another class.
 * @param {Point} point
 * @param {string} letter
 * @param {number} index
 * @returns {Point}
 */
const bound = (point, letter, index) =>
  ({ ...point, indices: { ...point.indices, [letter]: index } });

/**
 * The values of letters that stand for given numbers.
 * @type {Record<string, (row: Row, now: Results) => number>}
 */
const CONSTANTS = {
  T: (row) => row.temperature,
  κ: (row) => row.cap ?? 1,
  ε: (row) => row.smoothing,
  K: (row) => row.logits.length,
  m: (row) => row.scale,
  D: (row) => row.divisor,
  ζ: (row) => row.zeta,
  s: (_, now) => now.total,
  H: (_, now) => now.entropy,
  l: (_, now) => now.logTotal,
  M: (_, now) => now.largest,
  C: (_, now) => now.loss,
};

/**
 * The entries of given vectors.
 * @type {Record<string, (row: Row, now: Results, c: number) => number>}
 */
const VECTORS = {
  q: (_, now, c) => now.weights[c],
  g: (_, now, c) => now.gradWhole[c],
  w: (row, _, c) => row.classWeights?.[c] ?? 1,
  t: (row, _, c) => row.targets?.[c] ?? Number(c === (row.target ?? row.label)),
};

/**
 * What each kind of formula is worth. A derivative goes along with every number.
 * @type {Record<string, (parts: any[], point: Point) => Dual>}
 */
const KINDS = {
  Number: ([value]) => [value, 0],
  Name: ([letter], point) => [classOf(letter, point), 0],
  Constant: ([letter], { row, now }) => [CONSTANTS[letter](row, now), 0],
  Known: ([letter, index], point) =>
    [VECTORS[letter](point.row, point.now, classOf(index, point)), 0],
  Indicator: ([one, two], point) => [Number(classOf(one, point) === classOf(two, point)), 0],
  Largest: (_, { now }) => [now.largest, 0],
  Logit: ([index, letter], point) => {
    const c = classOf(index, point);
    const { row, now, by } = point;
    const is = by?.kind === "Logit" && by.index === c ? by.steepness : 0;
    return letter === "a" ? [row.logits[c], is && 1] : [now.z[c], is];
  },
  Output: ([index], point) => {
    const c = classOf(index, point);
    const { probs, others } = point.now;
    const { by } = point;
    if (by?.kind === "Output") return [probs[c], Number(by.index === c)];
    const slope = by ? (by.index === c ? others[c] : -probs[by.index]) * by.steepness : 0;
    return [probs[c], probs[c] * slope];
  },
  Loss: ([isWhole], { now, by }) => {
    const slopes = isWhole ? now.gradWhole : now.gradZ;
    return [now.loss + (isWhole ? now.zLoss : 0), by ? slopes[by.index] * by.steepness : 0];
  },
  Derivative: ([of, [kind, index, letter]], point) => {
    const c = classOf(index, point);
    const steepness = letter === "a" ? point.now.steepness[c] : 1;
    // Moving one output changes no term of a sum but its own.
    const isOwnTerm = kind === "Output" && of[0] === "Negative" && of[1][0] === "Sum";
    const body = isOwnTerm ? ["Negative", of[1][2]] : of;
    const at = isOwnTerm ? bound(point, of[1][1], c) : point;
    return [evaluate(body, { ...at, by: { kind, index: c, steepness } })[1], 0];
  },
  Sum: ([letter, term, without], point) => {
    const left = without === null ? -1 : classOf(without, point);
    let [total, slope] = [0, 0];
    for (let k = 0; k < point.row.logits.length; k++) {
      if (k === left) continue;
      const [value, change] = evaluate(term, bound(point, letter, k));
      total += value;
      slope += change;
    }
    return [total, slope];
  },
  Exp: ([of], point) => {
    const [value, slope] = evaluate(of, point);
    return [Math.exp(value), slope && Math.exp(value) * slope];
  },
  Log: ([of], point) => {
    const [value, slope] = evaluate(of, point);
    // The logarithm of an output is known even where the output is too small for a number.
    const log = of[0] === "Output" ? point.now.logs[classOf(of[1], point)] : Math.log(value);
    return [log, slope && slope / value];
  },
  Tanh: ([of], point) => [Math.tanh(evaluate(of, point)[0]), 0],
  Square: ([of], point) => {
    const [value, slope] = evaluate(of, point);
    return [value ** 2, 2 * value * slope];
  },
  Negative: ([of], point) => {
    const [value, slope] = evaluate(of, point);
    return [-value, -slope];
  },
  Addition: ([left, right], point) => {
    const [a, b] = [evaluate(left, point), evaluate(right, point)];
    return [a[0] + b[0], a[1] + b[1]];
  },
  Difference: ([left, right], point) => {
    const [a, b] = [evaluate(left, point), evaluate(right, point)];
    let value = a[0] - b[0];
    if (a[0] === 1) {
      // 1 - f(x)_c is known as the sum of the others, and 1 - tanh(u)² is 1 / cosh(u)².
      if (right[0] === "Output") value = point.now.others[classOf(right[1], point)];
      if (right[0] === "Square" && right[1][0] === "Tanh") {
        value = 1 / Math.cosh(evaluate(right[1][1], point)[0]) ** 2;
      }
    }
    return [value, a[1] - b[1]];
  },
  Product: ([left, right], point) => {
    const a = evaluate(left, point);
    if (isZeroWeight(left, a)) return [0, 0];
    const b = evaluate(right, point);
    return [a[0] * b[0], a[1] * b[0] + a[0] * b[1]];
  },
  Fraction: ([left, right], point) => {
    const a = evaluate(left, point);
    if (isZeroWeight(left, a)) return [0, 0];
    const b = evaluate(right, point);
    // The softmax has a value where its exponentials overflow.
    const overflows = a[0] === Infinity || b[0] === Infinity;
    const isSoftmax = left[0] === "Exp" && left[1][0] === "Logit" && right[0] === "Sum";
    if (overflows && isSoftmax) return [point.now.probs[classOf(left[1][1], point)], 0];
    return [a[0] / b[0], (a[1] - (a[0] / b[0]) * b[1]) / b[0]];
  },
};

/**
 * Return whether this is a weight of 0: it takes a class out of a sum, even one that is infinite.
 * @param {Formula} formula
 * @param {Dual} value
 */
const isZeroWeight = ([kind, numerator], [value]) =>
  value === 0 && (kind === "Known" || (kind === "Fraction" && numerator[0] === "Known"));

/**
 * Return the value of a formula, and its derivative by what is moved.
 * @param {Formula} formula
 * @param {Point} point
 * @returns {Dual}
 */
function evaluate([kind, ...parts], point) {
  return KINDS[kind](parts, point);
}
