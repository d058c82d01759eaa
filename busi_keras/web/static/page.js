// The page: what is open, and which control does what. Everything from files and server is written as text, never as markup.

import { ask, pixels, sessionEnded } from "./api.js";
import { contour } from "./contour.js";
import { MaskEditor } from "./editor.js";
import { droppedFiles, Intake } from "./intake.js";
import { area, CaseTable, percent, suspicious } from "./table.js";
import { Viewer } from "./viewer.js";

const KEEP_ALIVE_MS = 60_000;
const LOADING_MS = 1000;
const HALF = 127.5;
const SHOWN_LESIONS = 5;

const $ = (id) => document.getElementById(id);
const cases = new Map();
let model = null;
let thresholds = []; // {name, value}, most sensitive first
let openCase = null;
let opening = new AbortController();
let modelsMask = null;

const viewer = new Viewer($("canvas"), (scale) => {
  $("zoom-shown").textContent = `${Math.round(100 * scale)} %`;
  $("canvas").classList.toggle("zoomed", scale > viewer.fitting * 1.01);
});
const editor = new MaskEditor(viewer, () => {
  $("correction-outcome").textContent = "";
});
const intake = new Intake();
const table = new CaseTable($("case-table"), (key) => open(cases.get(key)));

await start();

async function start() {
  connectControls();
  connectIntake();
  try {
    await ask("/api/session", { method: "POST" });
    model = await loadedModel();
    showModel();
    for (const one of await (await ask("/api/cases")).json()) cases.set(one.key, one);
    showTable();
    if (cases.size) open(table.sorted[0]);
  } catch (error) {
    notice(error.message);
  }
  setInterval(keepAlive, KEEP_ALIVE_MS);
}

// ---- the model ----

async function loadedModel() {
  const waiting = () => notice("The model is being loaded. Images that are dropped now wait for it.");
  const found = await (await ask("/api/model", { waiting })).json();
  notice();
  return found;
}

function showModel() {
  thresholds = Object.entries(model.thresholds).map(([name, value]) => ({ name, value }));
  const slider = $("sensitivity");
  slider.max = Math.max(1, thresholds.length - 1);
  slider.disabled = thresholds.length < 2;
  slider.value = 0;
  $("sensitivity-ends").replaceChildren(...thresholds.map(({ name }) => element("span", "", name)));
  $("limits").textContent = `PNG, JPEG, BMP, GIF or TIFF, up to ${Math.floor(model.max_upload_bytes / 1e6)} MB each.`;
  $("end-session").textContent = model.signed_in ? "Sign out" : "End session";
  $("correction-note").textContent = model.corrections
    ? "Saved as image, mask and class for the next training. The image is saved as it is shown: look whether a name is written on it."
    : "This server keeps corrections for the report alone. To save them for training, start it with --corrections FOLDER.";
  $("model-warnings").replaceChildren(...model.warnings.map((text) => warning(`this model was ${text}`)));
  notice(...model.notices);
  showExamples();
  showAbout();
}

function showExamples() {
  $("examples").replaceChildren(...model.examples.map((name, index) => {
    const button = element("button");
    button.type = "button";
    const image = element("img");
    image.src = `/api/examples/${index}.png`;
    image.alt = "";
    button.append(image, element("span", "", name.replace(/^phantom |\.png$/g, "")));
    button.title = name.replace(".png", "");
    button.addEventListener("click", async () => {
      const blob = await (await ask(image.getAttribute("src"))).blob();
      intake.add([new File([blob], name, { type: "image/png" })], model.max_upload_bytes);
    });
    const item = element("li");
    item.append(button);
    return item;
  }));
  $("examples-box").hidden = false;
}

function showAbout() {
  const facts = {
    Model: model.version, Approach: model.approach, Backbone: model.backbone, "Trained on": model.data, Date: model.date.slice(0, 10),
    Thresholds: thresholds.map(({ name, value }) => `${name}: malignant from ${percent(value)} on`).join("; ") || "none",
    Software: model.software, "Intended use": model.intended_use,
  };
  $("about-facts").replaceChildren(...terms(facts));
  $("about-scores-title").textContent = `Scores on its ${model.scored} images`;
  const scores = Object.entries(model.scores).map(([name, value]) => [name.replaceAll("_", " "), value === null ? "not defined" : value.toPrecision(3)]);
  $("about-scores").replaceChildren(...terms(Object.fromEntries(scores)));
}

/** The session lives as long as the page is open; and the model's file may change meanwhile. */
async function keepAlive() {
  if (!model) return;
  try {
    await ask("/api/session");
    model.notices = (await (await ask("/api/model")).json()).notices;
    notice(...model.notices);
  } catch (error) {
    if (sessionEnded(error)) ended();
    else notice(...model.notices, error.message);
  }
}

async function ended() {
  cases.clear();
  close();
  showTable();
  notice(...model.notices, "The session has ended, and its images were removed. Drop them again.");
  await ask("/api/session", { method: "POST" });
}

// ---- files ----

function connectIntake() {
  $("choose").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    add([...$("files").files]);
    $("files").value = "";
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add([...event.clipboardData.files]);
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const veil = (shown) => document.body.classList.toggle("dropping", shown);
  addEventListener("dragenter", (event) => hasFiles(event) && veil(++depth > 0));
  addEventListener("dragleave", (event) => hasFiles(event) && veil(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    veil(false);
    if (hasFiles(event)) add(await droppedFiles(event.dataTransfer));
  });
  $("cancel").addEventListener("click", () => intake.cancel());
  intake.addEventListener("progress", ({ detail }) => showProgress(detail));
  intake.addEventListener("refused", ({ detail }) => showRefused(detail));
  intake.addEventListener("ended", ended);
  intake.addEventListener("case", ({ detail }) => {
    cases.set(detail.case.key, detail.case);
    say(`${detail.case.name}: ${detail.case.finding.label}`);
    showTable();
    if (detail.single || !openCase) open(detail.case);
  });
}

function add(files) {
  if (!files.length) return;
  $("refused").replaceChildren();
  intake.add(files, model?.max_upload_bytes ?? Infinity);
}

function showProgress({ done, total, note }) {
  $("progress").hidden = !total;
  $("progress-bar").max = Math.max(1, total);
  if (total > 1) $("progress-bar").value = done;
  else $("progress-bar").removeAttribute("value");
  const count = total > 1 ? `${done} of ${total} images` : "Analysing";
  $("progress-text").textContent = note ? `${count}: ${note}` : count;
}

function showRefused({ name, sentence }) {
  const item = element("li");
  item.append(element("b", "", name), `: ${sentence}`);
  $("refused").append(item);
  say(`${name}: ${sentence}`);
}

// ---- one case ----

async function open(one) {
  opening.abort();
  opening = new AbortController();
  const { signal } = opening;
  openCase = one;
  document.body.classList.add("has-case");
  $("case").hidden = false;
  $("case-name").textContent = one.frames > 1 ? `${one.name}, frame ${one.frame + 1} of ${one.frames}` : one.name;
  showWarnings(one);
  showClass(one);
  showLesions(one);
  showCorrection(one);
  $("model-version").textContent = `Model ${one.finding.model}`;
  $("figure-box").open = false;
  $("figure").removeAttribute("src");
  showTable();
  try {
    await showPixels(one, signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (sessionEnded(error)) ended();
    else notice(...model.notices, error.message);
  }
}

async function showPixels(one, signal) {
  const address = `/api/cases/${one.key}`;
  const corrected = one.correction !== null;
  const [image, mask, probability, heatMap] = await Promise.all([
    pixels(`${address}/image.png`, signal),
    pixels(`${address}/mask.png`, signal),
    pixels(`${address}/mask_probability.png`, signal),
    one.heat_map ? pixels(`${address}/heat_map.png`, signal) : null,
  ]);
  if (signal.aborted) return;
  const { width, height } = image;
  const drawn = firstChannel(mask).map((value) => (value > HALF ? 1 : 0));
  const values = firstChannel(probability);
  modelsMask = values.map((value) => (value > HALF ? 1 : 0));
  viewer.show({ image: image.bitmap, heatMap: heatMap?.bitmap ?? null, boxes: one.finding.lesions.map((lesion) => lesion.box) });
  editor.open(drawn, width, height, corrected);
  leaveEditing();
  const outline = corrected ? contour(drawn, width, height, 0.5) : contour(values, width, height, HALF);
  viewer.outlined(outline, drawn, corrected);
  $("show-heat-map").disabled = !heatMap;
  $("show-heat-map").parentElement.title = heatMap ? "" : "Nothing in the image speaks for the class";
  showHeatScale();
  describeCanvas(one);
  $("brush-size").value = Math.max(2, Math.round(Math.min(width, height) / 30));
  setBrush();
}

function showWarnings(one) {
  const shown = one.finding.warnings.map(warning);
  if (one.phantom) shown.push(element("p", "notice", "A phantom: a synthetic image that this page made as an example."));
  $("warnings").replaceChildren(...shown);
}

function showClass(one) {
  const { label, probabilities } = one.finding;
  for (const id of ["label", "summary"]) {
    $(id).textContent = id === "label" ? label : `${label}, ${percent(probabilities[label])}`;
    $(id).dataset.label = label;
  }
  const active = threshold();
  $("bars").replaceChildren(...Object.entries(probabilities).flatMap(([name, share]) => {
    const bar = element("dd", name === label ? "bar predicted" : "bar");
    const track = element("span", "track");
    track.dataset.label = name;
    const fill = element("span", "fill");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    if (name === "malignant") {
      for (const one of thresholds) {
        const mark = element("span", one === active ? "mark active" : "mark");
        mark.style.left = `${100 * one.value}%`;
        mark.title = `${one.name}: ${percent(one.value)}`;
        track.append(mark);
      }
    }
    bar.append(track, element("span", "share", percent(share)));
    return [element("dt", "", name), bar];
  }));
  showVerdict(one, active);
}

function showVerdict(one, active) {
  const above = suspicious(one, active);
  $("verdict").classList.toggle("suspicious", above);
  $("verdict").hidden = !active;
  const slider = $("sensitivity");
  if (!active) {
    $("sensitivity-note").textContent = "This model carries no operating thresholds: its validation had no malignant image, or nothing else.";
    slider.setAttribute("aria-valuetext", "no thresholds");
    return;
  }
  const where = above ? "at or above" : "below";
  $("verdict").textContent = `${above ? "Suspicious: malignant" : "Malignant"} is ${where} the ${active.name} threshold, ${percent(active.value)}`;
  slider.setAttribute("aria-valuetext", `${active.name}: malignant from ${percent(active.value)} on`);
  const meanings = {
    screening: "Screening: found 95 % of the malignant validation images, or more.",
    balanced: "Balanced: sensitivity and specificity together were highest in validation.",
  };
  const same = thresholds.every(({ value }) => value === active.value) && thresholds.length > 1 ? " In this model all thresholds are the same." : "";
  $("sensitivity-note").textContent = (meanings[active.name] ?? `Threshold ${active.name}.`) + same;
}

function showLesions(one) {
  const { lesions, spacing_mm: spacing } = one.finding;
  $("no-lesion").hidden = lesions.length > 0;
  $("lesions").hidden = $("spacing").hidden = lesions.length === 0;
  $("lesions").tBodies[0].replaceChildren(...lesions.slice(0, SHOWN_LESIONS).map((lesion, index) => {
    const row = document.createElement("tr");
    const [x0, y0, x1, y1] = lesion.box;
    const size = lesion.size_mm ? `${lesion.size_mm.map((mm) => mm.toFixed(1)).join(" × ")} mm` : `${x1 - x0} × ${y1 - y0} px`;
    for (const text of [index + 1, size, area(lesion), `${x0}, ${y0} – ${x1}, ${y1}`]) row.insertCell().textContent = text;
    row.addEventListener("pointerenter", () => viewer.highlight(index));
    row.addEventListener("pointerleave", () => viewer.highlight(-1));
    return row;
  }));
  const more = lesions.length > SHOWN_LESIONS ? `And ${lesions.length - SHOWN_LESIONS} smaller. ` : "";
  $("spacing").textContent = more + (spacing
    ? `Pixel spacing ${spacing[1].toFixed(3)} × ${spacing[0].toFixed(3)} mm.`
    : "Sizes are in pixels: the file does not say how large a pixel is.");
}

function showCorrection(one) {
  const right = one.correction?.label ?? one.finding.label;
  for (const input of document.getElementsByName("right-class")) input.checked = input.value === right;
  outcome(one.correction ? savedSentence(one.correction) : "", false);
}

function describeCanvas(one) {
  const { lesions, label } = one.finding;
  const found = lesions.length ? `${lesions.length} outlined ${lesions.length === 1 ? "lesion" : "lesions"}` : "no lesion outlined";
  $("canvas").setAttribute("aria-label", `Ultrasound image, ${found}, class ${label}`);
}

function close() {
  opening.abort();
  openCase = null;
  $("case").hidden = true;
  document.body.classList.remove("has-case");
}

function turn(by) {
  const index = table.sorted.findIndex((one) => one.key === openCase.key);
  open(table.sorted[(index + by + table.sorted.length) % table.sorted.length]);
}

// ---- all cases ----

function showTable() {
  $("cases").hidden = cases.size < 2;
  $("cases-title").textContent = `${cases.size} images`;
  table.show([...cases.values()], threshold(), openCase?.key ?? null);
  $("turn").hidden = cases.size < 2;
  const index = table.sorted.findIndex((one) => one.key === openCase?.key);
  $("position").textContent = `${index + 1} of ${cases.size}`;
  const query = threshold() ? `?threshold=${encodeURIComponent(threshold().name)}` : "";
  $("csv").href = `/api/cases.csv${query}`;
  if (openCase) {
    $("report-pdf").href = `/api/cases/${openCase.key}/report.pdf${query}`;
    $("report-json").href = `/api/cases/${openCase.key}/report.json${query}`;
  }
}

// ---- controls ----

function connectControls() {
  for (const [id, layer] of [["show-outline", "outline"], ["show-mask", "mask"], ["show-heat-map", "heatMap"], ["show-box", "box"]]) {
    $(id).addEventListener("change", () => {
      viewer.set(layer, $(id).checked);
      showHeatScale();
    });
  }
  $("opacity").addEventListener("input", () => {
    viewer.set("opacity", $("opacity").value / 100);
    $("opacity").setAttribute("aria-valuetext", `${$("opacity").value} percent`);
  });
  $("zoom-in").addEventListener("click", () => viewer.zoom(1.25));
  $("zoom-out").addEventListener("click", () => viewer.zoom(0.8));
  $("zoom-fit").addEventListener("click", () => viewer.fit());
  $("sensitivity").addEventListener("input", () => {
    if (openCase) showClass(openCase);
    showTable();
  });
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("figure-box").addEventListener("toggle", showFigure);
  $("about-open").addEventListener("click", () => model && $("about").showModal());
  $("end-session").addEventListener("click", endSession);
  $("remove-case").addEventListener("click", removeCase);
  $("edit-mask").addEventListener("click", () => (editor.on ? leaveEditing() : enterEditing()));
  $("edit-done").addEventListener("click", leaveEditing);
  $("undo").addEventListener("click", () => editor.undo());
  $("clear-mask").addEventListener("click", () => editor.clear());
  $("reset-mask").addEventListener("click", () => editor.replace(modelsMask));
  $("brush-size").addEventListener("input", setBrush);
  for (const input of document.getElementsByName("brush")) input.addEventListener("change", setBrush);
  $("save-correction").addEventListener("click", saveCorrection);
  leaveEditing();
}

function threshold() {
  return thresholds[Number($("sensitivity").value)] ?? null;
}

function setBrush() {
  const adds = document.querySelector("input[name=brush]:checked").value === "add";
  editor.brush(adds, Number($("brush-size").value));
}

function enterEditing() {
  editor.start();
  $("edit-tools").hidden = false;
  $("edit-mask").setAttribute("aria-pressed", "true");
  $("canvas-keys").textContent = "Draw with the pointer. Keys: arrows move the brush (Shift: further), Space starts and stops painting, Ctrl+Z undoes.";
  $("canvas").focus();
}

function leaveEditing() {
  editor.stop();
  $("edit-tools").hidden = true;
  $("edit-mask").setAttribute("aria-pressed", "false");
  $("canvas-keys").textContent = "Drag to move. Keys on the image: + and − zoom, 0 fits, arrows move.";
}

async function saveCorrection() {
  const label = document.querySelector("input[name=right-class]:checked")?.value;
  const one = openCase;
  $("save-correction").disabled = true;
  try {
    const said = { label, mask_png: editor.edited ? await editor.toPng() : null };
    const options = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
    one.correction = await (await ask(`/api/cases/${one.key}/correction`, options)).json();
    outcome(savedSentence(one.correction), false);
    $("figure").removeAttribute("src");
    showFigure();
    showTable();
  } catch (error) {
    if (sessionEnded(error)) ended();
    else outcome(sentence(error.message), true);
  } finally {
    $("save-correction").disabled = false;
  }
}

function savedSentence({ label, saved }) {
  return saved ? `Saved as ${saved}.` : `Noted as ${label}; it stands in the report.`;
}

function outcome(text, wrong) {
  $("correction-outcome").textContent = text;
  $("correction-outcome").classList.toggle("wrong", wrong);
}

async function showFigure() {
  if (!$("figure-box").open || $("figure").getAttribute("src")) return;
  $("figure").src = `/api/cases/${openCase.key}/figure.png?${openCase.correction ? "corrected" : ""}`;
  $("figure").alt = "Input, mask, heat map and overlay in one row";
}

function showHeatScale() {
  $("heat-scale").hidden = !($("show-heat-map").checked && !$("show-heat-map").disabled);
}

async function removeCase() {
  const { key } = openCase;
  await ask(`/api/cases/${key}`, { method: "DELETE" });
  const index = table.sorted.findIndex((one) => one.key === key);
  cases.delete(key);
  const next = table.sorted[index + 1] ?? table.sorted[index - 1];
  close();
  showTable();
  if (next) open(next);
}

async function endSession() {
  intake.cancel();
  await ask("/api/session", { method: "DELETE" }).catch(() => {});
  location.reload();
}

// ---- small things ----

function notice(...sentences) {
  $("notices").replaceChildren(...sentences.map((text) => element("p", "notice strong", sentence(text))));
}

function warning(text) {
  const line = element("p", "warning");
  line.append(element("strong", "", "Warning"), ` ${sentence(text)}`);
  return line;
}

function say(text) {
  $("said").textContent = text;
}

function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

function firstChannel({ data }) {
  const values = new Uint8Array(data.length / 4);
  for (let index = 0; index < values.length; index++) values[index] = data[4 * index];
  return values;
}

function terms(facts) {
  return Object.entries(facts).flatMap(([term, text]) => [element("dt", "", term), element("dd", "", text)]);
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
