"use strict";
/** The explorer: asks the server what the form says, draws the answer, and everything around it. Texts reach the page as text alone. */
(() => {
  const { h, patch } = attnsim.dom;
  const page = attnsim.explorer;
  const { lookup, flow, shown, entry, toFragment, fromFragment, question, drawForm, fill } = page;
  const DEBOUNCE_MS = 30;
  const at = (id) => document.getElementById(id);

  let sequence = 0;
  let running = null;
  let timer = 0;

  // --- asking ----------------------------------------------------------------------------------------------------------------------

  function changed(wait = DEBOUNCE_MS) {
    const fragment = toFragment();
    if (fragment !== location.hash.slice(1)) history.replaceState(null, "", `#${fragment}`);
    sequence += 1;
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
  }

  async function ask() {
    const mine = sequence;
    if (running) running.abort();
    running = new AbortController();
    try {
      const response = await post(`/api/answer${page.curves ? "?curves=true" : ""}`, running.signal);
      if (mine !== sequence) return;
      if (response.status === 429) {
        timer = setTimeout(ask, 300);
        return;
      }
      const body = await response.json();
      if (mine !== sequence) return;
      if (response.ok) answered(body);
      else refused(body.issues || [{ message: `the server answered ${response.status}`, path: "", file: "" }]);
    } catch (error) {
      if (error.name === "AbortError" || mine !== sequence) return;
      refused([{ message: "the explorer does not answer; is `attnsim serve` still running?", path: "", file: "" }]);
    }
  }

  const post = (address, signal) =>
    fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question()), signal });

  function answered(body) {
    page.last = body;
    page.issues = [];
    page.unkept = "";
    page.written = body.written;
    page.asked = body.asked;
    document.title = `${body.view.title} · attnsim`;
    attnsim.renderAnswer(at("answer"), body.view, { redraw: true });
    drawForm();
    drawAround();
    settled();
  }

  function refused(found) {
    page.issues = found;
    drawForm();
    drawAround();
    settled();
  }

  /** Tell who waits for it (a test, a reader of the status line) that the page shows the answer to the last question. */
  function settled() {
    document.body.dataset.answered = String(sequence);
    document.body.dataset.state = page.issues.length ? "refused" : "answered";
    document.dispatchEvent(new CustomEvent("attnsim:answered", { detail: sequence }));
  }

  // --- changes ---------------------------------------------------------------------------------------------------------------------

  function set(path, value) {
    const before = shown(lookup(page.written, path));
    if (value.trim() === "" || value.trim() === before) page.state.sets.delete(path);
    else page.state.sets.set(path, value.trim());
    changed();
  }

  /** Another kind of mask or deployment: its fields start anew. */
  function setKind(path, value) {
    for (const known of [...page.state.sets.keys()]) if (known === path || known.startsWith(`${path}.`)) page.state.sets.delete(known);
    if (value !== (lookup(page.written, path) || {}).kind) page.state.sets.set(path, flow(value));
    page.asked = { ...page.asked, [path]: value };
    changed(0);
    drawForm();
  }

  function choose(part, source) {
    page.state[part] = source;
    if (part === "workload") {
      page.state.sets.clear();
      const known = source && source.name !== undefined ? entry("workload", source.name) : null;
      page.written = page.asked = known ? known.content : {};
    }
    if (part === "arch") for (const path of [...page.state.sets.keys()]) if (path.startsWith("arch.")) page.state.sets.delete(path);
    if (part === "schedule") for (const path of [...page.state.sets.keys()]) if (path.startsWith("schedule.")) page.state.sets.delete(path);
    changed(0);
    drawForm();
  }

  async function writeOut(part) {
    const name = page.state[part] ? page.state[part].name : page.asked.schedule;
    let text = "";
    if (typeof name === "string") {
      const response = await fetch(`/api/library/${part}/${encodeURIComponent(name)}`);
      if (response.ok) text = (await response.json()).yaml;
    }
    page.state[part] = { yaml: text || `attnsim: 1\nkind: ${part}\n` };
    changed(0);
    drawForm();
    const editor = at(`yaml-${part}`);
    if (editor) editor.focus();
  }

  function reset() {
    page.state = fromFragment("");
    const known = entry("workload", page.state.workload.name);
    page.written = page.asked = known.content;
    page.open = false;
    changed(0);
    drawForm();
  }

  // --- around the answer -----------------------------------------------------------------------------------------------------------

  const FILES = [["report", "HTML report"], ["json", "JSON"], ["csv", "CSV"], ["text", "text"], ["roofline", "roofline SVG"], ["mask", "mask SVG"], ["trace", "trace"]];

  function drawAround() {
    at("answer").classList.toggle("stale", page.issues.length > 0);
    at("status").textContent = page.issues.length ? (page.last ? "showing the last answer" : "no answer yet") : "";
    if (page.last) {
      const call = `import attnsim\n\nreport = ${page.last.python}`;
      const button = (label, text) => h("button", { type: "button", key: label, "data-copy": label, on: { click: (event) => copy(text, event.currentTarget, label) } }, label);
      patch(at("bar"), [
        h("code", { class: "line", key: "line", tabindex: "0", title: "the same answer in a terminal" }, page.last.command.split("\n").at(-1)),
        button("copy command", page.last.command), button("copy Python", call), button("copy link", location.href),
        h("label", { class: "check", key: "curves" }, h("input", { type: "checkbox", id: "curves", on: { change: (event) => { page.curves = event.target.checked; changed(0); } } }), "cost curves"),
        h("button", { type: "button", key: "pin", on: { click: () => { page.pinned = { body: page.last, address: location.hash }; drawAround(); } } }, page.pinned ? "pin this one" : "pin to compare"),
      ]);
      at("curves").checked = page.curves;
      patch(at("repeat"), [
        h("h2", {}, "Repeat this answer"),
        copied("Command line", page.last.command),
        copied("Python", call),
        copied("Link", location.href),
        h("p", { class: "files", key: "files" }, h("span", { class: "label" }, "Keep it as "), FILES.map(([form, label]) =>
          h("button", { type: "button", key: form, "data-file": form, on: { click: () => keep(form) } }, label))),
        page.unkept ? h("p", { class: "error", role: "status", key: "unkept" }, page.unkept) : null,
      ]);
    }
    if (page.last || page.issues.length) {
      const [first, second] = page.last ? page.last.view.results[0].facts : [];
      patch(at("glance"), page.issues.length ? `no answer: ${page.issues[0].message}` : [h("b", { key: "first" }, attnsim.format.value(first.value, first.unit)), ` ${first.label}, ${first.note || second.label}`]);
    }
    drawPinned();
  }

  function copied(label, text) {
    return h("div", { class: "copied", key: label },
      h("h3", {}, label),
      h("pre", { tabindex: "0" }, h("code", {}, text)));
  }

  async function copy(text, button, label) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "see below"; // the browser keeps the clipboard to itself; the text stands under the answer
    }
    setTimeout(() => (button.textContent = label), 1500);
  }

  async function keep(form) {
    const response = await post(`/api/file/${form}`);
    if (!response.ok) {
      const body = await response.json().catch(() => ({ issues: [] }));
      page.unkept = (body.issues || []).map((issue) => issue.message).join("; ") || `the server answered ${response.status}`;
      drawAround();
      return;
    }
    const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "");
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(await response.blob());
    anchor.download = name ? name[1] : `answer.${form}`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  }

  // --- two answers side by side ----------------------------------------------------------------------------------------------------

  /** The words of a command line that another one lacks. */
  function differing(body, other) {
    const words = (one) => one.command.split("\n").at(-1).replace(/^attnsim run /, "").split(/ (?=--)/);
    const [first, ...more] = words(body);
    const theirs = words(other);
    return [...(first === theirs[0] ? [] : [first]), ...more.filter((word) => !theirs.includes(word)).map((word) => word.replace(/^--(set|schedule) /, "").replace(/^'(.*)'$/, "$1"))];
  }

  const facts = (body) => body.view.results[0].facts.filter((fact) => typeof fact.value === "number");

  function drawPinned() {
    if (!page.last) return;
    if (!page.pinned) {
      patch(at("pinned"), []);
      return;
    }
    const before = new Map(facts(page.pinned.body).map((fact) => [fact.label, fact]));
    const rows = facts(page.last).filter((fact) => before.has(fact.label)).map((fact) => {
      const old = before.get(fact.label).value;
      const ratio = old ? fact.value / old : null;
      return [fact.label, attnsim.format.value(old, fact.unit), attnsim.format.value(fact.value, fact.unit), ratio === null ? "" : `${attnsim.format.ratio(ratio)} ×`];
    });
    const head = (label, body, other) =>
      h("th", { scope: "col" }, label, differing(body, other).map((text) => h("span", { class: "hint", key: text }, text)));
    patch(at("pinned"), [
      h("h2", { key: "title" }, "Beside the pinned answer"),
      h("div", { class: "scroll", key: "table", tabindex: "0" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), head("pinned", page.pinned.body, page.last), head("now", page.last, page.pinned.body), h("th", { scope: "col" }, "now / pinned"))),
        h("tbody", {}, rows.map((row) => h("tr", { key: row[0] }, h("th", { scope: "row" }, row[0]), row.slice(1).map((text) => h("td", { class: "n" }, text))))))),
      h("p", { key: "buttons" },
        h("a", { href: page.pinned.address, key: "back" }, "back to the pinned question"), " ",
        h("button", { type: "button", class: "quiet", on: { click: () => { page.pinned = null; drawAround(); } } }, "unpin")),
    ]);
  }

  // --- start -----------------------------------------------------------------------------------------------------------------------

  function fromAddress() {
    page.state = fromFragment(location.hash.slice(1));
    const known = page.state.workload.name !== undefined ? entry("workload", page.state.workload.name) : null;
    page.written = page.asked = known ? known.content : {};
    drawForm();
    changed(0);
  }

  async function start() {
    at("form").addEventListener("submit", (event) => event.preventDefault());
    at("form").addEventListener("focusout", () => setTimeout(() => page.catalogue && fill(), 0));
    const response = await fetch("/api/catalogue");
    page.catalogue = await response.json();
    for (const link of document.querySelectorAll("a.jump")) {
      link.addEventListener("click", (event) => { // the address after # is the question, not a place on the page
        event.preventDefault();
        at("answer").focus();
        at("answer").scrollIntoView();
      });
    }
    window.addEventListener("hashchange", fromAddress);
    fromAddress();
  }

  Object.assign(page, { changed, set, setKind, choose, writeOut, reset });
  start();
})();
