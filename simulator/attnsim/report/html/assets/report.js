"use strict";
/** The report: contents, a table of all results, a roofline a machine, then a section an answer. */
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
    ["achieved", "FLOP/s", (one) => one.flops / one.latency_s],
    ["energy", "J", (one) => one.energy_j],
    ["USD/Mtok", "ratio", (one) => one.usd_per_mtok],
  ];
  const missing = (cell) => cell === null || cell === undefined;

  /** Every result as a row; columns that nobody fills are left out. */
  function results(views) {
    const entries = views.flatMap((view, number) => view.results.map((one) => ({ one, view, number })));
    const filled = COLUMNS.filter(([, , of]) => entries.some(({ one, view }) => !missing(of(one, view))));
    return {
      title: "Results",
      columns: filled.map(([label, unit]) => ({ label, unit })),
      rows: entries.map(({ one, view }) => filled.map(([, , of]) => (missing(of(one, view)) ? null : of(one, view)))),
      link: (row) => `#answer-${entries[row].number + 1}`,
    };
  }

  /** Draw the whole report into an element. data: {title, attnsim, answers, rooflines, refused}. */
  function renderReport(element, data) {
    element.classList.add("attnsim");
    attnsim.tips(element);
    const state = {};
    const redraw = () => draw(element, data, state, redraw);
    redraw();
    attnsim.watched(element, redraw);
    // A link with a fragment was followed before its target stood here.
    if (location.hash) {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (target) target.scrollIntoView();
    }
  }

  function draw(element, data, state, redraw) {
    const table = results(data.answers);
    if (!element.querySelector(".pages")) patch(element, [h("nav", { key: "contents", class: "contents" }), h("div", { key: "pages", class: "pages" })]);
    const width = attnsim.room(element.querySelector(".pages"));
    const rooflines = data.rooflines.length > 0 || data.refused.length > 0;
    const entries = [["results", "Results"], ...(rooflines ? [["rooflines", "Rooflines"]] : []), ...data.answers.map((view, number) => [`answer-${number + 1}`, view.title])];
    patch(element, [
      h("nav", { key: "contents", class: "contents", "aria-label": "contents" },
        h("ol", {}, entries.map(([id, title]) => h("li", { key: id }, h("a", { href: `#${id}` }, title))))),
      h("div", { key: "pages", class: "pages" },
        h("section", { id: "results", key: "results", tabindex: "-1" },
          h("h2", {}, "Results"),
          h("p", { class: "note" }, "Predictions, none of them measured. Latency is what the schedule does; no kernel can be faster than the lower bound; headroom is their ratio."),
          table.rows.length > 1 ? attnsim.filter(state, redraw, "Filter") : null,
          attnsim.table(table, { state, redraw, link: table.link })),
        rooflines ? h("section", { id: "rooflines", key: "rooflines", tabindex: "-1" },
          h("h2", {}, "Rooflines"),
          data.rooflines.map((chart) => h("div", { key: chart.arch }, h("h3", {}, chart.title), attnsim.roofline(chart, width))),
          data.refused.length ? h("ul", { class: "note" }, data.refused.map((text) => h("li", { key: text }, text))) : null) : null,
        data.answers.map((view, number) => h("section", { id: `answer-${number + 1}`, key: `answer-${number}`, class: "answer", tabindex: "-1" },
          h("h2", {}, view.title),
          attnsim.answer(view, width)))),
    ]);
    attnsim.scrollers(element);
  }

  attnsim.renderReport = renderReport;
})();
