// The page: what is open, and which control does what. Everything from files and server is written as text, never as markup.

import { ask, pixels, sessionEnded } from "./api.js";
import { contour } from "./contour.js";
import { downloadsInPlace } from "./download.js";
import { MaskEditor } from "./editor.js";
import { describeCanvas, showClass, showFinding, showLesions } from "./finding.js";
import { droppedFiles, Intake } from "./intake.js";
import { CaseTable, lesionsOf, percent } from "./table.js";
import { Viewer } from "./viewer.js";
import { $, element, notice, say, sentence, terms, warning } from "./writing.js";

const KEEP_ALIVE_MS = 60_000;
const TABLE_MS = 200;
const HALF = 127.5;

const cases = new Map();
let model = null;
let thresholds = []; // {name, value, done}, most sensitive first
let openCase = null;
let opening = new AbortController();
let modelsMask = null;
let editable = null; // the case whose mask the editor holds
let saving = false;
let tableTimer = null;

const viewer = new Viewer($("canvas"), (scale) => {
  $("zoom-shown").textContent = `${Math.round(100 * scale)} %`;
  $("canvas").classList.toggle("zoomed", scale > viewer.fitting * 1.01);
});
const editor = new MaskEditor(viewer, () => {
  $("correction-outcome").textContent = "";
});
const intake = new Intake();
const table = new CaseTable($("case-table"), (key) => {
  open(cases.get(key));
  $("case").scrollIntoView();
  $("case-name").focus({ preventScroll: true });
});

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
    if (openCase) showClass(openCase, thresholds, threshold());
    else if (cases.size) open(table.sorted[0]);
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
  thresholds = Object.entries(model.thresholds).map(([name, value]) => ({ name, value, done: doneBy(name) }));
  const slider = $("sensitivity");
  slider.max = Math.max(1, thresholds.length - 1);
  slider.disabled = thresholds.length < 2;
  slider.value = 0;
  $("sensitivity-ends").replaceChildren(...thresholds.map(({ name }) => element("span", "", name)));
  $("limits").textContent = `PNG, JPEG, BMP, GIF, TIFF or DICOM, up to ${Math.floor(model.max_upload_bytes / 1e6)} MB each.`;
  $("end-session").textContent = model.signed_in ? "Sign out" : "End session";
  $("correction-note").textContent = model.corrections
    ? "Saved as image, mask and class for the next training. The image is saved as it is shown: look whether a name is written on it."
    : "This server keeps corrections for the report alone. To save them for training, start it with --corrections FOLDER.";
  $("model-warnings").replaceChildren(...model.warnings.map((text) => warning(`this model was ${text}`)));
  notice(...model.notices);
  showExamples();
  showAbout();
}

/** What a threshold did on images that did not choose it, as a sentence. */
function doneBy(threshold) {
  const { sensitivity, specificity } = model.operating[threshold] ?? {};
  if (sensitivity == null || specificity == null) return "";
  return ` On the model's ${model.scored} images it found ${percent(sensitivity)} of the malignant and left ${percent(specificity)} of the others alone.`;
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
      try {
        const blob = await (await ask(image.getAttribute("src"))).blob();
        intake.add([new File([blob], name, { type: "image/png" })], model.max_upload_bytes);
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
    else notice(...(model?.notices ?? []), error.message);
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
    showTableSoon();
    if (detail.single || !openCase) open(detail.case);
  });
  intake.addEventListener("cine", ({ detail }) => {
    say(`${detail.case.name}: frame ${detail.case.frame + 1} has the largest lesion`);
    if (detail.frames.some((one) => one.key === openCase?.key)) open(detail.case);
  });
}

function add(files) {
  if (!files.length) return;
  $("refused").replaceChildren();
  if (!$("every").reportValidity()) return;
  intake.add(files, model?.max_upload_bytes ?? Infinity, $("every").valueAsNumber);
}

function showProgress({ done, total, note, frame, frames }) {
  $("progress").hidden = !total;
  $("progress-bar").max = total > 1 ? total : Math.max(1, frames);
  if (total > 1) $("progress-bar").value = done;
  else if (frames) $("progress-bar").value = frame;
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
  editable = null; // the editor still holds the mask of the case before
  editor.edited = false;
  leaveEditing();
  allowCorrection();
  document.body.classList.add("has-case");
  $("case").hidden = false;
  $("case-name").textContent = one.frames > 1 ? `${one.name}, frame ${one.frame + 1} of ${one.frames}` : one.name;
  showFinding(one, thresholds, threshold());
  showCorrection(one);
  $("figure-box").open = false;
  $("figure").removeAttribute("src");
  showTable();
  try {
    await showPixels(one, signal);
  } catch (error) {
    failed(error);
  }
}

/** What went wrong with something asked for: a sentence at the top of the page. */
function failed(error) {
  if (error.name === "AbortError") return;
  if (sessionEnded(error)) ended();
  else notice(...(model?.notices ?? []), error.message);
}

async function showPixels(one, signal) {
  const address = `/api/cases/${one.key}`;
  const corrected = one.correction?.mask_drawn ?? false;
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
  viewer.show({ image: image.bitmap, heatMap: heatMap?.bitmap ?? null, boxes: lesionsOf(one).map((lesion) => lesion.box) });
  editor.open(drawn, width, height, corrected);
  leaveEditing();
  const outline = corrected ? contour(drawn, width, height, 0.5) : contour(values, width, height, HALF);
  viewer.outlined(outline, drawn, corrected);
  $("show-heat-map").disabled = !heatMap;
  $("show-heat-map").parentElement.title = heatMap ? "" : "No place in the image speaks for the class";
  showHeatScale();
  describeCanvas(one);
  $("brush-size").value = Math.max(2, Math.round(Math.min(width, height) / 30));
  setBrush();
  editable = one;
  allowCorrection();
}

function showCorrection(one) {
  const right = one.correction?.label ?? one.finding.label;
  for (const input of document.getElementsByName("right-class")) input.checked = input.value === right;
  $("no-name").checked = false;
  $("no-name-line").hidden = !one.may_name_patient || !model?.corrections;
  outcome(one.correction ? savedSentence(one.correction) : "", false);
}

function allowCorrection() {
  $("edit-mask").disabled = editable === null;
  $("save-correction").disabled = editable === null || saving;
}

function close() {
  opening.abort();
  openCase = editable = null;
  leaveEditing();
  allowCorrection();
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
    $("report-dicom").href = `/api/cases/${openCase.key}/dicom.zip`;
    $("report-dicom").hidden = $("dicom-note").hidden = !openCase.dicom;
  }
}

/** Of hundreds of images, not for each. */
function showTableSoon() {
  tableTimer ??= setTimeout(() => {
    tableTimer = null;
    showTable();
  }, TABLE_MS);
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
    if (openCase) showClass(openCase, thresholds, threshold());
    showTable();
  });
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("figure-box").addEventListener("toggle", showFigure);
  for (const link of document.querySelectorAll("a[download]")) downloadsInPlace(link, failed);
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
  const rows = $("lesions").tBodies[0];
  const highlight = (event) => viewer.highlight((event.target.closest("tr")?.rowIndex ?? 0) - 1);
  rows.addEventListener("pointerover", highlight);
  rows.addEventListener("pointerleave", () => viewer.highlight(-1));
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
  const one = editable;
  if (!one) return;
  saving = true;
  allowCorrection();
  try {
    const said = { label, no_name: $("no-name").checked, mask_png: editor.edited ? await editor.toPng() : null };
    const options = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
    one.correction = await (await ask(`/api/cases/${one.key}/correction`, options)).json();
    showTable();
    if (one !== openCase) return;
    outcome(savedSentence(one.correction), false);
    showLesions(one);
    viewer.mark(lesionsOf(one).map((lesion) => lesion.box));
    $("figure").removeAttribute("src");
    showFigure();
  } catch (error) {
    if (sessionEnded(error)) ended();
    else if (one === openCase) outcome(sentence(error.message), true);
    else notice(...(model?.notices ?? []), `${one.name}: ${error.message}`);
  } finally {
    saving = false;
    allowCorrection();
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
  const { signal } = opening;
  try {
    const blob = await (await ask(`/api/cases/${openCase.key}/figure.png`, { signal })).blob();
    if (signal.aborted) return;
    $("figure").src = URL.createObjectURL(blob);
    const masks = openCase.correction?.lesions ? "your mask, its mask" : "mask";
    $("figure").alt = `Input, ${masks}, heat map and overlay in one row`;
  } catch (error) {
    failed(error);
  }
}

function showHeatScale() {
  $("heat-scale").hidden = !($("show-heat-map").checked && !$("show-heat-map").disabled);
}

async function removeCase() {
  const { key } = openCase;
  try {
    await ask(`/api/cases/${key}`, { method: "DELETE" });
  } catch (error) {
    failed(error);
    return;
  }
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

function firstChannel({ data }) {
  const values = new Uint8Array(data.length / 4);
  for (let index = 0; index < values.length; index++) values[index] = data[4 * index];
  return values;
}
