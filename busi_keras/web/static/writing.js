// Words into the page: always as text, never as markup.

export const $ = (id) => document.getElementById(id);

const standing = { model: [], connection: [], message: [] };

/**
 * Sentences at the top of the page, read aloud when they change.
 * @param {keyof typeof standing} about what was said of it before goes; what is said of the others stays.
 */
export function notice(about, ...sentences) {
  standing[about] = sentences.map(sentence);
  const lines = Object.values(standing).flat();
  const shown = [...$("notices").children].map((line) => line.textContent);
  if (shown.join() === lines.join()) return;
  $("notices").replaceChildren(...lines.map((text) => element("p", "notice strong", text)));
}

export function warning(text) {
  const line = element("p", "warning");
  line.append(element("strong", "", "Warning"), ` ${sentence(text)}`);
  return line;
}

export function say(text) {
  $("said").textContent = text;
}

export function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function terms(facts) {
  return Object.entries(facts).flatMap(([term, text]) => [element("dt", "", term), element("dd", "", text)]);
}

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
