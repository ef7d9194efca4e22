"use strict";
/** The mask in its tiles, painted on a canvas from runs: a row a tile of queries, a column a tile of keys. */
(() => {
  const { h } = attnsim.dom;
  const { count, percent } = attnsim.format;
  const NAMES = ["skipped", "partial", "full", "padding queries"];

  /** data: a picture of maskview.py; width: pixels there are. */
  function mask(data, width) {
    const panels = data.panels.map((panel, number) =>
      h(
        "figure",
        { key: String(number), class: "chart mask" },
        h("figcaption", {}, `${panel.heads === data.heads ? "" : `${panel.heads} of ${data.heads} heads: `}${panel.description}`),
        panel.refused
          ? h("p", { class: "note" }, `not drawn: ${panel.refused}`)
          : painted(panel, Math.min(width, plain(panel) ? 140 : data.panels.length > 1 ? 260 : 380)),
        h("p", { class: "note" }, words(panel)),
      ),
    );
    return h(
      "div",
      { class: "panels" },
      panels,
      data.hidden ? h("p", { class: "note" }, `${data.hidden} more different masks are not shown`) : null,
    );
  }

  /** Whether all tiles are alike. */
  const plain = (panel) => panel.rows.length === 1 && panel.runs[0].length === 2;

  function words(panel) {
    const packed = panel.pack > 1 ? `, ${panel.pack} query heads in the rows of a tile` : "";
    const sides = `${count(panel.queries)} ${panel.queries === 1 ? "query" : "queries"} down, ${count(panel.keys)} keys across`;
    const text = `${sides}; tiles of ${panel.q_tile} by ${panel.k_tile}${packed}`;
    return panel.note ? `${text}; ${panel.note}` : text;
  }

  function painted(panel, room) {
    const [rows, columns] = panel.tiles;
    const scale = Math.max(1, Math.floor(Math.min(room / columns, Math.min(room, 420) / rows)));
    const width = Math.min(room, columns * scale);
    const height = Math.max(10, Math.min((width * panel.queries) / panel.keys, 420));
    const total = rows * columns;
    const legend = Object.entries(panel.counts).map(([name, number]) =>
      h(
        "li",
        { key: name },
        h("span", { class: `swatch tile-${NAMES.indexOf(name)}` }),
        `${name}: ${count(number)} tiles, ${percent(number / total)}`,
      ),
    );
    const label = `tiles of the mask: ${Object.entries(panel.counts)
      .map(([name, number]) => `${number} ${name}`)
      .join(", ")}`;
    return [
      h("canvas", {
        key: "canvas",
        class: "tiles",
        role: "img",
        "aria-label": label,
        width: columns,
        height: rows,
        vars: { width: `${width}px`, height: `${height}px` },
        draw: (canvas) => paint(canvas, panel),
        on: { pointermove: (event) => point(event, panel) },
      }),
      h("ul", { key: "legend", class: "legend" }, legend),
    ];
  }

  function paint(canvas, panel) {
    const style = getComputedStyle(canvas);
    const colours = NAMES.map((_, kind) => style.getPropertyValue(`--tile-${kind}`).trim());
    const made = JSON.stringify([colours, panel.runs, panel.rows]);
    if (canvas.__made === made) return;
    canvas.__made = made;
    const pen = canvas.getContext("2d");
    let top = 0;
    for (const [number, rows] of panel.rows) {
      let left = 0;
      const runs = panel.runs[number];
      for (let i = 0; i < runs.length; i += 2) {
        pen.fillStyle = colours[runs[i]];
        pen.fillRect(left, top, runs[i + 1], rows);
        left += runs[i + 1];
      }
      top += rows;
    }
  }

  /** What lies under the pointer, for the tooltip. */
  function point(event, panel) {
    const box = event.currentTarget.getBoundingClientRect();
    const row = Math.min(panel.tiles[0] - 1, Math.floor(((event.clientY - box.top) / box.height) * panel.tiles[0]));
    const column = Math.min(panel.tiles[1] - 1, Math.floor(((event.clientX - box.left) / box.width) * panel.tiles[1]));
    event.currentTarget.setAttribute("data-tip", `query tile ${row}, key tile ${column}: ${NAMES[kindAt(panel, row, column)]}`);
  }

  function kindAt(panel, row, column) {
    let top = 0;
    for (const [number, rows] of panel.rows) {
      top += rows;
      if (row < top) {
        let left = 0;
        const runs = panel.runs[number];
        for (let i = 0; i < runs.length; i += 2) {
          left += runs[i + 1];
          if (column < left) return runs[i];
        }
      }
    }
    return 0;
  }

  /** Repaint every mask: colours changed with the colour scheme. */
  function repaint(root) {
    for (const canvas of root.querySelectorAll("canvas.tiles")) if (canvas.__draw) canvas.__draw(canvas);
  }

  Object.assign(attnsim, { mask, repaint });
})();
