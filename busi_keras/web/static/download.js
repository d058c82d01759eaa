// Downloads through the page, so that what goes wrong is a sentence on it and not a broken file.

import { ask } from "./api.js";

/** @param {HTMLAnchorElement} link with `download`. @param {(error: Error) => void} failed */
export function downloadsInPlace(link, failed) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    if (link.ariaBusy === "true") return;
    link.ariaBusy = "true";
    try {
      save(await (await ask(link.getAttribute("href"))).blob(), link.download);
    } catch (error) {
      failed(error);
    } finally {
      link.ariaBusy = "false";
    }
  });
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
