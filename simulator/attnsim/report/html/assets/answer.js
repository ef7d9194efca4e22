"use strict";
/** All parts of one answer. */
(() => {
  const { h, patch } = attnsim.dom;

  const section = (key, title, ...content) => h("section", { key, class: "part" }, h("h4", {}, title), content);
  const note = (text) => (text ? h("p", { class: "note", key: `note-${text}` }, text) : null);

  /** The parts of one entry of `results`. */
  function result(data) {
    return [
      attnsim.facts(data.facts),
      h("div", { class: "grid", key: "grid" },
        data.time.items.length ? section("time", data.time.title, attnsim.bars(data.time), note(data.time.note)) : null,
        data.bytes.length ? section("bytes", "Bytes by level and tensor", attnsim.traffic(data.bytes)) : null,
        data.flops_by_unit.items.length ? section("flops", data.flops_by_unit.title, attnsim.bars(data.flops_by_unit)) : null,
        data.memory && data.memory.items.length ? section("memory", data.memory.title, attnsim.bars(data.memory)) : null),
      data.tables.map((one) => section(`table-${one.title}`, one.title, attnsim.table(one), note(one.note))),
    ];
  }

  /** The nodes of an answer; the report and the explorer put them where they like. options: {width, redraw}. */
  function answer(view) {
    const several = view.results.length > 1;
    return [
      inputs(view),
      view.results.map((one, number) =>
        h("div", { key: `result-${number}`, class: "result" }, several ? h("h3", {}, one.name) : null, result(one))),
      section("assumptions", "Assumptions", h("ul", { class: "assumptions" }, view.assumptions.map((text) => h("li", {}, text)))),
    ];
  }

  function inputs(view) {
    const rows = [
      ["workload", view.workload.name, view.workload.sha256],
      ["machine", `${view.arch.name}${view.arch.title ? `, ${view.arch.title}` : ""}: ${view.arch.processors}`, view.arch.sha256],
      ["schedule", view.schedule, ""],
    ];
    return h("div", { class: "inputs", key: "inputs" },
      h("dl", {}, rows.map(([label, text, digest]) =>
        h("div", { key: label }, h("dt", {}, label), h("dd", {}, text, digest ? h("code", { class: "digest", title: digest }, digest.slice(0, 12)) : null)))),
      [view.command, view.python].filter(Boolean).map((text) => h("pre", { key: text, tabindex: "0" }, h("code", {}, text))));
  }

  /** Draw, or redraw in place, one answer in an element. */
  function renderAnswer(element, view, options = {}) {
    element.classList.add("attnsim");
    attnsim.tips(element);
    patch(element, answer(view, { width: element.clientWidth, ...options }));
  }

  Object.assign(attnsim, { answer, renderAnswer });
})();
