"use strict";
/** The roofline of one machine: every kernel once per memory level, under the roofs of its precisions. */
(() => {
  const { h, s } = attnsim.dom;
  const { quantity, ratio, percent, seconds } = attnsim.format;
  const { HUES, logScale, logTicks, besides, axes, Places, reached, marker, textWidth } = attnsim.chart;

  /** The figure with its legend and its data. data: a chart of rooflineview.py; width: pixels. */
  function roofline(data, width) {
    const size = { width: width > 1040 ? 740 : Math.min(width, 860), height: 0 };
    size.height = Math.max(300, Math.min(440, size.width * 0.56));
    const frame = { left: 0, right: size.width - 14, top: 26, bottom: size.height - 42 };
    const points = data.kernels.flatMap((kernel, number) => kernel.points.map((point) => ({ kernel, number, ...point })));
    const top = d3.max(data.roofs, (roof) => roof.flops_per_s) || 1;
    const measured = data.measured || [];
    const xs = [...data.diagonals.map((line) => line.ridge), ...points.map((point) => point.intensity), ...measured.map((point) => point.intensity)];
    const ys = [top, ...data.kernels.map((kernel) => kernel.flops_per_s), ...measured.map((point) => point.flops_per_s)];
    const y = logScale([...ys, d3.min(ys) / 4], [frame.bottom, frame.top], 0.12);
    const yTicks = logTicks(y, 24);
    const yText = (tick) => quantity(tick, "FLOP/s").replace(/\.0+(?= )/, "");
    frame.left = besides(yTicks, yText);
    const x = logScale(xs.length ? xs : [1, 100], [frame.left, frame.right], 0.45);
    const levels = [...new Set([...data.diagonals.map((line) => line.name), ...points.map((point) => point.level)])];
    const places = new Places(frame);
    for (const point of points) places.block(x(point.intensity) - 7, y(point.kernel.flops_per_s) - 7, 14, 14);
    const parts = { data, frame, x, y, top, levels, places, points, measured };
    return h("figure", { class: "chart roofline", key: `roofline-${data.arch}` },
      h("div", { class: "scroll" },
        s("svg", { width: size.width, height: size.height, viewBox: `0 0 ${size.width} ${size.height}`, role: "group", "aria-label": `roofline of ${data.title}; arrow keys go from point to point` },
          axes(frame,
            { scale: x, ticks: logTicks(x, 46), text: (tick) => ratio(tick).replace(/\.0+$/, ""), title: "arithmetic intensity, FLOP/B" },
            { scale: y, ticks: yTicks, text: yText, title: "achieved" }),
          roofs(parts),
          kernels(parts),
          measuredPoints(parts))),
      h("div", { class: "beside" },
        legend(parts),
        h("details", { class: "data" }, h("summary", {}, "Roofs and ridges, and the points as a table"), tables(parts))));
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
    return s("g", { key: "roofs" },
      flat.map(({ roof, height, x1 }) => {
        const text = `${roof.name} ${quantity(roof.flops_per_s, "FLOP/s")}`;
        const span = frame.right - frame.left - textWidth(text) - 8;
        const at = places.find(text, [-5, 15].flatMap((rise) => d3.range(0, 1.01, 0.125).map((part) => ({ x: frame.left + 4 + (1 - part) * span, y: height + rise }))));
        return s("g", { key: `roof-${roof.name}`, class: "roof" },
          s("line", { x1, x2: frame.right, y1: height, y2: height, "stroke-dasharray": roof.dashed ? "7 4" : null }),
          at ? s("text", at, text) : null);
      }),
      lines.map(({ line, x1, y1, x2, y2 }) => {
        const angle = Math.atan2(y1 - y2, x2 - x1);
        const whole = `${line.name} ${quantity(line.bytes_per_s, "B/s")}`;
        const along = (words) => places.along(words, { x: x1, y: y1 }, angle, Math.hypot(x2 - x1, y2 - y1));
        const fits = along(whole);
        const text = fits === null ? line.name : whole;
        const from = fits === null ? along(text) : fits;
        return s("g", { key: `level-${line.name}`, class: line.used ? "level" : "level unused" },
          s("line", { x1, y1, x2, y2 }),
          line.ridge <= high ? s("circle", { class: "ridge", cx: x2, cy: y2, r: 3, "data-tip": `ridge of ${line.name}: ${ratio(line.ridge)} FLOP/B` }) : null,
          from === null ? null : s("text", { transform: `translate(${x1},${y1}) rotate(${(-angle * 180) / Math.PI}) translate(${from},-5)` }, text));
      }));
  }

  function kernels({ data, x, y, top, levels, places }) {
    let count = 0;
    return s("g", { key: "kernels" }, data.kernels.map((kernel, number) => {
      const height = y(kernel.flops_per_s);
      const own = kernel.points.map((point) => ({ ...point, x: x(point.intensity) }));
      const right = d3.max(own, (point) => point.x);
      const left = d3.min(own, (point) => point.x);
      const label = String(number + 1);
      const at = own.length > 0 && places.find(label, own.flatMap((point) => around(point.x, height, textWidth(label))));
      return s("g", { key: `kernel-${number}`, class: `series hue-${number % HUES}` },
        s("line", { class: "joint", x1: left, x2: right, y1: height, y2: height }),
        own.map((point) => {
          const line = data.diagonals.find((other) => other.name === point.level);
          const limit = line ? Math.min(top, line.bytes_per_s * point.intensity) : top;
          const tip = [
            `${number + 1}  ${kernel.name}, ${kernel.schedule}, ${kernel.dtype}`,
            `at ${point.level}: ${ratio(point.intensity)} FLOP/B`,
            `achieves ${quantity(kernel.flops_per_s, "FLOP/s")}, ${percent(kernel.flops_per_s / limit)} of what ${point.level} and the roof allow`,
            `${seconds(kernel.latency_s)}, bound by ${kernel.bound}; lower bound ${seconds(kernel.lower_bound_s)}`,
          ].join("\n");
          return s("path", { key: point.level, d: marker(levels.indexOf(point.level)), transform: `translate(${point.x},${height})`, ...reached(count++, tip) });
        }),
        at ? s("text", at, label) : null);
    }));
  }

  const around = (x, y, wide) => [
    { x: x + 8, y: y - 6 }, { x: x - 8 - wide, y: y - 6 }, { x: x - wide / 2, y: y - 10 }, { x: x - wide / 2, y: y + 19 },
    { x: x + 8, y: y + 14 }, { x: x - 8 - wide, y: y + 14 }, { x: x + 16, y: y + 4 }, { x: x - 16 - wide, y: y + 4 },
    { x: x - wide / 2, y: y - 22 }, { x: x - wide / 2, y: y + 31 },
  ];

  /** Measured points are hollow, with a line to what was predicted. */
  function measuredPoints({ data, x, y, measured, levels }) {
    return s("g", { key: "measured" }, measured.map((point, number) => {
      const kernel = data.kernels.findIndex((other) => other.name === point.name);
      const predicted = kernel < 0 ? null : data.kernels[kernel].flops_per_s;
      const tip = `${point.name}, measured\n${ratio(point.intensity)} FLOP/B, ${quantity(point.flops_per_s, "FLOP/s")}${predicted ? `\n${ratio(point.flops_per_s / predicted)} x the prediction` : ""}`;
      return s("g", { key: `measured-${number}`, class: `series hollow hue-${(kernel < 0 ? number : kernel) % HUES}` },
        predicted ? s("line", { class: "joint", x1: x(point.intensity), x2: x(point.intensity), y1: y(point.flops_per_s), y2: y(predicted) }) : null,
        s("path", { d: marker(Math.max(0, levels.indexOf(point.level))), transform: `translate(${x(point.intensity)},${y(point.flops_per_s)})`, ...reached(1, tip) }));
    }));
  }

  function legend({ data, levels, points }) {
    const used = levels.filter((level) => points.some((point) => point.level === level));
    return h("div", { class: "legends" },
      h("ul", { class: "legend" }, used.map((level) => h("li", { key: level },
        s("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, s("path", { class: "sign", d: marker(levels.indexOf(level)) })), level))),
      h("ol", { class: "legend" }, data.kernels.map((kernel, number) => h("li", { key: String(number) },
        h("span", { class: `swatch hue-${number % HUES}` }), h("b", {}, `${number + 1} `), `${kernel.name}, ${kernel.schedule}, ${kernel.dtype}`))));
  }

  function tables(parts) {
    const { data } = parts;
    const roofRows = [
      ...data.roofs.map((roof) => [`${roof.name}${roof.dashed ? " (dashed)" : ""}`, { value: roof.flops_per_s, unit: "FLOP/s" }, null]),
      ...data.diagonals.map((line) => [line.name, { value: line.bytes_per_s, unit: "B/s" }, line.ridge]),
    ];
    const rows = parts.points.map((point) => {
      const line = data.diagonals.find((other) => other.name === point.level);
      return [point.kernel.name, point.level, point.intensity, point.kernel.flops_per_s, line ? attainable(parts, line, point.intensity) : null];
    });
    return [
      attnsim.table({ title: "Roofs", columns: [{ label: "roof", unit: "text" }, { label: "rate", unit: "ratio" }, { label: "ridge, FLOP/B", unit: "ratio" }], rows: roofRows }),
      attnsim.table({ title: "Points", columns: [{ label: "kernel", unit: "text" }, { label: "level", unit: "text" }, { label: "FLOP/B", unit: "ratio" }, { label: "achieved", unit: "FLOP/s" }, { label: "attainable", unit: "FLOP/s" }], rows }),
    ];
  }

  attnsim.roofline = roofline;
})();
