"use strict";
/** Cost against context and batch: small log-log charts, the point asked about marked. */
(() => {
  const { h, s } = attnsim.dom;
  const { value, count } = attnsim.format;
  const { HUES, DASHES, logScale, logTicks, axes, reached, marker } = attnsim.chart;
  const short = (amount) => (amount >= 1e6 ? `${+(amount / 1e6).toPrecision(3)}M` : amount >= 1e4 ? `${+(amount / 1e3).toPrecision(3)}k` : count(amount));
  const tick = (amount, unit) => value(amount, unit).replace(/\.0+(?= |$)/, "");

  /** data: the charts of costview.py; width: pixels there are. */
  function curves(data, width) {
    const columns = width > 1100 ? 3 : width > 640 ? 2 : 1;
    const each = Math.min(460, Math.floor((width - (columns - 1) * 24) / columns));
    return [
      h("div", { class: "panels", key: "curves" }, data.charts.map((chart) => one(chart, Math.max(260, each)))),
      data.missing.map((text) => h("p", { class: "note", key: text }, text)),
    ];
  }

  function one(chart, width) {
    const height = 210;
    const frame = { left: 66, right: width - 12, top: 14, bottom: height - 40 };
    const all = chart.lines.flatMap((line) => line.points);
    const x = logScale(all.map(([at]) => at), [frame.left, frame.right], 0.08);
    const y = logScale(all.map(([, at]) => at), [frame.bottom, frame.top], 0.08);
    let number = 0;
    const drawn = chart.lines.map((line, index) => s("g", { key: line.name, class: `series hue-${index % HUES}` },
      s("path", { class: "curve", d: d3.line().x(([at]) => x(at)).y(([, at]) => y(at))(line.points), "stroke-dasharray": DASHES[index % DASHES.length] }),
      line.points.map(([at, amount]) => s("path", {
        key: String(at), d: marker(index, at === chart.own ? 90 : 36), transform: `translate(${x(at)},${y(amount)})`,
        ...reached(number++, `${line.name}: ${value(amount, chart.unit)}\n${chart.x}: ${count(at)}${at === chart.own ? " (as asked)" : ""}`),
      }))));
    return h("figure", { class: "chart curves", key: chart.title },
      h("figcaption", {}, chart.title),
      s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${chart.title}; arrow keys go from point to point` },
        axes(frame, { scale: x, ticks: logTicks(x, 44), text: short, title: chart.x }, { scale: y, ticks: logTicks(y, 22), text: (amount) => tick(amount, chart.unit), title: "" }),
        s("line", { key: "own", class: "own", x1: x(chart.own), x2: x(chart.own), y1: frame.top, y2: frame.bottom }),
        drawn),
      h("ul", { class: "legend" },
        chart.lines.map((line, index) => h("li", { key: line.name },
          s("svg", { width: 26, height: 12, viewBox: "-13 -6 26 12", "aria-hidden": "true", class: `series hue-${index % HUES}` },
            s("line", { class: "curve", x1: -13, x2: 13, y1: 0, y2: 0, "stroke-dasharray": DASHES[index % DASHES.length] }),
            s("path", { class: "point", d: marker(index, 36) })), line.name)),
        h("li", { key: "own" }, h("span", { class: "swatch dash" }), "as asked")));
  }

  attnsim.curves = curves;
})();
