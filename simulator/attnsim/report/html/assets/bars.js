"use strict";
/** Horizontal bars as HTML: they print, they wrap on a phone, and a screen reader reads them as a table. */
(() => {
  const { h } = attnsim.dom;
  const { value, share } = attnsim.format;
  const across = (part) => `${Math.max(0, Math.min(1, part)) * 100}%`;

  /** The bars of `parts.py`: name, bar, value, share of the whole; the bound is named in words too. */
  function bars(data) {
    const longest = Math.max(...data.items.map((item) => item.value), 0);
    const full = Math.max(longest, data.whole || 0);
    return h(
      "table",
      { class: "bars" },
      h(
        "tbody",
        {},
        data.items.map((item) => {
          const part = full > 0 ? item.value / full : 0;
          const of = data.whole ? share(item.value / data.whole) : "";
          return h(
            "tr",
            { key: item.name, class: item.bound ? "bound" : null },
            h("th", { scope: "row" }, item.name, item.bound ? h("span", { class: "tag" }, "bound") : null),
            h("td", { class: "track" }, h("div", { class: "bar", vars: { width: across(part) } })),
            h("td", { class: "n" }, value(item.value, data.unit)),
            data.whole ? h("td", { class: "n" }, of) : null,
          );
        }),
      ),
    );
  }

  /** Bytes of every level, cut by tensor: a row a level, a piece a tensor. width: pixels there are. */
  function traffic(levels, width) {
    const names = [...new Set(levels.flatMap((level) => level.tensors.map((tensor) => tensor.name)))];
    const legend = names.map((name, number) =>
      h("li", { key: name }, h("span", { class: `swatch hue-${number % 7} cut-${Math.floor(number / 7) % 3}` }), name),
    );
    const rows = levels.map((level) => {
      const pieces = level.tensors.map((tensor) => {
        const moved = tensor.read + tensor.write;
        const number = names.indexOf(tensor.name);
        const part = level.total ? moved / level.total : 0;
        const named = part * width * 0.35 > tensor.name.length * 8 + 6;
        const directions = `read ${value(tensor.read, "B")}, written ${value(tensor.write, "B")}`;
        const tip = `${tensor.name} at ${level.level}: ${value(moved, "B")}\n${directions}`;
        return h(
          "div",
          {
            key: tensor.name,
            class: `piece ${named ? "" : "small "}hue-${number % 7} cut-${Math.floor(number / 7) % 3}`,
            tabindex: "0",
            role: "img",
            "aria-label": tip,
            "data-tip": tip,
            vars: { "flex-grow": String(part) },
          },
          named ? h("span", { class: "ink", "aria-hidden": "true" }, tensor.name) : null,
        );
      });
      return h(
        "tr",
        { key: level.level },
        h("th", { scope: "row" }, level.level),
        h(
          "td",
          { class: "track" },
          h("div", { class: "stack" }, pieces.length ? pieces : h("div", { class: "piece plain", vars: { "flex-grow": "1" } })),
        ),
        h("td", { class: "n" }, value(level.total, "B")),
        h("td", { class: "n" }, level.intensity === null ? "" : `${value(level.intensity, "ratio")} FLOP/B`),
      );
    });
    return [
      h("table", { class: "bars", key: "traffic" }, h("tbody", {}, rows)),
      names.length ? h("ul", { class: "legend", key: "legend" }, legend) : null,
    ];
  }

  /** Headline figures as a list of terms. */
  function facts(items) {
    return h(
      "dl",
      { class: "facts" },
      items.map((item) =>
        h(
          "div",
          { key: item.label },
          h("dt", {}, item.label),
          h("dd", {}, h("b", {}, value(item.value, item.unit)), item.note ? h("span", { class: "note" }, item.note) : null),
        ),
      ),
    );
  }

  Object.assign(attnsim, { bars, traffic, facts });
})();
