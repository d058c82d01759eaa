// The controls of the mask's editor.

import { $ } from "./writing.js";

/** @param {import("./editor.js").MaskEditor} editor */
export function connectEditing(editor) {
  $("edit-mask").addEventListener("click", () => (editor.on ? leaveEditing(editor) : enterEditing(editor)));
  $("edit-done").addEventListener("click", () => {
    leaveEditing(editor);
    $("edit-mask").focus();
  });
  $("undo").addEventListener("click", () => editor.undo());
  $("clear-mask").addEventListener("click", () => editor.clear());
  $("reset-mask").addEventListener("click", () => editor.reset());
  $("brush-size").addEventListener("input", () => setBrush(editor));
  for (const input of document.getElementsByName("brush")) input.addEventListener("change", () => setBrush(editor));
  leaveEditing(editor);
}

function enterEditing(editor) {
  editor.start();
  $("edit-tools").hidden = false;
  $("edit-mask").setAttribute("aria-pressed", "true");
  $("canvas-keys").textContent = "Draw with the pointer. Keys: arrows move the brush (Shift: further), Space starts and stops painting, Ctrl+Z undoes.";
  $("canvas").focus();
}

export function leaveEditing(editor) {
  editor.stop();
  $("edit-tools").hidden = true;
  $("edit-mask").setAttribute("aria-pressed", "false");
  $("canvas-keys").textContent = "Drag to move. Keys on the image: + and − zoom, 0 fits, arrows move.";
}

/** A brush that fits an image of that size, in pixels. */
export function fitBrush(editor, width, height) {
  $("brush-size").value = Math.max(2, Math.round(Math.min(width, height) / 30));
  setBrush(editor);
}

function setBrush(editor) {
  const adds = document.querySelector("input[name=brush]:checked").value === "add";
  editor.brush(adds, Number($("brush-size").value));
}
