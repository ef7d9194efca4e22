"use strict";
/** Tables: plain ones, and the one of results, which sorts and filters. */
(() => {
  const { h } = attnsim.dom;
  const { value } = attnsim.format;

  const isNumber = (cell, unit) => unit !== "text" && typeof cell !== "string";
  const raw = (cell) => (cell !== null && typeof cell === "object" ? cell.value : cell);

  /**
   * Sort state lives outside the page's data: it has to survive a redraw.
   * @type {WeakMap<object, {column: number|null, down: boolean, filter: string}>}
   */
  const STATES = new WeakMap();

  /** A table that scrolls inside its own box. options: {sortable, state (an object that stays the same), redraw, link(row) -> url}. */
  function table(data, options = {}) {
    const state = options.state ? stateOf(options.state) : null;
    const rows = data.rows.map((cells, index) => ({ cells, index }));
    const shown = state ? arranged(rows, state) : rows;
    const head = data.columns.map((column, number) => header(column, number, state, options.redraw));
    const body = shown.map((row) =>
      h(
        "tr",
        { key: `row-${row.index}` },
        row.cells.map((cell, number) => dataCell(cell, data.columns[number], number, options.link && options.link(row.index))),
      ),
    );
    const empty = body.length ? null : h("tr", {}, h("td", { colspan: data.columns.length, class: "note" }, "nothing matches"));
    return h(
      "div",
      { class: "scroll", role: "region", "aria-label": data.title || "table" },
      h(
        "table",
        {},
        data.caption ? h("caption", {}, data.caption) : null,
        data.columns.some((column) => column.label) ? h("thead", {}, h("tr", {}, head)) : null,
        h("tbody", {}, body, empty),
      ),
    );
  }

  function dataCell(cell, column, number, url) {
    const text = value(cell, column.unit);
    const attrs = { class: isNumber(cell, column.unit) ? "n" : text.length > 26 ? "long" : null };
    if (number === 0) return h("th", { ...attrs, scope: "row" }, url ? h("a", { href: url }, text) : text);
    return h("td", attrs, text);
  }

  function header(column, number, state, redraw) {
    const attrs = { scope: "col", class: column.unit === "text" ? null : "n" };
    if (!state) return h("th", attrs, column.label);
    const sorted = state.column === number;
    const sort = () => {
      if (!sorted) Object.assign(state, { column: number, down: false });
      else if (!state.down) state.down = true;
      else Object.assign(state, { column: null, down: false });
      redraw();
    };
    return h(
      "th",
      { ...attrs, "aria-sort": sorted ? (state.down ? "descending" : "ascending") : "none" },
      h(
        "button",
        { type: "button", on: { click: sort } },
        column.label,
        h("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (state.down ? "▼" : "▲") : "↕"),
      ),
    );
  }

  function stateOf(owner) {
    if (!STATES.has(owner)) STATES.set(owner, { column: null, down: false, filter: "" });
    return STATES.get(owner);
  }

  function arranged(rows, state) {
    const needles = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => {
      const text = row.cells
        .filter((cell) => typeof cell === "string")
        .join(" ")
        .toLowerCase();
      return needles.every((needle) => text.includes(needle));
    });
    if (state.column === null) return kept;
    const sign = state.down ? -1 : 1;
    return kept.slice().sort((a, b) => sign * compared(raw(a.cells[state.column]), raw(b.cells[state.column]), sign) || a.index - b.index);
  }

  /** Numbers before texts, by size or alphabet; what is missing comes last either way. */
  function compared(a, b, sign) {
    const missing = (cell) => cell === null || cell === undefined;
    if (missing(a) || missing(b)) return missing(a) && missing(b) ? 0 : missing(a) ? sign : -sign;
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, "en", { numeric: true });
  }

  /** The field that filters a sortable table. */
  function filter(owner, redraw, label) {
    const state = stateOf(owner);
    return h(
      "label",
      { class: "filter" },
      h("span", {}, label),
      h("input", {
        type: "search",
        value: state.filter,
        on: {
          input: (event) => {
            state.filter = event.target.value;
            redraw();
          },
        },
      }),
    );
  }

  attnsim.table = table;
  attnsim.filter = filter;
})();
