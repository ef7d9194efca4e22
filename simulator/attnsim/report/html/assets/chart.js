"use strict";
/** What the charts share: logarithmic axes, labels that do not overlap, and points that are reached by keyboard. */
(() => {
  const { s } = attnsim.dom;
  const HUES = 7;
  const SYMBOLS = ["symbolCircle", "symbolSquare2", "symbolTriangle", "symbolDiamond2", "symbolTriangle2", "symbolStar", "symbolCross"];
  const DASHES = [null, "6 3", "2 3", "8 3 2 3"];
  const FONT = 11;
  let pen = null;

  /** Pixels that a text of a chart takes. */
  function textWidth(text) {
    pen = pen || document.createElement("canvas").getContext("2d");
    pen.font = `${FONT}px system-ui, sans-serif`;
    return pen.measureText(text).width + 2;
  }

  /** Pixels across that the content of an element has. */
  function room(element) {
    const style = getComputedStyle(element);
    return Math.max(240, Math.floor(element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)));
  }

  /** A logarithmic scale over values, widened by `margin` decades on both sides and to `least` decades in all. */
  function logScale(values, range, margin = 0.15, least = 0.3) {
    const low = Math.log10(Math.min(...values)) - margin;
    const high = Math.log10(Math.max(...values)) + margin;
    const more = Math.max(0, least - (high - low)) / 2;
    return d3.scaleLog([10 ** (low - more), 10 ** (high + more)], range);
  }

  /** Ticks of a logarithmic scale: decades, with 2 and 5 between where there are few; no more than fit with `gap` pixels between. */
  function logTicks(scale, gap) {
    const [low, high] = scale.domain();
    const decades = d3.range(Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9) + 1);
    const fine = decades.length < 3 ? [1, 2, 5] : [1];
    const first = Math.floor(Math.log10(low));
    const all = d3.range(first, Math.ceil(Math.log10(high)) + 1).flatMap((power) => fine.map((digit) => digit * 10 ** power));
    const inside = all.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    const kept = [];
    for (const tick of inside) {
      if (!kept.length || Math.abs(scale(tick) - scale(kept[kept.length - 1])) >= gap) kept.push(tick);
    }
    return kept;
  }

  /** Pixels that the ticks of a vertical axis take beside it. */
  const besides = (ticks, text) => Math.ceil(Math.max(...ticks.map((tick) => textWidth(text(tick))), 20)) + 10;

  /** Grid, ticks and titles of both axes. frame: {left, right, top, bottom}; x, y: {scale, ticks, text(tick), title}. */
  function axes(frame, x, y) {
    return s(
      "g",
      { class: "axes", key: "axes", "aria-hidden": "true" },
      x.ticks.map((tick) =>
        s(
          "g",
          { key: `x${tick}` },
          s("line", { x1: x.scale(tick), x2: x.scale(tick), y1: frame.top, y2: frame.bottom }),
          s("text", { x: x.scale(tick), y: frame.bottom + 15, "text-anchor": "middle" }, x.text(tick)),
        ),
      ),
      y.ticks.map((tick) =>
        s(
          "g",
          { key: `y${tick}` },
          s("line", { x1: frame.left, x2: frame.right, y1: y.scale(tick), y2: y.scale(tick) }),
          s("text", { x: frame.left - 6, y: y.scale(tick) + 4, "text-anchor": "end" }, y.text(tick)),
        ),
      ),
      s("line", { class: "edge", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
      s("line", { class: "edge", x1: frame.left, x2: frame.left, y1: frame.top, y2: frame.bottom }),
      s("text", { class: "title", x: (frame.left + frame.right) / 2, y: frame.bottom + 32, "text-anchor": "middle" }, x.title),
      y.title ? s("text", { class: "title", x: 2, y: frame.top - 8 }, y.title) : null,
    );
  }

  /** Places for labels: each takes the first of its candidate boxes that is free, or none. */
  class Places {
    constructor(frame) {
      this.frame = frame;
      this.taken = [];
      this.lines = [];
    }

    /** Keep a line free of labels: from (x1, y1) to (x2, y2). */
    cross(x1, y1, x2, y2) {
      this.lines.push([x1, y1, x2, y2]);
    }

    /** Keep a box free of labels. */
    block(x, y, width, height) {
      this.taken.push({ x, y, width, height });
    }

    /** The first candidate {x, y} (left end and baseline) where `text` is free; null where nothing is. */
    find(text, candidates) {
      const width = textWidth(text);
      for (const at of candidates) {
        const box = { x: at.x - 1, y: at.y - FONT, width: width + 2, height: FONT + 4 };
        if (
          box.x < this.frame.left ||
          box.x + box.width > this.frame.right + 1 ||
          box.y < this.frame.top ||
          box.y + box.height > this.frame.bottom
        )
          continue;
        if (this.taken.some((other) => meet(box, other)) || this.lines.some((line) => crosses(box, line))) continue;
        this.taken.push(box);
        return at;
      }
      return null;
    }

    /** As `find`, of a text along a rising line through `foot`, `angle` radians up: how far from the foot it begins; null for nowhere. */
    along(text, foot, angle, length) {
      const width = textWidth(text);
      for (let from = 8; from + width < length; from += 10) {
        const boxes = d3.range(0, width, 7).map((step) => {
          const x = foot.x + (from + step) * Math.cos(angle) - (FONT / 2 + 4) * Math.sin(angle);
          const y = foot.y - (from + step) * Math.sin(angle) - (FONT / 2 + 4) * Math.cos(angle);
          return { x: x - 5, y: y - 5, width: 10, height: 10 };
        });
        const inside = boxes.every((box) => box.x >= this.frame.left && box.y >= this.frame.top && box.x + 10 <= this.frame.right);
        const free = (box) => !this.taken.some((other) => meet(box, other)) && !this.lines.some((line) => crosses(box, line));
        if (!inside || !boxes.every(free)) continue;
        this.taken.push(...boxes);
        return from;
      }
      return null;
    }
  }

  /** Whether a line runs through a box (Liang and Barsky). */
  function crosses(box, [x1, y1, x2, y2]) {
    let from = 0;
    let to = 1;
    for (const [p, q] of [
      [x1 - x2, x1 - box.x],
      [x2 - x1, box.x + box.width - x1],
      [y1 - y2, y1 - box.y],
      [y2 - y1, box.y + box.height - y1],
    ]) {
      if (p === 0 && q < 0) return false;
      if (p < 0) from = Math.max(from, q / p);
      if (p > 0) to = Math.min(to, q / p);
    }
    return from <= to;
  }

  const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

  /** Attributes of a point that hover and keyboard reach: one stop of the Tab key a chart, arrow keys go on from there. */
  function reached(number, tip) {
    return {
      class: "point",
      "data-point": true,
      "data-tip": tip,
      "aria-label": tip,
      role: "img",
      tabindex: number === 0 ? "0" : "-1",
      on: { keydown: walk },
    };
  }

  function walk(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const points = [...event.currentTarget.ownerSVGElement.querySelectorAll("[data-point]")];
    const next = points[(points.indexOf(event.currentTarget) + step + points.length) % points.length];
    next.focus();
    event.preventDefault();
  }

  /** The outline of marker `number` with an area in square pixels. */
  const marker = (number, area = 64) => d3.symbol(d3[SYMBOLS[number % SYMBOLS.length]], area)();

  /** A drawing whose parts the keyboard reaches; label: what it shows, and how to go about in it. */
  function drawing(width, height, label, ...children) {
    return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label }, children);
  }

  attnsim.room = room;
  attnsim.chart = { HUES, DASHES, FONT, textWidth, logScale, logTicks, besides, axes, Places, reached, marker, drawing };
})();
