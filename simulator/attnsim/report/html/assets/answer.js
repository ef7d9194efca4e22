"use strict";
/** All parts of one answer. */
(() => {
  const { h, patch } = attnsim.dom;
  const { seconds } = attnsim.format;

  const part = (key, title, ...content) => h("section", { key, class: "part" }, h("h3", {}, title), content);
  const note = (text) => (text ? h("p", { class: "note", key: "note" }, text) : null);

  /** The question: workload, machine and schedule with their digests, and the words that repeat it. */
  function inputs(view) {
    const { name, title, processors } = view.arch;
    const machine = `${title && title !== name ? `${name}, ${title}` : name}: ${processors}`;
    const rows = [
      ["workload", view.workload.name, view.workload.sha256],
      ["machine", machine, view.arch.sha256],
      ["schedule", view.schedule, ""],
    ];
    const calls = [
      ["command", view.command],
      ["Python", view.python],
    ].filter(([, text]) => text);
    return h(
      "div",
      { class: "inputs", key: "inputs" },
      h(
        "dl",
        {},
        rows.map(([label, text, digest]) =>
          h(
            "div",
            { key: label },
            h("dt", {}, label),
            h("dd", {}, text, digest ? h("code", { class: "digest", title: `SHA-256 ${digest}` }, digest.slice(0, 12)) : null),
          ),
        ),
      ),
      calls.map(([label, text]) =>
        h(
          "div",
          { class: "call", key: label },
          h("span", { class: "label" }, label),
          h("pre", { class: "scroll", "aria-label": label }, h("code", {}, text)),
        ),
      ),
    );
  }

  /** The parts of one entry of `results`. */
  function result(data, width, between = null) {
    const half = width > 832 ? (width - 32) / 2 : width;
    return [
      attnsim.facts(data.facts),
      between,
      h(
        "div",
        { class: "grid", key: "grid" },
        data.time.items.length ? part("time", data.time.title, attnsim.bars(data.time), note(data.time.note)) : null,
        h(
          "div",
          { key: "amounts" },
          data.bytes.length
            ? part(
                "bytes",
                data.bytes.some((level) => level.tensors.length) ? "Bytes by level and tensor" : "Bytes by level",
                attnsim.traffic(data.bytes, half),
              )
            : null,
          data.flops_by_unit.items.length ? part("flops", data.flops_by_unit.title, attnsim.bars(data.flops_by_unit)) : null,
          data.memory && data.memory.items.length ? part("memory", data.memory.title, attnsim.bars(data.memory)) : null,
        ),
      ),
      h(
        "div",
        { class: "grid", key: "pictures" },
        data.graph ? part("cascade", `Cascade ${data.graph.name}`, note(data.graph.title), attnsim.cascade(data.graph, half)) : null,
        h(
          "div",
          { key: "beside" },
          data.picture ? part("mask", "Mask", attnsim.mask(data.picture, half)) : null,
          data.graph ? part("passes", "Passes", attnsim.passes(data.graph.passes)) : null,
        ),
      ),
      h(
        "div",
        { class: "tables", key: "tables" },
        data.tables.map((one) => listed(one)),
        data.graph ? listed(data.graph.footprint) : null,
      ),
    ];
  }

  const listed = (one) =>
    h("section", { key: `table-${one.title}`, class: "part" }, h("h3", {}, one.title), attnsim.table(one), note(one.note));

  function accuracy(parts) {
    return part(
      "accuracy",
      "How accurate is this?",
      parts.map((one) =>
        h(
          "div",
          { key: one.name },
          h("p", {}, one.text),
          one.table ? h("details", { class: "data" }, h("summary", {}, one.table.title), attnsim.table(one.table)) : null,
        ),
      ),
    );
  }

  function rooflines(view, width) {
    const { charts, refused } = view.roofline;
    return part(
      "roofline",
      "Roofline",
      charts.map((chart) => attnsim.roofline(chart, width)),
      refused.map((text) => h("p", { class: "note" }, text)),
    );
  }

  /** The nodes of an answer; the report and the explorer put them where they like. */
  function answer(view, width) {
    const [first, ...others] = view.results;
    return [
      inputs(view),
      h("div", { key: "first", class: "result" }, result(first, width, view.accuracy ? accuracy(view.accuracy) : null)),
      view.roofline ? rooflines(view, width) : null,
      view.cost && (view.cost.charts.length || view.cost.missing.length)
        ? part("cost", "Against context and batch", attnsim.curves(view.cost, width))
        : null,
      others.map((one, number) =>
        h(
          "details",
          { key: `step-${number}`, class: "step" },
          h("summary", {}, h("b", {}, one.name), ` ${seconds(one.latency_s)}, bound by ${one.bound}`),
          result(one, width),
        ),
      ),
      part(
        "assumptions",
        "Assumptions",
        h(
          "ul",
          { class: "assumptions" },
          view.assumptions.map((text) => h("li", {}, text)),
        ),
      ),
    ];
  }

  /** Boxes that scroll sideways are reached by keyboard; those that hold all they show are no stop of the Tab key. */
  function scrollers(element) {
    for (const box of element.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth + 1) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  }

  /** Call `redraw` whenever the width of an element changes or the colour scheme does, and open every <details> for the printer. */
  function watched(element, redraw) {
    if (element.__watched) return;
    element.__watched = true;
    let width = attnsim.room(element);
    new ResizeObserver(() => {
      if (attnsim.room(element) === width) return;
      width = attnsim.room(element);
      requestAnimationFrame(redraw);
    }).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => attnsim.repaint(element));
    let opened = [];
    window.addEventListener("beforeprint", () => {
      opened = [...element.querySelectorAll("details:not([open])")];
      for (const details of opened) details.open = true;
      attnsim.repaint(element);
    });
    window.addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
    });
  }

  /** Draw, or redraw in place, one answer in an element. */
  function renderAnswer(element, view) {
    element.classList.add("attnsim");
    element.__view = view;
    attnsim.tips(element);
    const draw = () => {
      patch(element, answer(element.__view, attnsim.room(element)));
      scrollers(element);
    };
    watched(element, draw);
    draw();
  }

  Object.assign(attnsim, { answer, renderAnswer, scrollers, watched });
})();
