// Numbers as the page writes them: a few digits, a minus sign, a power of ten.

const MINUS = "\u2212";

/**
 * Return a number with so many digits: its sign, its digits and its power of ten.
 * @param {number} value
 * @param {number} digits
 */
function written(value, digits) {
  if (Number.isNaN(value)) return { sign: "", mantissa: "undefined", power: "" };
  const sign = value < 0 ? MINUS : "";
  if (!Number.isFinite(value)) return { sign, mantissa: "∞", power: "" };
  const [mantissa, power] = Math.abs(value).toExponential(digits - 1).split("e");
  if (value === 0 || (-5 < +power && +power < digits)) {
    return { sign, mantissa: String(+Math.abs(value).toPrecision(digits)), power: "" };
  }
  return { sign, mantissa: String(+mantissa), power: String(+power).replace("-", MINUS) };
}

/**
 * Return a number as HTML, with all of its digits unless told otherwise.
 * @param {number} value
 * @param {number} digits
 */
function inText(value, digits = 17) {
  const { sign, mantissa, power } = written(value, digits);
  const isInFull = digits === 17 && Number.isFinite(value);
  if (isInFull && !power) return sign + String(Math.abs(value));
  const shown = isInFull ? Math.abs(value).toExponential().split("e")[0] : mantissa;
  return sign + shown + (power && `×10<sup>${power}</sup>`);
}

/**
 * Return a number as MathML, in parentheses where its place in a formula asks for them.
 * `tightness` is that of the place: 2 beside a factor, 3 as the base of a power.
 * @param {number} value
 * @param {number} digits
 * @param {number} tightness
 */
function inFormula(value, digits, tightness) {
  const { sign, mantissa, power } = written(value, digits);
  const isWord = mantissa === "undefined" || mantissa === "∞";
  let drawn = isWord ? `<mi>${mantissa}</mi>` : `<mn>${mantissa}</mn>`;
  if (power) drawn += `<mo>×</mo><msup><mn>10</mn><mn>${power}</mn></msup>`;
  if (sign) drawn = `<mo form="prefix">${MINUS}</mo>${drawn}`;
  const own = sign ? 1 : power ? 2 : 3;
  if (own >= tightness) return drawn;
  const [open, close] = [["prefix", "("], ["postfix", ")"]].map(
    ([form, fence]) =>
      `<mo stretchy="false" form="${form}" lspace="0" rspace="0">${fence}</mo>`,
  );
  return open + drawn + close;
}

/**
 * Return a sum as a reader would check it: 0 where only rounding errors are left.
 * @param {number[]} numbers
 */
function shownSum(numbers) {
  const total = sum(numbers);
  if (!Number.isFinite(total)) return "";
  return Math.abs(total) > 1e-12 * sum(numbers.map(Math.abs)) ? inText(total, 6) : "0";
}
