// How far files are on their way, and which of them are refused.

import { $, element, say } from "./writing.js";

export function showProgress({ done, total, note, frame, frames }) {
  $("progress").hidden = !total;
  $("progress-bar").max = total > 1 ? total : Math.max(1, frames);
  if (total > 1) $("progress-bar").value = done;
  else if (frames) $("progress-bar").value = frame;
  else $("progress-bar").removeAttribute("value");
  const count = total > 1 ? `${done} of ${total} images` : "Analysing";
  $("progress-text").textContent = note ? `${count}: ${note}` : count;
}

export function showRefused({ name, sentence }) {
  const item = element("li");
  item.append(element("b", "", name), `: ${sentence}`);
  $("refused").append(item);
  say(`${name}: ${sentence}`);
}
