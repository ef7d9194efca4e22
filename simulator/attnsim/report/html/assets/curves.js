"use strict";
/** Cost against context and batch: small log-log charts, the point asked about marked. */
(() => {
  const { h, s } = attnsim.dom;
  const { value, count } = attnsim.format;
  const { HUES, DASHES, logScale, logTicks, besides, axes, reached, marker, textWidth, drawing } = attnsim.chart;
  /** 8192 as "8k", as ranges are written on the command line. */
  const short = (amount) =>
    amount >= 2 ** 20 && amount % 2 ** 20 === 0
      ? `${amount / 2 ** 20}M`
      : amount >= 1024 && amount % 1024 === 0
        ? `${amount / 1024}k`
        : count(amount);
  const tick = (amount, unit) => value(amount, unit).replace(/\.0+(?= |$)/, "");

  /** data: the charts of costview.py; width: pixels there are. */
  function curves(data, width) {
    const columns = width > 1080 ? 4 : width > 600 ? 2 : 1;
    const each = Math.min(460, Math.floor((width - (columns - 1) * 24) / columns));
    return [
      h(
        "div",
        { class: "panels", key: "curves" },
        data.charts.map((chart) => one(chart, Math.max(260, each))),
      ),
      data.missing.map((text) => h("p", { class: "note", key: text }, text)),
    ];
  }

  /** Of the points asked about, those whose texts do not run into each other; the own one first of all. */
  function spaced(values, scale, own) {
    const kept = [];
    for (const amount of [own, ...values]) {
      if (!kept.some((other) => Math.abs(scale(other) - scale(amount)) < (textWidth(short(other)) + textWidth(short(amount))) / 2 + 6))
        kept.push(amount);
    }
    return kept;
  }

  function one(chart, width) {
    const height = 210;
    const frame = { left: 0, right: width - 12, top: 14, bottom: height - 40 };
    const all = chart.lines.flatMap((line) => line.points);
    const heights = all.map(([, at]) => at);
    const y = chart.from_zero
      ? d3.scaleLinear([0, d3.max(heights) * 1.12], [frame.bottom, frame.top])
      : logScale(heights, [frame.bottom, frame.top], 0.08, 1);
    const yTicks = chart.from_zero ? y.ticks(5).slice(1) : logTicks(y, 22);
    const yText = (amount) => tick(amount, chart.unit);
    frame.left = besides(yTicks, yText);
    const x = logScale(
      all.map(([at]) => at),
      [frame.left, frame.right],
      0.08,
    );
    const xTicks = spaced(d3.sort(new Set(all.map(([at]) => at))), x, chart.own);
    let number = 0;
    const drawn = chart.lines.map((line, index) =>
      s(
        "g",
        { key: line.name, class: `series hue-${index % HUES}` },
        s("path", {
          class: "curve",
          d: d3
            .line()
            .x(([at]) => x(at))
            .y(([, at]) => y(at))(line.points),
          "stroke-dasharray": DASHES[index % DASHES.length],
        }),
        line.points.map(([at, amount]) =>
          s("path", {
            key: String(at),
            d: marker(index, at === chart.own ? 90 : 36),
            transform: `translate(${x(at)},${y(amount)})`,
            ...reached(
              number++,
              `${line.name}: ${value(amount, chart.unit)}\n${chart.x}: ${count(at)}${at === chart.own ? " (as asked)" : ""}`,
            ),
          }),
        ),
      ),
    );
    return h(
      "figure",
      { class: "chart curves", key: chart.title, vars: { width: `${width}px` } },
      h("figcaption", {}, chart.title),
      drawing(
        width,
        height,
        `${chart.title}; arrow keys go from point to point`,
        axes(frame, { scale: x, ticks: xTicks, text: short, title: chart.x }, { scale: y, ticks: yTicks, text: yText, title: "" }),
        s("line", { key: "own", class: "own", x1: x(chart.own), x2: x(chart.own), y1: frame.top, y2: frame.bottom }),
        drawn,
      ),
      h(
        "ul",
        { class: "legend" },
        chart.lines.map((line, index) =>
          h(
            "li",
            { key: line.name },
            s(
              "svg",
              { width: 26, height: 12, viewBox: "-13 -6 26 12", "aria-hidden": "true", class: `series hue-${index % HUES}` },
              s("line", { class: "curve", x1: -13, x2: 13, y1: 0, y2: 0, "stroke-dasharray": DASHES[index % DASHES.length] }),
              s("path", { class: "point", d: marker(index, 36) }),
            ),
            line.name,
          ),
        ),
        h("li", { key: "own" }, h("span", { class: "swatch dash" }), "as asked"),
      ),
    );
  }

  attnsim.curves = curves;
})();
