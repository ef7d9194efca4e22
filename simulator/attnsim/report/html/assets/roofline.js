"use strict";
/** The roofline of one machine: every kernel once per memory level, under the roofs of its precisions. */
(() => {
  const { h, s } = attnsim.dom;
  const { quantity, ratio, percent, seconds } = attnsim.format;
  const { HUES, logScale, logTicks, besides, axes, Places, reached, marker, textWidth, drawing } = attnsim.chart;

  /** The figure with its legend and its data. data: a chart of rooflineview.py; width: pixels. */
  function roofline(data, width) {
    const size = { width: width > 1040 ? 740 : Math.min(width, 860), height: 0 };
    size.height = Math.max(300, Math.min(440, size.width * 0.56));
    const frame = { left: 0, right: size.width - 14, top: 26, bottom: size.height - 42 };
    const points = data.kernels.flatMap((kernel, number) => kernel.points.map((point) => ({ kernel, number, ...point })));
    const top = d3.max(data.roofs, (roof) => roof.flops_per_s) || 1;
    const xs = [...data.diagonals.map((line) => line.ridge), ...points.map((point) => point.intensity)];
    const rates = data.kernels.flatMap((kernel) =>
      kernel.measured ? [kernel.flops_per_s, kernel.measured.flops_per_s] : [kernel.flops_per_s],
    );
    const ys = [top, ...rates, d3.min([top, ...rates]) / 4, ...data.roofs.map((roof) => roof.flops_per_s / 2)];
    const y = logScale(ys, [frame.bottom, frame.top], Math.max(0.12, Math.log10(d3.max(ys) / d3.min(ys)) * 0.075));
    const yTicks = logTicks(y, 24);
    const yText = (tick) => quantity(tick, "FLOP/s").replace(/\.0+(?= )/, "");
    frame.left = besides(yTicks, yText);
    const x = logScale(xs.length ? xs : [1, 100], [frame.left, frame.right], 0.45);
    const levels = [...new Set([...data.diagonals.map((line) => line.name), ...points.map((point) => point.level)])];
    const places = new Places(frame);
    for (const point of points) places.block(x(point.intensity) - 7, y(point.kernel.flops_per_s) - 7, 14, 14);
    const limited = limits(data, x, y);
    for (const { curve } of limited) curve.slice(1).forEach(([right, low], number) => places.cross(...curve[number], right, low));
    const parts = { data, frame, x, y, top, levels, places, points };
    return h(
      "figure",
      { class: "chart roofline", key: `roofline-${data.arch}` },
      h(
        "div",
        { class: "scroll" },
        drawing(
          size.width,
          size.height,
          `roofline of ${data.title}; arrow keys go from point to point`,
          axes(
            frame,
            { scale: x, ticks: logTicks(x, 46), text: (tick) => ratio(tick).replace(/\.0+$/, ""), title: "arithmetic intensity, FLOP/B" },
            { scale: y, ticks: yTicks, text: yText, title: "achieved" },
          ),
          roofs(parts),
          kernels(parts),
          power(limited),
          measured(parts),
        ),
      ),
      h(
        "div",
        { class: "beside" },
        legend(parts),
        h("details", { class: "data" }, h("summary", {}, "Roofs and ridges, and the points as a table"), tables(parts)),
      ),
    );
  }

  /** The power-limited roofs inside the chart, in pixels. */
  function limits(data, x, y) {
    const [low, high] = x.domain();
    const [bottom, above] = y.domain();
    const inside = ([at, rate]) => at >= low && at <= high && rate >= bottom && rate <= above;
    return (data.power || [])
      .map((roof) => ({ name: roof.name, curve: roof.curve.filter(inside).map(([at, rate]) => [x(at), y(rate)]) }))
      .filter((roof) => roof.curve.length > 1);
  }

  const attainable = ({ top }, line, intensity) => Math.min(top, line.bytes_per_s * intensity);

  function roofs({ data, frame, x, y, top, places }) {
    const [low, high] = x.domain();
    const [bottom] = y.domain();
    const lines = data.diagonals.map((line) => {
      const from = Math.max(low, bottom / line.bytes_per_s);
      const ridge = Math.min(high, line.ridge);
      const [x1, y1, x2, y2] = [x(from), y(from * line.bytes_per_s), x(ridge), y(ridge * line.bytes_per_s)];
      places.cross(x1, y1, x2, y2);
      return { line, x1, y1, x2, y2 };
    });
    const flat = data.roofs.map((roof) => {
      const first = d3.min(data.diagonals, (line) => roof.flops_per_s / line.bytes_per_s) || low;
      const height = y(roof.flops_per_s);
      return { roof, height, x1: x(Math.min(Math.max(low, first), high)) };
    });
    for (const { height, x1 } of flat) places.cross(x1, height, frame.right, height);
    return s(
      "g",
      { key: "roofs" },
      flat.map(({ roof, height, x1 }) => {
        const text = `${roof.name} ${quantity(roof.flops_per_s, "FLOP/s")}`;
        const span = frame.right - frame.left - textWidth(text) - 8;
        const at = places.find(
          text,
          [-5, 15].flatMap((rise) => d3.range(0, 1.01, 0.125).map((part) => ({ x: frame.left + 4 + (1 - part) * span, y: height + rise }))),
        );
        return s(
          "g",
          { key: `roof-${roof.name}`, class: "roof" },
          s("line", { x1, x2: frame.right, y1: height, y2: height }),
          at ? s("text", at, text) : null,
        );
      }),
      lines.map(({ line, x1, y1, x2, y2 }) => {
        const angle = Math.atan2(y1 - y2, x2 - x1);
        const whole = `${line.name} ${quantity(line.bytes_per_s, "B/s")}`;
        const along = (words) => places.along(words, { x: x1, y: y1 }, angle, Math.hypot(x2 - x1, y2 - y1));
        const fits = along(whole);
        const text = fits === null ? line.name : whole;
        const from = fits === null ? along(text) : fits;
        return s(
          "g",
          { key: `level-${line.name}`, class: line.used ? "level" : "level unused" },
          s("line", { x1, y1, x2, y2 }),
          line.ridge <= high
            ? s("circle", { class: "ridge", cx: x2, cy: y2, r: 3, "data-tip": `ridge of ${line.name}: ${ratio(line.ridge)} FLOP/B` })
            : null,
          from === null
            ? null
            : s("text", { transform: `translate(${x1},${y1}) rotate(${(-angle * 180) / Math.PI}) translate(${from},-5)` }, text),
        );
      }),
    );
  }

  function kernels({ data, x, y, top, levels, places }) {
    let count = 0;
    return s(
      "g",
      { key: "kernels" },
      data.kernels.map((kernel, number) => {
        const height = y(kernel.flops_per_s);
        const own = kernel.points.map((point) => ({ ...point, x: x(point.intensity) }));
        const right = d3.max(own, (point) => point.x);
        const left = d3.min(own, (point) => point.x);
        const label = String(number + 1);
        const at =
          own.length > 0 &&
          places.find(
            label,
            own.flatMap((point) => around(point.x, height, textWidth(label))),
          );
        return s(
          "g",
          { key: `kernel-${number}`, class: `series hue-${number % HUES}` },
          s("line", { class: "joint", x1: left, x2: right, y1: height, y2: height }),
          own.map((point) => {
            const line = data.diagonals.find((other) => other.name === point.level);
            const limit = line ? Math.min(top, line.bytes_per_s * point.intensity) : top;
            const tip = [
              `${number + 1}  ${kernel.name}, ${kernel.schedule}, ${kernel.dtype}`,
              `at ${point.level}: ${ratio(point.intensity)} FLOP/B`,
              `achieves ${quantity(kernel.flops_per_s, "FLOP/s")}`,
              `${percent(kernel.flops_per_s / limit)} of what ${point.level} and the roof allow`,
              `${seconds(kernel.latency_s)}, bound by ${kernel.bound}; lower bound ${seconds(kernel.lower_bound_s)}`,
            ].join("\n");
            return s("path", {
              key: point.level,
              d: marker(levels.indexOf(point.level)),
              transform: `translate(${point.x},${height})`,
              ...reached(count++, tip),
            });
          }),
          at ? s("text", at, label) : null,
        );
      }),
    );
  }

  const around = (x, y, wide) => [
    { x: x + 8, y: y - 6 },
    { x: x - 8 - wide, y: y - 6 },
    { x: x - wide / 2, y: y - 10 },
    { x: x - wide / 2, y: y + 19 },
    { x: x + 8, y: y + 14 },
    { x: x - 8 - wide, y: y + 14 },
    { x: x + 16, y: y + 4 },
    { x: x - 16 - wide, y: y + 4 },
    { x: x - wide / 2, y: y - 22 },
    { x: x - wide / 2, y: y + 31 },
  ];

  /** What the board's power limit leaves, dashed; the legend names it. */
  const power = (limited) =>
    s(
      "g",
      { key: "power" },
      limited.map(({ name, curve }) => s("path", { key: name, class: "limited", d: d3.line()(curve), "data-tip": name })),
    );

  /** Measured rates are hollow, at the outermost level, with an arrow from what was predicted and their ratio. */
  function measured({ data, x, y, levels, places }) {
    return s(
      "g",
      { key: "measured" },
      data.kernels.map((kernel, number) => {
        if (!kernel.measured || !kernel.points.length) return null;
        const outer = d3.greatest(kernel.points, (point) => point.intensity);
        const [at, from, to] = [x(outer.intensity), y(kernel.flops_per_s), y(kernel.measured.flops_per_s)];
        const down = to > from ? 1 : -1;
        const text = `x ${ratio(kernel.measured.ratio)}`;
        const place = places.find(text, around(at, to, textWidth(text)));
        const rate = `${quantity(kernel.measured.flops_per_s, "FLOP/s")}, ${ratio(kernel.measured.ratio)} x the predicted rate`;
        const tip = `${number + 1}  ${kernel.name}, measured\n${rate}`;
        return s(
          "g",
          { key: `measured-${number}`, class: `series hollow hue-${number % HUES}` },
          Math.abs(to - from) > 14
            ? s("path", { class: "joint", d: `M${at},${from} V${to - down * 7} m-3,${-down * 4} l3,${down * 4} l3,${-down * 4}` })
            : null,
          s("path", { d: marker(levels.indexOf(outer.level)), transform: `translate(${at},${to})`, ...reached(1, tip) }),
          place ? s("text", place, text) : null,
        );
      }),
    );
  }

  function legend({ data, levels, points }) {
    const used = levels.filter((level) => points.some((point) => point.level === level));
    return h(
      "div",
      { class: "legends" },
      h(
        "ul",
        { class: "legend" },
        (data.power || []).map((roof) =>
          h("li", { key: `power-${roof.name}` }, h("span", { class: "swatch dash" }), `within ${roof.name}`),
        ),
        data.kernels.some((kernel) => kernel.measured) ? h("li", { key: "hollow" }, "hollow: measured") : null,
        used.map((level) =>
          h(
            "li",
            { key: level },
            s(
              "svg",
              { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" },
              s("path", { class: "sign", d: marker(levels.indexOf(level)) }),
            ),
            level,
          ),
        ),
      ),
      h(
        "ol",
        { class: "legend" },
        data.kernels.map((kernel, number) =>
          h(
            "li",
            { key: String(number) },
            h("span", { class: `swatch hue-${number % HUES}` }),
            h("b", {}, `${number + 1} `),
            `${kernel.name}, ${kernel.schedule}, ${kernel.dtype}`,
          ),
        ),
      ),
    );
  }

  function tables(parts) {
    const { data } = parts;
    const roofRows = [
      ...data.roofs.map((roof) => [roof.name, { value: roof.flops_per_s, unit: "FLOP/s" }, null]),
      ...data.diagonals.map((line) => [line.name, { value: line.bytes_per_s, unit: "B/s" }, line.ridge]),
    ];
    const rows = parts.points.map((point) => {
      const line = data.diagonals.find((other) => other.name === point.level);
      return [
        point.kernel.name,
        point.level,
        point.intensity,
        point.kernel.flops_per_s,
        line ? attainable(parts, line, point.intensity) : null,
      ];
    });
    return [
      attnsim.table({
        title: "Roofs",
        columns: [
          { label: "roof", unit: "text" },
          { label: "rate", unit: "ratio" },
          { label: "ridge, FLOP/B", unit: "ratio" },
        ],
        rows: roofRows,
      }),
      attnsim.table({
        title: "Points",
        columns: [
          { label: "kernel", unit: "text" },
          { label: "level", unit: "text" },
          { label: "FLOP/B", unit: "ratio" },
          { label: "achieved", unit: "FLOP/s" },
          { label: "attainable", unit: "FLOP/s" },
        ],
        rows,
      }),
    ];
  }

  attnsim.roofline = roofline;
})();
