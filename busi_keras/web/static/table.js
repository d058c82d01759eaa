// All images of the session in a table that sorts, the most malignant first.

const COLUMNS = [
  { title: "Image", of: (one) => one.name.toLowerCase(), text: (one) => (one.frames > 1 ? `${one.name}, frame ${one.frame + 1}` : one.name) },
  { title: "Class", of: (one) => one.finding.label, text: (one) => one.finding.label },
  { title: "Malignant", of: (one) => one.finding.probabilities.malignant, number: true, text: (one) => percent(one.finding.probabilities.malignant) },
  { title: "Suspicious", of: (one, threshold) => suspicious(one, threshold), text: (one, threshold) => (threshold ? (suspicious(one, threshold) ? "yes" : "no") : "–") },
  { title: "Largest lesion", of: (one) => lesionsOf(one)[0]?.area_px ?? 0, number: true, text: largest },
  { title: "Warnings", of: (one) => one.finding.warnings.length, number: true, text: (one) => (one.finding.warnings.length ? `⚠ ${one.finding.warnings.length}` : "none") },
  { title: "Corrected", of: (one) => one.correction?.label ?? "", text: (one) => one.correction?.label ?? "" },
];

export class CaseTable {
  /** @param {HTMLTableElement} table @param {(key: string) => void} open told which case was clicked. */
  constructor(table, open) {
    this.body = table.tBodies[0];
    this.open = open;
    this.rows = new Map(); // by the case's key
    this.column = 2;
    this.descending = true;
    this.heads = COLUMNS.map((column, index) => this.#head(column, index));
    table.tHead.rows[0].append(...this.heads);
  }

  /** @param {object[]} cases @param {{value: number} | null} threshold @param {string | null} openKey */
  show(cases, threshold, openKey) {
    this.shown = { cases, threshold, openKey };
    const { of } = COLUMNS[this.column];
    const sign = this.descending ? -1 : 1;
    this.sorted = [...cases].sort((a, b) => sign * compared(of(a, threshold), of(b, threshold)) || a.name.localeCompare(b.name, "en", { numeric: true }));
    this.heads.forEach((head, index) => {
      head.ariaSort = index === this.column ? (this.descending ? "descending" : "ascending") : "none";
    });
    const before = this.rows;
    this.rows = new Map(this.sorted.map((one) => [one.key, before.get(one.key) ?? this.#newRow(one.key)]));
    for (const one of this.sorted) this.#fill(this.rows.get(one.key), one);
    this.#arrange([...this.rows.values()]);
  }

  /** Rows stay where they can, so that the keyboard's focus on one of them stays, too. */
  #arrange(rows) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const wanted = new Set(rows);
    for (const row of [...this.body.rows]) if (!wanted.has(row)) row.remove();
    let place = this.body.firstElementChild;
    for (const row of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
    }
    if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true }); // its row was moved
  }

  #head(column, index) {
    const head = document.createElement("th");
    head.scope = "col";
    if (column.number) head.className = "number";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => {
      this.descending = this.column === index ? !this.descending : Boolean(column.number);
      this.column = index;
      this.show(this.shown.cases, this.shown.threshold, this.shown.openKey);
    });
    head.append(button);
    return head;
  }

  #newRow(key) {
    const row = document.createElement("tr");
    row.dataset.key = key;
    for (const { number } of COLUMNS) row.insertCell().className = number ? "number" : "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    row.cells[0].append(button);
    row.addEventListener("click", () => this.open(key));
    return row;
  }

  #fill(row, one) {
    const { threshold, openKey } = this.shown;
    COLUMNS.forEach(({ text }, index) => {
      const place = row.cells[index].firstElementChild ?? row.cells[index];
      const shown = text(one, threshold);
      if (place.textContent !== shown) place.textContent = shown;
    });
    row.classList.toggle("open", one.key === openKey);
    row.classList.toggle("suspicious", suspicious(one, threshold));
  }
}

/** 0.5 as `50.0 %`. */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Whether a case is at or beyond a threshold. */
export function suspicious(one, threshold) {
  return Boolean(threshold) && one.finding.probabilities.malignant >= threshold.value;
}

/** A lesion's area, in mm² where the size of a pixel is known. */
export function area({ size }) {
  return size.unit === "mm" ? `${size.area.toFixed(0)} mm²` : `${size.area.toLocaleString("en")} px`;
}

/** The reader's, as soon as there is a mask of the reader's; else the network's. */
export function lesionsOf(one) {
  return one.correction?.lesions ?? one.finding.lesions;
}

function largest(one) {
  const [first] = lesionsOf(one);
  return first ? area(first) : "none";
}

function compared(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
