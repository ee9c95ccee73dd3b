// What moves a row: fields and sliders, the choice of the target, pictures to drag, and descent.

/** The options of the loss that can be moved: name, label, smallest and largest value, step. */
const OPTIONS = /** @type {const} */ ([
  ["temperature", "temperature", 0.1, 10, 0.1],
  ["smoothing", "label smoothing", 0, 1, 0.01],
  ["cap", "soft cap", 0.5, 100, 0.5],
]);
const STEPS_A_SECOND = 20;

/** A float64 of this size still has some digits for a step: see slopes.py. */
const LARGEST_MOVED = 1e12;

/** @param {number} logit */
const canMove = (logit) => Math.abs(logit) < LARGEST_MOVED;

/** The digits of a number in its field: as many as there is room for. */
const SHOWN_DIGITS = 6;

/** Gradient descent is done when no logit has a steeper slope than this. */
const LEARNED = 1e-4;

/**
 * Return a new element.
 * @param {string} tag
 * @param {Record<string, any>} properties `label` is what a screen reader says
 * @param {...(string | Node)} children
 * @returns {any}
 */
function make(tag, properties = {}, ...children) {
  const { label, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  if (label) element.setAttribute("aria-label", label);
  element.append(...children);
  return element;
}

/**
 * Return a field and a slider for the same number.
 * @param {Moving} moving
 * @param {string} label
 * @param {number} step
 * @param {() => { min: number, max: number }} limits of the slider, which may follow the number
 * @param {(number: number) => boolean} isAllowed
 * @param {(row: Row) => number} get
 * @param {(number: number) => Partial<Row>} set
 */
function pairOf(moving, label, step, limits, isAllowed, get, set) {
  const slider = make("input", { type: "range", label: `${label}, slider`, step });
  const field = make("input", { type: "number", label, step: "any" });
  for (const input of [field, slider]) {
    input.oninput = () => {
      if (isAllowed(input.valueAsNumber)) moving.change(set(input.valueAsNumber));
    };
    input.onchange = () => moving.tell();
  }
  const shown = () => Number(get(moving.row).toPrecision(SHOWN_DIGITS));
  field.onblur = () => { field.value = shown(); };
  moving.followers.push((row) => {
    if (document.activeElement !== field) field.value = shown();
    Object.assign(slider, limits(), { value: get(row) });
    // The slider rounds to its steps.
    slider.ariaValueText = String(shown());
  });
  return [field, slider];
}

/**
 * Add the bar of controls above the table.
 * @param {Moving} moving
 */
function addControls(moving) {
  const bar = make("div", { className: "controls", role: "group", label: "Move the row" });
  bar.append("Gradient descent, a − η dL/da:", ...descentOf(moving));
  for (const [name, label, least, most, step] of OPTIONS) {
    if (!moving.options.includes(name)) continue;
    const value = moving.row[name] ?? least;
    const [min, max] = [Math.min(least, value), Math.max(most, value)];
    const pair = pairOf(
      moving, label, step, () => ({ min, max }), (number) => number >= min && number <= max,
      (row) => row[name] ?? 0, (number) => ({ [name]: number }),
    );
    Object.assign(pair[0], { min, max });
    bar.append(make("label", {}, `${label} `, ...pair));
  }
  const lines = moving.all("tr[data-class]");
  if (moving.row.logits.length > lines.length) bar.append(finderOf(moving));
  // A line of its own: what is below must not move away from a finger when it changes.
  bar.append(moving.said);
  moving.root.querySelector(".scroll")?.before(bar);
  const title = moving.root.querySelector("thead th");
  if (title && moving.canChoose) title.textContent = "target";
}

/**
 * Return the controls of gradient descent: one step, many steps, their size, and the reset.
 * @param {Moving} moving
 */
function descentOf(moving) {
  const rate = make("input", { type: "number", value: 1, min: 0, step: 0.1 });
  const [one, many, reset] = ["One step", "Run", "Reset"].map((textContent) =>
    make("button", { type: "button", textContent }));
  let running = 0;
  const show = () => {
    many.textContent = running ? "Stop" : "Run";
    many.ariaPressed = String(Boolean(running));
  };
  const stop = () => {
    clearInterval(running);
    running = 0;
    show();
    moving.tell();
  };
  const refuse = () => {
    moving.said.textContent = "no step: η is too large, or no number";
  };
  const step = () => {
    const steepest = moving.descend(rate.valueAsNumber);
    if (!many.isConnected || !(steepest > LEARNED)) stop();
    if (Number.isNaN(steepest)) refuse();
  };
  one.onclick = () => {
    if (Number.isNaN(moving.descend(rate.valueAsNumber))) refuse();
    else moving.tell();
  };
  many.onclick = () => {
    if (running) { stop(); return; }
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    running = window.setInterval(step, 1000 / (isCalm ? 2 : STEPS_A_SECOND));
    show();
  };
  reset.onclick = () => {
    stop();
    moving.lefts.clear();
    moving.change(structuredClone(moving.start));
    moving.tell();
  };
  show();
  return [one, many, make("label", {}, "η ", rate), reset];
}

/**
 * Return a field that gives another class a line in the table.
 * @param {Moving} moving
 */
function finderOf(moving) {
  const field = make("input", { type: "number", min: 0, max: moving.row.logits.length - 1 });
  field.onchange = () => {
    const [c, lines] = [field.valueAsNumber, moving.all("tr[data-class]")];
    const has = lines.some((line) => line.dataset.class === String(c));
    if (has || !(c in moving.row.logits)) return;
    const line = /** @type {HTMLElement} */ (lines[0].cloneNode(true));
    line.dataset.class = String(c);
    line.querySelector("th")?.replaceChildren(moving.nameOf(c));
    lines[lines.length - 1].after(line);
    addToLine(moving, line);
    moving.change({});
  };
  return make("label", {}, "show class ", field);
}

/**
 * Give a line of the table its slider, and its choice as the target.
 * @param {Moving} moving
 * @param {HTMLElement} line
 */
function addToLine(moving, line) {
  const c = Number(line.dataset.class);
  const { row, name, step } = { ...moving, name: moving.nameOf(c) };
  if (c >= row.logits.length) return;
  const at = row.logits[c];
  if (canMove(at)) {
    line.querySelector("[data-key=a]")?.replaceChildren(...pairOf(
      moving, `logit of class ${name}`, step, () => moving.rangeOf(c), canMove,
      ({ logits }) => logits[c], (number) => ({ logits: moving.row.logits.with(c, number) }),
    ));
  }
  const head = /** @type {HTMLElement} */ (line.querySelector("th"));
  head.querySelector(".mark")?.remove();
  const mark = make("span", { className: "mark" }, " (target)");
  if (moving.canChoose && Number.isFinite(at)) {
    const label = `class ${name} is the target`;
    const choice = make("input", { type: "radio", name: moving.group, label });
    choice.onchange = () => moving.chooseTarget(c);
    head.prepend(choice);
    moving.followers.push(({ target }) => { choice.checked = target === c; });
  }
  moving.followers.push(({ target }, now) => {
    line.classList.toggle("target", target === c);
    if (target === c) head.append(mark);
    else mark.remove();
    fillLine(line, c, now, now.total / moving.row.temperature);
  });
}

/**
 * Let the picture of a class be dragged.
 * @param {Moving} moving
 * @param {Plot} plot
 */
function addDrag(moving, plot) {
  const { svg } = plot;
  if (plot.index === null) return;
  svg.onpointerdown = (event) => {
    svg.setPointerCapture(event.pointerId);
    svg.onpointermove = ({ clientX }) => {
      const c = /** @type {number} */ (plot.index);
      moving.change({ logits: moving.row.logits.with(c, plot.logitAt(clientX, moving.leftOf(c))) });
    };
  };
  svg.onpointerup = svg.onpointercancel = () => {
    svg.onpointermove = null;
    moving.tell();
  };
}
