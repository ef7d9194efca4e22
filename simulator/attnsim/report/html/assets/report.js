"use strict";
/** The report: a table of all results, then a section an answer. */
(() => {
  const { h, patch } = attnsim.dom;

  const COLUMNS = [
    ["result", "text", (one) => one.name],
    ["machine", "text", (one, view) => view.arch.name],
    ["schedule", "text", (one) => one.schedule],
    ["latency", "s", (one) => one.latency_s],
    ["lower bound", "s", (one) => one.lower_bound_s],
    ["headroom", "ratio", (one) => one.headroom],
    ["bound", "text", (one) => one.bound],
    ["FLOPs", "FLOP", (one) => one.flops],
    ["achieved", "FLOP/s", (one) => one.flops / one.latency_s],
    ["energy", "J", (one) => one.energy_j],
    ["USD/Mtok", "ratio", (one) => one.usd_per_mtok],
  ];

  /** Every result as a row; columns that nobody fills are left out. */
  function results(views) {
    const entries = views.flatMap((view, number) => view.results.map((one) => ({ one, view, number })));
    const filled = COLUMNS.filter(([, , of]) => entries.some(({ one, view }) => of(one, view) !== null && of(one, view) !== undefined));
    return {
      title: "Results",
      columns: filled.map(([label, unit]) => ({ label, unit })),
      rows: entries.map(({ one, view }) => filled.map(([, , of]) => of(one, view))),
      link: (row) => `#answer-${entries[row].number + 1}`,
    };
  }

  /** Draw the whole report into an element. data: {title, attnsim, answers}. */
  function renderReport(element, data) {
    element.classList.add("attnsim");
    attnsim.tips(element);
    const state = (element.__state = element.__state || {});
    const redraw = () => draw(element, data, state, redraw);
    redraw();
  }

  function draw(element, data, state, redraw) {
    const table = results(data.answers);
    const width = element.clientWidth;
    patch(element, [
      h("section", { id: "results", key: "results" },
        h("h2", {}, "Results"),
        attnsim.filter(state, redraw, "Filter"),
        attnsim.table(table, { state, redraw, link: table.link })),
      data.answers.map((view, number) =>
        h("section", { id: `answer-${number + 1}`, key: `answer-${number}`, class: "answer" },
          h("h2", {}, view.title),
          attnsim.answer(view, { width, redraw }))),
    ]);
  }

  attnsim.renderReport = renderReport;
})();
