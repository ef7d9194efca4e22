"use strict";
/** The report: contents, a table of all results, a roofline a machine, then a section an answer. */
(() => {
  const { h, patch } = attnsim.dom;

  const COLUMNS = [
    ["result", "text", (one) => one.name],
    ["machine", "text", (one, view) => view.arch.name],
    ["latency", "s", (one) => one.latency_s],
    ["bound", "text", (one) => one.bound],
    ["lower bound", "s", (one) => one.lower_bound_s],
    ["headroom", "ratio", (one) => one.headroom],
    ["achieved", "FLOP/s", (one) => one.flops / one.latency_s],
    ["energy", "J", (one) => one.energy_j],
    ["USD/Mtok", "ratio", (one) => one.usd_per_mtok],
    ["schedule", "text", (one) => one.schedule],
    ["changed", "text", (one, view) => view.changes || null],
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

  /** Draw the whole report into an element. data: {title, attnsim, answers, rooflines, refused, notes}. */
  function renderReport(element, data) {
    element.classList.add("attnsim");
    attnsim.tips(element);
    const table = results(data.answers);
    const state = {};
    // Sorting and filtering redraw the table alone: the rest of a long report takes a while.
    const overview = () => listed(table, data.notes, state, () => patch(element.querySelector("#results"), overview()));
    const draw = () => {
      // The contents take their room before the charts are measured.
      if (!element.querySelector(".pages")) patch(element, [contents(data), h("div", { key: "pages", class: "pages" })]);
      patch(element, [contents(data), pages(data, overview(), attnsim.room(element.querySelector(".pages")))]);
      attnsim.scrollers(element);
    };
    draw();
    attnsim.watched(element, draw);
    // A link with a fragment was followed before its target stood here.
    if (location.hash) {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (target) target.scrollIntoView();
    }
  }

  const hasRooflines = (data) => data.rooflines.length > 0 || data.refused.length > 0;

  function contents(data) {
    const entries = [
      ["results", "Results"],
      ...(hasRooflines(data) ? [["rooflines", "Rooflines"]] : []),
      ...data.answers.map((view, number) => [`answer-${number + 1}`, view.title]),
    ];
    const items = entries.map(([id, title]) => h("li", { key: id }, h("a", { href: `#${id}` }, title)));
    return h("nav", { key: "contents", class: "contents", "aria-label": "contents" }, h("ol", {}, items));
  }

  /** What stands in the section of results. */
  function listed(table, notes, state, redraw) {
    return [
      h("h2", { key: "head" }, "Results"),
      h(
        "p",
        { key: "note", class: "note" },
        "Predictions, none of them measured. Latency is what the schedule does; ",
        "no kernel can be faster than the lower bound; headroom is their ratio.",
      ),
      table.rows.length > 1 ? attnsim.filter(state, redraw, "Filter") : null,
      attnsim.table(table, { state, redraw, link: table.link }),
      notes.map((text) => h("p", { class: "note", key: `note-${text}` }, text)),
    ];
  }

  function pages(data, overview, width) {
    const refused = data.refused.map((text) => h("li", { key: text }, text));
    const rooflines = [
      h("h2", {}, "Rooflines"),
      data.rooflines.map((chart) => h("div", { key: chart.arch }, h("h3", {}, chart.title), attnsim.roofline(chart, width))),
      refused.length ? h("ul", { class: "note" }, refused) : null,
    ];
    const answers = data.answers.map((view, number) => {
      const place = { id: `answer-${number + 1}`, key: `answer-${number}`, class: "answer", tabindex: "-1" };
      return h("section", place, h("h2", {}, view.title), attnsim.answer(view, width));
    });
    return h(
      "div",
      { key: "pages", class: "pages" },
      h("section", { id: "results", key: "results", tabindex: "-1" }, overview),
      hasRooflines(data) ? h("section", { id: "rooflines", key: "rooflines", tabindex: "-1" }, rooflines) : null,
      answers,
    );
  }

  attnsim.renderReport = renderReport;
})();
