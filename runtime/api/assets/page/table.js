// A table that is brought up to date in place: what has focus keeps it, and a screen reader its place.

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: Row) => number | string} value by which rows are sorted
 * @property {(row: Row) => string} [text] what is shown, if not the value
 * @property {(cell: HTMLElement, row: Row) => void} [fill] fills a cell that is more than text
 * @property {boolean} [wide] words, not a figure
 */

/** @template Row */
export class Table {
  /**
   * @param {HTMLTableElement} table
   * @param {string} caption
   * @param {(row: Row) => string} key what tells rows apart
   * @param {Column<Row>[]} columns the first one names the row
   * @param {number} sorted the column that rows are sorted by at first
   * @param {boolean} descending whether the largest is first
   */
  constructor(table, caption, key, columns, sorted, descending = !columns[sorted].wide) {
    this.table = table;
    this.key = key;
    this.columns = columns;
    this.sorted = sorted;
    this.descending = descending;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Map<string, HTMLTableRowElement>} */
    this.elements = new Map();
    this.#head(caption);
    this.body = table.createTBody();
  }

  /** @param {string} caption */
  #head(caption) {
    const element = this.table.createCaption();
    element.className = "hidden";
    element.textContent = caption;
    const row = this.table.createTHead().insertRow();
    this.heads = this.columns.map((column, at) => {
      const head = document.createElement("th");
      head.scope = "col";
      head.classList.toggle("wide", Boolean(column.wide));
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.label;
      button.addEventListener("click", () => this.#sortBy(at));
      head.append(button);
      row.append(head);
      return head;
    });
    this.#tellOrder();
  }

  /** @param {number} column */
  #sortBy(column) {
    this.descending = column === this.sorted ? !this.descending : !this.columns[column].wide;
    this.sorted = column;
    this.#tellOrder();
    this.update(this.rows);
  }

  #tellOrder() {
    this.heads?.forEach((head, at) => {
      if (at === this.sorted) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  /** @param {Row[]} rows */
  update(rows) {
    this.rows = rows;
    const { value } = this.columns[this.sorted];
    const sign = this.descending ? -1 : 1;
    const sorted = [...rows].sort((a, b) => sign * compare(value(a), value(b)) || compare(this.key(a), this.key(b)));
    const keys = new Set(sorted.map(this.key));
    for (const [key, element] of this.elements) {
      if (keys.has(key)) continue;
      element.remove();
      this.elements.delete(key);
    }
    const focused = document.activeElement;
    sorted.forEach((row, at) => {
      const element = this.#row(row);
      if (this.body.rows[at] !== element) this.body.insertBefore(element, this.body.rows[at] ?? null);
    });
    // An element that is moved loses it.
    if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  /** @param {Row} row */
  #row(row) {
    const key = this.key(row);
    let element = this.elements.get(key);
    if (!element) {
      element = document.createElement("tr");
      this.columns.forEach((column, at) => {
        const cell = document.createElement(at === 0 ? "th" : "td");
        if (at === 0) cell.setAttribute("scope", "row");
        cell.classList.toggle("wide", Boolean(column.wide));
        element?.append(cell);
      });
      this.elements.set(key, element);
    }
    this.columns.forEach((column, at) => {
      const cell = /** @type {HTMLElement} */ (element?.cells[at]);
      if (column.fill) column.fill(cell, row);
      else setText(cell, (column.text ?? ((of) => String(column.value(of))))(row));
    });
    return element;
  }
}

/**
 * @param {number | string} a
 * @param {number | string} b
 */
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/**
 * Sets an element's text, unless it is the same: nothing is drawn or told anew then.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
