// Words into the page: always as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** Sentences at the top of the page, read aloud when they change. */
export function notice(...sentences) {
  const shown = [...$("notices").children].map((line) => line.textContent);
  if (shown.join() === sentences.map(sentence).join()) return;
  $("notices").replaceChildren(...sentences.map((text) => element("p", "notice strong", sentence(text))));
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
