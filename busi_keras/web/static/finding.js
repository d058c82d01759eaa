// What is said of one image: warnings first, then class, thresholds and lesions.

import { area, lesionsOf, percent, suspicious } from "./table.js";
import { $, element, sentence, warning } from "./writing.js";

const SHOWN_LESIONS = 5;
const MEANINGS = {
  screening: "Screening: found at least 95 % of the malignant validation images.",
  balanced: "Balanced: sensitivity and specificity together were highest in validation.",
};

/**
 * Shows all but the image.
 * @param {object} one a case.
 * @param {{name: string, value: number, done: string}[] | null} thresholds most sensitive first; null while the model is not known.
 * @param {{name: string, value: number} | null} active the one in force.
 */
export function showFinding(one, thresholds, active) {
  showWarnings(one);
  showClass(one, thresholds, active);
  showLesions(one);
  $("model-version").textContent = `Model ${one.finding.model}`;
}

function showWarnings(one) {
  $("warnings").replaceChildren(...one.finding.warnings.map(warning));
  $("phantom").hidden = !one.phantom;
}

/** The class, and where it stands against the thresholds. */
export function showClass(one, thresholds, active) {
  const { label, probabilities } = one.finding;
  for (const id of ["label", "summary"]) {
    $(id).textContent = id === "label" ? label : `${label}, ${percent(probabilities[label])}`;
    $(id).dataset.label = label;
  }
  $("bars").replaceChildren(...Object.entries(probabilities).flatMap(([name, share]) => {
    const bar = element("dd", name === label ? "bar predicted" : "bar");
    const track = element("span", "track");
    track.dataset.label = name;
    const fill = element("span", "fill");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    if (name === "malignant") {
      for (const one of thresholds ?? []) {
        const mark = element("span", one === active ? "mark active" : "mark");
        mark.style.left = `${100 * one.value}%`;
        mark.title = `${one.name}: ${percent(one.value)}`;
        track.append(mark);
      }
    }
    bar.append(track, element("span", "share", percent(share)));
    return [element("dt", "", name), bar];
  }));
  showVerdict(one, thresholds, active);
}

function showVerdict(one, thresholds, active) {
  const above = suspicious(one, active);
  $("verdict").classList.toggle("suspicious", above);
  $("verdict").hidden = !active;
  const slider = $("sensitivity");
  if (!active) {
    $("sensitivity-note").textContent = thresholds
      ? "This model has no operating thresholds: its validation images were all malignant, or none were."
      : "The model and its thresholds are not known yet.";
    slider.setAttribute("aria-valuetext", "no thresholds");
    return;
  }
  const where = above ? "at or above" : "below";
  $("verdict").textContent = `${above ? "Suspicious: malignant" : "Malignant"} is ${where} the ${active.name} threshold, ${percent(active.value)}`;
  slider.setAttribute("aria-valuetext", `${active.name}: malignant at ${percent(active.value)} or more`);
  const same = thresholds.every(({ value }) => value === active.value) && thresholds.length > 1 ? " In this model all thresholds are the same." : "";
  $("sensitivity-note").textContent = (MEANINGS[active.name] ?? `Threshold ${active.name}.`) + active.done + same;
}

export function showLesions(one) {
  const { spacing_mm: spacing } = one.finding;
  const lesions = lesionsOf(one);
  $("lesions-title").textContent = one.correction?.lesions ? "Lesions in your mask" : "Lesions";
  $("no-lesion").hidden = lesions.length > 0;
  $("lesions").hidden = $("spacing").hidden = lesions.length === 0;
  $("lesions").tBodies[0].replaceChildren(...lesions.slice(0, SHOWN_LESIONS).map((lesion, index) => {
    const row = document.createElement("tr");
    const [x0, y0, x1, y1] = lesion.box;
    const digits = lesion.size.unit === "mm" ? 1 : 0;
    const size = `${lesion.size.width.toFixed(digits)} × ${lesion.size.height.toFixed(digits)} ${lesion.size.unit}`;
    for (const text of [index + 1, size, area(lesion), `${x0}, ${y0} – ${x1}, ${y1}`]) row.insertCell().textContent = text;
    return row;
  }));
  const more = lesions.length > SHOWN_LESIONS ? `And ${lesions.length - SHOWN_LESIONS} smaller. ` : "";
  $("spacing").textContent = more + (spacing
    ? `Pixel spacing ${spacing.map((mm) => mm.toFixed(3)).join(" × ")} mm.`
    : "Sizes are in pixels: the file does not say how large a pixel is.");
}

/** What the canvas shows, for those who do not see it. */
export function describeCanvas(one) {
  const lesions = lesionsOf(one);
  const found = lesions.length ? `${lesions.length} outlined ${lesions.length === 1 ? "lesion" : "lesions"}` : "no lesion outlined";
  $("canvas").setAttribute("aria-label", `Ultrasound image, ${found}, class ${one.finding.label}`);
}
