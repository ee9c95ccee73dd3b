// The loss of one row and its gradients, in float64: stable, as in the core, and tested against it.

/**
 * The row that is moved. Without a label, or where the row is ignored, `target` is null.
 * @typedef {object} Row
 * @property {number[]} logits a; -Infinity for a masked class
 * @property {number | null} target y
 * @property {number} label y, or the most probable class of the target
 * @property {number} other the class that is shown beside it
 * @property {number[] | null} targets t, where it is no label
 * @property {number[] | null} classWeights w
 * @property {number} smoothing ε
 * @property {number} temperature T
 * @property {number | null} cap κ
 * @property {number} scale m
 * @property {number} divisor D
 * @property {number} zeta the weight of the z-loss, with m and n in it
 * @property {boolean} counts false for an ignored row
 * @property {boolean} isDivergence
 */

/**
 * What follows from a row: see `compute`.
 * @typedef {object} Results
 * @property {number[]} z what the softmax takes
 * @property {number} largest the largest z
 * @property {number[]} steepness dz_c/da_c
 * @property {number[]} probs f(x)
 * @property {number[]} others 1 - f(x)_c
 * @property {number[]} logs log f(x)_c
 * @property {number} logTotal log sum_k exp(z_k)
 * @property {number[]} weights q
 * @property {number} total s, the sum of q
 * @property {number} loss without the z-loss
 * @property {number} zLoss
 * @property {number} entropy what a divergence has added, sum_c q_c log q_c
 * @property {number[]} gradProbs dL/df(x)
 * @property {number[]} gradZ dL/dz, without the z-loss
 * @property {number[]} gradWhole dL/dz, with it
 * @property {number[]} gradLogits dL/da
 */

/**
 * Return for each number the sum of all others: the sum of all, minus the number, would cancel.
 * @param {number[]} numbers
 */
function sumsOfOthers(numbers) {
  const sums = new Array(numbers.length).fill(0);
  let before = 0;
  let after = 0;
  for (let c = 0, k = numbers.length - 1; k >= 0; c++, k--) {
    sums[c] += before;
    before += numbers[c];
    sums[k] += after;
    after += numbers[k];
  }
  return sums;
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/**
 * Return the largest number. Math.max cannot be given as many as a vocabulary has.
 * @param {number[]} numbers
 */
const largestOf = (numbers) =>
  numbers.reduce((largest, number) => Math.max(largest, number), -Infinity);

/**
 * Return the target t, smoothed.
 * @param {Row} row
 */
function smoothed(row) {
  const { logits, target, targets, smoothing } = row;
  const label = target ?? row.label;
  const shares = targets ?? logits.map((_, c) => (c === label ? 1 : 0));
  return shares.map((share) => (1 - smoothing) * share + smoothing / logits.length);
}

/**
 * Return the weights q that the target gives to the classes.
 * @param {Row} row
 */
function weightsOf(row) {
  const factor = row.counts && row.divisor ? row.scale / row.divisor : 0;
  return smoothed(row).map((share, c) => factor * (row.classWeights?.[c] ?? 1) * share);
}

/**
 * Return a logit below its soft cap; a masked class stays masked.
 * @param {number} logit
 * @param {Row} row
 */
const capped = (logit, { cap }) =>
  cap === null || !Number.isFinite(logit) ? logit : cap * Math.tanh(logit / cap);

/**
 * Return what the softmax takes for a logit.
 * @param {number} logit
 * @param {Row} row
 */
const scaled = (logit, row) => capped(logit, row) / row.temperature;

/**
 * Return the loss of a row, and all that its derivation refers to.
 * @param {Row} row
 * @returns {Results}
 */
function compute(row) {
  const { logits, cap, temperature, zeta } = row;
  const z = logits.map((logit) => scaled(logit, row));
  const below = logits.map((logit) => capped(logit, row));
  const top = largestOf(below);
  // Subtracted before the division, which may overflow.
  const shifted = below.map((number) => (number - top) / temperature);
  const largest = top / temperature;
  const exps = shifted.map(Math.exp);
  const otherExps = sumsOfOthers(exps);
  const total = exps[0] + otherExps[0];
  const logRest = Math.log1p(otherExps[below.indexOf(top)]);
  const probs = exps.map((exp) => exp / total);
  const others = otherExps.map((rest) => rest / total);
  const logs = shifted.map((number) => number - logRest);
  const logTotal = largest + logRest;

  const weights = weightsOf(row);
  const otherWeights = sumsOfOthers(weights);
  // A class without a weight is left out, as a masked one has an infinite logarithm.
  const terms = weights.map((weight, c) => (weight ? -weight * logs[c] : 0));
  const factor = row.counts && row.divisor ? row.scale / row.divisor : 0;
  const ownTerms = smoothed(row).map((share) => (share ? factor * share * Math.log(share) : 0));
  const entropy = row.isDivergence ? sum(ownTerms) : 0;

  // s p - q, as products of what no subtraction has cut.
  const gradZ = probs.map((p, c) => p * otherWeights[c] - weights[c] * others[c]);
  // Without a z-loss log s may be too large for a number, and 0 times infinity is none.
  const [zSlope, zLoss] = zeta ? [2 * zeta * logTotal, zeta * logTotal ** 2] : [0, 0];
  const gradWhole = gradZ.map((slope, c) => slope + zSlope * probs[c]);
  const steepness = logits.map((logit) =>
    cap === null ? 1 / temperature : 1 / Math.cosh(logit / cap) ** 2 / temperature,
  );
  return {
    z, largest, steepness, probs, others, logs, logTotal, weights, entropy,
    gradZ, gradWhole, zLoss,
    total: weights[0] + otherWeights[0],
    loss: sum(terms) + entropy,
    gradProbs: probs.map((p, c) => (weights[c] ? -weights[c] / p : 0)),
    gradLogits: gradWhole.map((slope, c) => slope * steepness[c]),
  };
}
