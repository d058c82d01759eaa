// The page: what is open, and which control does what. Everything from files and server is written as text, never as markup.

import { ask, firstChannel, leaving, pixels, sessionEnded } from "./api.js";
import { contour } from "./contour.js";
import { downloadsInPlace } from "./download.js";
import { connectDrop } from "./drop.js";
import { connectEditing, fitBrush, leaveEditing } from "./editing.js";
import { MaskEditor } from "./editor.js";
import { describeCanvas, showClass, showFinding, showLesions } from "./finding.js";
import { Intake } from "./intake.js";
import { showExamples, showModel, thresholdsOf } from "./model.js";
import { showProgress, showRefused } from "./progress.js";
import { CaseTable, lesionsOf } from "./table.js";
import { Viewer } from "./viewer.js";
import { $, notice, say, sentence } from "./writing.js";

const KEEP_ALIVE_MS = 60_000;
const TABLE_MS = 200;
const HALF = 127.5;

const cases = new Map();
let model = null;
let thresholds = null; // {name, value, done}, most sensitive first; null while the model is not known
let openCase = null;
let opening = new AbortController();
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
  if (!mayDiscard()) return;
  open(cases.get(key));
  $("case").scrollIntoView();
  $("case-name").focus({ preventScroll: true });
});

await start();

async function start() {
  connectControls();
  connectIntake();
  await begin();
  setTimeout(keepAlive, KEEP_ALIVE_MS);
}

/** A session, and the model with what the session holds, where that is not known yet; what fails is tried again with the next keep-alive. */
async function begin() {
  try {
    await ask("/api/session", { method: "POST" });
    if (!model) await load();
    notice("connection");
  } catch (error) {
    if (!model) notice("model"); // it is not said to be loading any more
    notice("connection", error.message);
  }
}

// ---- the model ----

async function load() {
  const waiting = () => notice("model", "The model is loading. Images you drop now will wait for it.");
  const found = await (await ask("/api/model", { waiting })).json();
  const earlier = await (await ask("/api/cases")).json();
  model = found;
  modelLoaded();
  for (const one of earlier) if (!cases.has(one.key)) cases.set(one.key, one);
  showTable();
  if (openCase) {
    showClass(openCase, thresholds, threshold());
    showNoName(openCase);
  } else if (cases.size) open(table.sorted[0]);
}

function modelLoaded() {
  thresholds = thresholdsOf(model);
  showModel(model, thresholds);
  showExamples(model, (files) => intake.add(files, model.max_upload_bytes), failed);
}

/** The session lives as long as the page is open; and the model's file may change meanwhile. */
async function keepAlive() {
  await (model ? lookAgain() : begin());
  setTimeout(keepAlive, KEEP_ALIVE_MS);
}

async function lookAgain() {
  try {
    await ask("/api/session");
    const { notices } = await (await ask("/api/model")).json();
    notice("model", ...notices);
    notice("connection");
  } catch (error) {
    if (sessionEnded(error)) await ended();
    else notice("connection", error.message);
  }
}

async function ended() {
  cases.clear();
  close();
  showTable();
  notice("message", "The session has ended, and its images were removed. Drop them again.");
  await begin();
}

// ---- files ----

function connectIntake() {
  connectDrop(add);
  $("cancel").addEventListener("click", () => intake.cancel());
  intake.addEventListener("progress", ({ detail }) => showProgress(detail));
  intake.addEventListener("refused", ({ detail }) => showRefused(detail));
  intake.addEventListener("ended", ended);
  intake.addEventListener("case", ({ detail }) => {
    cases.set(detail.case.key, detail.case);
    sayClass(detail.case);
    showTableSoon();
    if (detail.single || !openCase) openByItself(detail.case);
  });
  intake.addEventListener("cine", ({ detail }) => {
    const best = detail.case.finding.lesions.length ? "has the largest lesion" : "has the highest probability of malignant; no frame has a lesion";
    say(`${detail.case.name}: frame ${detail.case.frame + 1} ${best}`);
    if (detail.frames.some((one) => one.key === openCase?.key)) openByItself(detail.case);
  });
}

function add(files, unread = []) {
  if (!files.length && !unread.length) return;
  notice("message");
  $("refused").replaceChildren();
  unread.forEach(showRefused);
  if (!files.length || !$("every").reportValidity()) return;
  intake.add(files, model?.max_upload_bytes ?? Infinity, $("every").valueAsNumber);
}

// ---- one case ----

async function open(one) {
  opening.abort();
  opening = new AbortController();
  const { signal } = opening;
  openCase = one;
  editable = null;
  notice("message");
  blank("The image is being loaded");
  allowCorrection();
  document.body.classList.add("has-case");
  $("case").hidden = false;
  $("case-name").textContent = titleOf(one);
  showFinding(one, thresholds, threshold());
  showCorrection(one);
  $("figure-box").open = false;
  $("figure").removeAttribute("src");
  showTable();
  try {
    await showPixels(one, signal);
  } catch (error) {
    if (!signal.aborted) blank("The image could not be loaded");
    failed(error);
  }
}

/** What arrived, unless a mask is open whose changes are not saved. */
function openByItself(one) {
  if (editor.edited) outcome(`${titleOf(one)} is in the table; save your mask here before you open it.`, false);
  else open(one);
}

/** Whether the open mask may go: nothing of it is unsaved, or the reader says so. */
function mayDiscard() {
  return !editor.edited || confirm("You changed the mask and did not save it. Discard the changes?");
}

/** No image of one case stands beside what is said of another. */
function blank(description) {
  viewer.clear();
  editor.close();
  leaveEditing(editor);
  $("canvas").setAttribute("aria-label", description);
}

function titleOf(one) {
  return one.frames > 1 ? `${one.name}, frame ${one.frame + 1} of ${one.frames}` : one.name;
}

function sayClass(one) {
  say(`${titleOf(one)}: ${one.finding.label}`);
}

/** What went wrong with something asked for: a sentence at the top of the page. */
function failed(error) {
  if (error.name === "AbortError") return;
  if (sessionEnded(error)) ended();
  else notice("message", error.message);
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
  const modelsMask = values.map((value) => (value > HALF ? 1 : 0));
  viewer.show({ image: image.bitmap, heatMap: heatMap?.bitmap ?? null, boxes: lesionsOf(one).map((lesion) => lesion.box) });
  editor.open(drawn, modelsMask, width, height);
  const outline = corrected ? contour(drawn, width, height, 0.5) : contour(values, width, height, HALF);
  viewer.outlined(outline, drawn, corrected);
  $("show-heat-map").disabled = !heatMap;
  $("show-heat-map").parentElement.title = heatMap ? "" : "No region of the image supports the class";
  showHeatScale();
  describeCanvas(one);
  fitBrush(editor, width, height);
  editable = one;
  allowCorrection();
}

function showCorrection(one) {
  const right = one.correction?.label ?? one.finding.label;
  for (const input of document.getElementsByName("right-class")) input.checked = input.value === right;
  $("no-name").checked = false;
  showNoName(one);
  outcome(one.correction ? savedSentence(one.correction) : "", false);
}

function showNoName(one) {
  $("no-name-line").hidden = !one.may_name_patient || !model?.corrections;
}

function allowCorrection() {
  $("edit-mask").disabled = editable === null;
  $("save-correction").disabled = editable === null || saving;
}

function close() {
  opening.abort();
  openCase = editable = null;
  blank("No image");
  allowCorrection();
  $("case").hidden = true;
  document.body.classList.remove("has-case");
}

function turn(by) {
  if (!mayDiscard()) return;
  const index = table.sorted.findIndex((one) => one.key === openCase.key);
  open(table.sorted[(index + by + table.sorted.length) % table.sorted.length]);
  sayClass(openCase);
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
  connectEditing(editor);
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && (editor.edited || intake.busy)) event.preventDefault();
  });
  $("save-correction").addEventListener("click", saveCorrection);
  const rows = $("lesions").tBodies[0];
  const highlight = (event) => viewer.highlight((event.target.closest("tr")?.rowIndex ?? 0) - 1);
  rows.addEventListener("pointerover", highlight);
  rows.addEventListener("pointerleave", () => viewer.highlight(-1));
}

function threshold() {
  return thresholds?.[Number($("sensitivity").value)] ?? null;
}

async function saveCorrection() {
  const label = document.querySelector("input[name=right-class]:checked")?.value;
  const one = editable;
  if (!one) return;
  saving = true;
  allowCorrection();
  try {
    const mask = editor.mask.slice();
    const said = { label, no_name: $("no-name").checked, mask_png: editor.edited ? await editor.toPng() : null };
    const options = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
    one.correction = await (await ask(`/api/cases/${one.key}/correction`, options)).json();
    showTable();
    if (one !== openCase) return;
    outcome(savedSentence(one.correction), false);
    showLesions(one);
    if (one === editable) showSaved(one, mask);
    $("figure").removeAttribute("src");
    showFigure();
  } catch (error) {
    if (sessionEnded(error)) ended();
    else if (one === openCase) outcome(sentence(error.message), true);
    else notice("message", `${one.name}: ${error.message}`);
  } finally {
    saving = false;
    allowCorrection();
  }
}

function showSaved(one, mask) {
  editor.saved(mask);
  viewer.mark(lesionsOf(one).map((lesion) => lesion.box));
  describeCanvas(one);
}

function savedSentence({ label, saved }) {
  return saved ? `Saved as ${saved}.` : `Recorded as ${label}; the report will show it.`;
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
    const masks = openCase.correction?.lesions ? "your mask, the model's mask" : "mask";
    $("figure").alt = `Input, ${masks}, heat map and overlay in one row`;
  } catch (error) {
    failed(error);
  }
}

function showHeatScale() {
  $("heat-scale").hidden = !($("show-heat-map").checked && !$("show-heat-map").disabled);
}

async function removeCase() {
  if (!mayDiscard()) return;
  const { key } = openCase;
  try {
    await ask(`/api/cases/${key}`, { method: "DELETE" });
  } catch (error) {
    failed(error);
    return;
  }
  const index = table.sorted.findIndex((one) => one.key === key);
  cases.delete(key);
  if (openCase?.key !== key) { // the reader has gone on
    showTable();
    return;
  }
  const next = table.sorted[index + 1] ?? table.sorted[index - 1];
  close();
  showTable();
  if (next) open(next);
}

async function endSession() {
  if (cases.size && !confirm("Its images and what you recorded of them are removed. End the session?")) return;
  intake.cancel();
  close();
  await ask("/api/session", { method: "DELETE" }).catch(() => {});
  location.reload();
}
