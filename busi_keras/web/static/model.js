// What is said of the model, and its examples.

import { ask } from "./api.js";
import { percent } from "./table.js";
import { $, element, notice, terms, warning } from "./writing.js";

/** The model's thresholds, most sensitive first: `{name, value, done}`. */
export function thresholdsOf(model) {
  return Object.entries(model.thresholds).map(([name, value]) => ({ name, value, done: doneBy(model, name) }));
}

/** What a threshold did on images that did not choose it, as a sentence. */
function doneBy(model, threshold) {
  const { sensitivity, specificity } = model.operating[threshold] ?? {};
  if (sensitivity == null || specificity == null) return "";
  return ` On the model's ${model.scored} images its sensitivity was ${percent(sensitivity)} and its specificity ${percent(specificity)}.`;
}

/** All but the examples. */
export function showModel(model, thresholds) {
  const slider = $("sensitivity");
  slider.max = Math.max(1, thresholds.length - 1);
  slider.disabled = thresholds.length < 2;
  slider.value = 0;
  $("sensitivity-ends").replaceChildren(...thresholds.map(({ name }) => element("span", "", name)));
  $("limits").textContent = `PNG, JPEG, BMP, GIF, TIFF or DICOM, up to ${Math.floor(model.max_upload_bytes / 1e6)} MB each.`;
  $("end-session").textContent = model.signed_in ? "Sign out" : "End session";
  $("correction-note").textContent = model.corrections
    ? "Saved as image, mask and class for the next training. The image is saved as shown: check that no name is visible in it."
    : "This server uses corrections only in the report. To save them for training, start it with --corrections FOLDER.";
  $("model-warnings").replaceChildren(...model.warnings.map((text) => warning(`this model was ${text}`)));
  notice("model", ...model.notices);
  showAbout(model, thresholds);
}

/** @param {object} model @param {(files: File[]) => void} add @param {(error: Error) => void} failed */
export function showExamples(model, add, failed) {
  $("examples").replaceChildren(...model.examples.map((name, index) => {
    const button = element("button");
    button.type = "button";
    const image = element("img");
    image.src = `/api/examples/${index}.png`;
    image.alt = "";
    button.append(image, element("span", "", name.replace(/^phantom |\.png$/g, "")));
    button.title = name.replace(".png", "");
    button.addEventListener("click", async () => {
      try {
        const blob = await (await ask(image.getAttribute("src"))).blob();
        add([new File([blob], name, { type: "image/png" })]);
      } catch (error) {
        failed(error);
      }
    });
    const item = element("li");
    item.append(button);
    return item;
  }));
  $("examples-box").hidden = false;
}

function showAbout(model, thresholds) {
  const facts = {
    Model: model.version, Approach: model.approach, Backbone: model.backbone, "Trained on": model.data, Date: model.date.slice(0, 10),
    Thresholds: thresholds.map(({ name, value }) => `${name}: malignant at ${percent(value)} or more`).join("; ") || "none",
    Software: model.software, "Intended use": model.intended_use,
  };
  $("about-facts").replaceChildren(...terms(facts));
  $("about-scores-title").textContent = `Scores on its ${model.scored} images`;
  const scores = Object.entries(model.scores).map(([name, value]) => [name.replaceAll("_", " "), value === null ? "not defined" : value.toPrecision(3)]);
  $("about-scores").replaceChildren(...terms(Object.fromEntries(scores)));
}
