"use strict";
/** The cascade as a graph: inputs at the top, a box an Einsum, marked what reads the iteration before. */
(() => {
  const { h, s } = attnsim.dom;
  const { drawing, reached } = attnsim.chart;
  const { count } = attnsim.format;
  const BOX = { width: 92, height: 34, across: 108, down: 66 };
  const MARGIN = { x: 60, y: 24 };

  /** data: a graph of cascadeview.py; width: pixels there are. */
  function cascade(data, width) {
    const across = Math.min(BOX.across, Math.max(78, (width - 2 * MARGIN.x - 8) / Math.max(1, data.width)));
    const box = { width: Math.min(BOX.width, across - 8), height: BOX.height };
    const at = ([x, y]) => [MARGIN.x + x * across, MARGIN.y + y * BOX.down];
    const size = { width: 2 * MARGIN.x + data.width * across, height: 2 * MARGIN.y + (data.layers - 1) * BOX.down };
    const several = new Set(data.nodes.map((node) => node.pass).filter((pass) => pass !== null)).size > 1;
    return h(
      "figure",
      { class: "chart cascade", key: "cascade" },
      h(
        "div",
        { class: "scroll" },
        drawing(
          size.width,
          size.height,
          `graph of ${data.name}; arrow keys go from Einsum to Einsum`,
          s(
            "g",
            { key: "edges" },
            data.edges.map((edge) => line(edge, edge.points.map(at), box.height)),
          ),
          s(
            "g",
            { key: "nodes" },
            data.nodes.map((node, number) => drawn(node, number, at([node.x, node.y]), box, several, data)),
          ),
        ),
      ),
      h(
        "ul",
        { class: "legend" },
        h("li", {}, h("span", { class: "swatch box input" }), "input"),
        h("li", {}, h("span", { class: "swatch box matmul" }), "matrix product"),
        h("li", {}, h("span", { class: "swatch box vector" }), "other Einsum"),
        data.edges.some((edge) => edge.carried)
          ? h("li", { key: "dash" }, h("span", { class: "swatch dash" }), "to the next iteration")
          : null,
        data.nodes.some((node) => node.carried.length) ? h("li", { key: "loop" }, "↺ reads the iteration before") : null,
        several ? h("li", {}, "number: pass") : null,
      ),
      h(
        "details",
        { class: "data" },
        h("summary", {}, "Equations"),
        h(
          "pre",
          { class: "scroll" },
          h("code", {}, [...data.init.map((text) => `${text}   (at the start)`), ...data.equations].join("\n")),
        ),
      ),
    );
  }

  /** A curve through the bends of an edge, from the lower side of a box to the upper side of another, or back up; and its head. */
  function line(edge, points, height) {
    const last = points.length - 1;
    const down = points[last][1] > points[0][1] ? 1 : -1;
    const path = points.map(([x, y], number) => [
      x,
      y + (number === 0 ? down * (height / 2) : number === last ? -down * (height / 2 + 6) : 0),
    ]);
    const [x, y] = path[last];
    return s(
      "g",
      { key: `${edge.from}>${edge.to}>${edge.carried}`, class: edge.carried ? "edge carried" : "edge" },
      s("path", { class: "line", d: d3.line().curve(d3.curveMonotoneY)(path) }),
      s("path", { class: "head", d: `M${x - 4},${y} h8 l-4,${down * 6} z` }),
    );
  }

  function drawn(node, number, [x, y], box, several, data) {
    const operations = Object.entries(data.operations[node.id] || {}).map(([kind, total]) => `${count(total)} ${kind}`);
    const tip = [
      node.equation || `${node.id}: input`,
      node.ranks.length ? `ranks ${node.ranks.join(", ")}` : "a single value a head",
      several && node.pass !== null ? `pass ${node.pass}` : "",
      node.carried.length ? `reads ${node.carried.join(", ")} of the iteration before` : "",
      operations.length ? operations.join(", ") : "",
      node.output ? "output" : "",
    ]
      .filter(Boolean)
      .join("\n");
    const marks = node.carried.length ? " ↺" : "";
    return s(
      "g",
      {
        key: node.id,
        transform: `translate(${x},${y})`,
        ...reached(number, tip),
        class: `node ${node.kind}${node.output ? " output" : ""}`,
      },
      s("rect", {
        x: -box.width / 2,
        y: -box.height / 2,
        width: box.width,
        height: box.height,
        rx: node.kind === "input" ? box.height / 2 : 4,
      }),
      s("text", { class: "name", y: -2, "text-anchor": "middle" }, `${node.id}${marks}`),
      s("text", { class: "ranks", y: 11, "text-anchor": "middle" }, node.ranks.join(" ") || "·"),
      several && node.pass !== null
        ? s("text", { class: "pass", x: box.width / 2 - 4, y: -box.height / 2 + 11, "text-anchor": "end" }, String(node.pass))
        : null,
    );
  }

  /** Passes over every rank, with the reason of each. */
  function passes(list) {
    if (!list.length) return h("p", { class: "note" }, "No rank is reduced, so there are no passes.");
    return h(
      "dl",
      { class: "passes" },
      list.map((plan) =>
        h(
          "div",
          { key: plan.rank },
          h("dt", {}, `${plan.count} pass${plan.count === 1 ? "" : "es"} over ${plan.rank}`),
          plan.reasons.map((reason) => h("dd", {}, reason)),
        ),
      ),
    );
  }

  Object.assign(attnsim, { cascade, passes });
})();
