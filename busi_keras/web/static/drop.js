// Files come to the page: chosen, pasted, or dropped, folders with all that is in them.

import { $ } from "./writing.js";

/** @param {(files: File[], unread?: {name: string, sentence: string}[]) => void} add told what came, and what of it cannot be read. */
export function connectDrop(add) {
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
    if (!hasFiles(event)) return;
    const { files, unread } = await dropped(event.dataTransfer);
    add(files, unread);
  });
}

/** The files of a drop, those in dropped folders, too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // before the first await
  const found = { files: [], unread: [] };
  if (!entries.length) found.files.push(...transfer.files);
  for (const entry of entries) await collect(entry, found);
  return found;
}

/** What cannot be read is noted, and the rest goes on. */
async function collect(entry, found) {
  try {
    if (entry.isFile) found.files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else await collectFolder(entry.createReader(), found);
  } catch {
    found.unread.push({ name: entry.name, sentence: "it cannot be read; check that it still exists and that you may open it" });
  }
}

async function collectFolder(reader, found) {
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) if (!child.name.startsWith(".")) await collect(child, found);
  }
}
