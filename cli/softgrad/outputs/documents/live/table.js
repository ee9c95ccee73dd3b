// The table and the lines about the loss: they follow when a row is moved.

/** @type {WeakMap<number[], number>} */
const sizes = new WeakMap();

/**
 * Return the largest size of all numbers, which each line needs; 1 where all are 0.
 * @param {number[]} numbers
 */
function largestSize(numbers) {
  const known = sizes.get(numbers);
  if (known !== undefined) return known;
  const found = largestOf(numbers.map(Math.abs).filter(Number.isFinite));
  const size = found > 0 ? found : 1;
  sizes.set(numbers, size);
  return size;
}

/**
 * Fill in the numbers of a class, and their bars: dL/da can be as large as `unit`.
 * @param {HTMLElement} line
 * @param {number} c
 * @param {Results} now
 * @param {number} unit
 */
function fillLine(line, c, { weights, probs, gradProbs, gradLogits }, unit) {
  const units = { p: 1, dp: largestSize(gradProbs), da: unit || largestSize(gradLogits) };
  const columns = { q: weights, p: probs, dp: gradProbs, da: gradLogits };
  for (const [key, values] of Object.entries(columns)) {
    const cell = line.querySelector(`[data-key=${key}]`);
    const bar = cell?.querySelector("svg");
    if (cell) cell.innerHTML = inText(values[c] + 0, 6);
    if (!cell || !bar) continue;
    drawBar(bar, values[c] / units[/** @type {"p"} */ (key)], key === "p");
    cell.append(bar);
  }
}

/**
 * Draw a bar as the page has it: from the left, or to either side of the middle.
 * @param {SVGElement} bar
 * @param {number} share
 * @param {boolean} isOfProbability
 */
function drawBar(bar, share, isOfProbability) {
  const rect = bar.querySelector("rect");
  const width = isOfProbability ? 100 * share : 50 * Math.min(1, Math.abs(share));
  rect?.setAttribute("x", String(isOfProbability ? 0 : share < 0 ? 50 - width : 50));
  rect?.setAttribute("width", String(width));
  rect?.classList.toggle("below", share < 0);
}

/**
 * Fill in the loss, the sums, and what all classes have that have no line.
 * @param {Moving} moving
 * @param {Results} now
 */
function fillTotals({ root, all }, { loss, zLoss, weights, probs, gradLogits }) {
  fill(root, "[data-key=loss] strong", inText(loss + zLoss));
  fill(root, "[data-key=z_loss] strong", inText(zLoss));
  const shown = new Set(all("tr[data-class]").map((line) => Number(line.dataset.class)));
  for (const [key, values] of Object.entries({ q: weights, p: probs, da: gradLogits })) {
    fill(root, `tfoot [data-key=${key}]`, shownSum(values));
    const rest = sum(values.filter((_, c) => !shown.has(c)));
    fill(root, `tr[data-rest] [data-key=${key}]`, inText(rest, 6));
  }
  fill(root, "tr[data-rest] th", `${(probs.length - shown.size).toLocaleString("en")} more`);
}

/**
 * Hide what the rows of a batch add up to: once one of them is moved, it is no longer true.
 * @param {HTMLElement} root
 */
function hideSums(root) {
  let next = root.nextElementSibling;
  while (next && !next.matches("h1")) {
    if (next instanceof HTMLElement && next.matches("[data-key=batch]")) next.hidden = true;
    next = next.nextElementSibling;
  }
}

/**
 * Say the target and the options in the lines above the table.
 * @param {Moving} moving
 */
function fillTitle({ root, row, names }) {
  const { target } = row;
  const title = root.querySelector("h1");
  if (title && target !== null) {
    const said = `target ${target}${names ? ` (${names[target]})` : ""}`;
    title.textContent = (title.textContent ?? "").replace(/target \d+.*$/s, () => said);
  }
  const options = root.querySelector("[data-key=options]");
  for (const [name, label] of OPTIONS) {
    if (!options || row[name] === null) continue;
    const pattern = new RegExp(`${label} [^,]+`);
    options.textContent = (options.textContent ?? "").replace(pattern, `${label} ${row[name]}`);
  }
}

/**
 * @param {HTMLElement} root
 * @param {string} selector
 * @param {string} html made of numbers alone
 */
function fill(root, selector, html) {
  const place = root.querySelector(selector);
  if (place) place.innerHTML = html;
}
