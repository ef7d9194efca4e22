"use strict";
/**
 * The explorer: a form, the question it stands for (kept in the address after #, nowhere else), and the answer of the server.
 * Texts reach the page through `attnsim.dom` alone, as text nodes and attributes.
 */
(() => {
  const { h, patch } = attnsim.dom;
  const DEBOUNCE_MS = 30;
  const PARTS = ["workload", "arch", "schedule"];
  const SHORT = { workload: "w", arch: "a", schedule: "s" };
  const LABELS = { workload: "Workload", arch: "Machine", schedule: "Schedule" };
  const at = (id) => document.getElementById(id);

  /** What there is to choose from. */
  let catalogue = null;
  /** The question: per part {name} or {yaml} or null, and the changed fields in the order they are applied. */
  let state = { workload: null, arch: null, schedule: null, sets: new Map() };
  /** The workload before (`written`) and after (`asked`) the changes, as far as known. */
  let written = {};
  let asked = {};
  let last = null;
  let pinned = null;
  let issues = [];
  let sequence = 0;
  let running = null;
  let timer = 0;
  let curves = false;
  const open = { more: false };

  // --- values ---------------------------------------------------------------------------------------------------------------

  const lookup = (data, path) => path.split(".").reduce((value, step) => (value === null || value === undefined ? undefined : value[step]), data);

  /** A value as YAML on one line, as short as it can be. */
  function flow(value) {
    if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
    if (value !== null && typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${key}: ${flow(item)}`).join(", ")}}`;
    if (typeof value !== "string") return String(value);
    return /^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$/.test(value) && !/^(true|false|null|~)$/i.test(value) ? value : JSON.stringify(value);
  }

  const shown = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : flow(value));

  /** What a field shows: what was typed, else what the workload says. */
  function current(path) {
    if (state.sets.has(path)) return state.sets.get(path);
    const value = lookup(asked, path);
    return shown(value === undefined || value === null ? standard(path) : value);
  }

  /** What holds where the workload says nothing. */
  function standard(path) {
    const steps = path.split(".");
    const forms = { mask: catalogue.masks, deployment: catalogue.deployments }[steps[0]];
    const fields = steps.length === 1 ? catalogue.fields[asked.kind] : forms && forms[(asked[steps[0]] || {}).kind];
    const field = (fields || []).find((one) => one.name === steps[steps.length - 1]);
    return field && (field.choices.length || typeof field.default === "boolean") ? field.default : null;
  }

  const entries = (kind) => catalogue.library[kind];
  const entry = (kind, name) => {
    const folded = fold(name);
    return entries(kind).find((one) => fold(one.name) === folded || one.aliases.some((alias) => fold(alias) === folded));
  };
  const fold = (name) => name.toLowerCase().replaceAll("-", "_");

  // --- the question in the address ------------------------------------------------------------------------------------------

  function toFragment() {
    const words = new URLSearchParams();
    for (const part of PARTS) {
      const source = state[part];
      if (source && source.yaml !== undefined) words.append(`${SHORT[part]}yaml`, source.yaml);
      else if (source) words.append(SHORT[part], source.name);
    }
    for (const [path, value] of state.sets) words.append("set", `${path}=${value}`);
    if (curves) words.append("curves", "1");
    return words.toString();
  }

  function fromFragment(text) {
    const words = new URLSearchParams(text);
    const found = { sets: new Map() };
    curves = words.get("curves") === "1";
    for (const part of PARTS) {
      const short = SHORT[part];
      if (words.has(`${short}yaml`)) found[part] = { yaml: words.get(`${short}yaml`) };
      else if (words.get(short)) found[part] = { name: words.get(short) };
      else found[part] = catalogue.first[part] ? { name: catalogue.first[part] } : null;
    }
    for (const text of words.getAll("set")) {
      const equals = text.indexOf("=");
      if (equals > 0) found.sets.set(text.slice(0, equals), text.slice(equals + 1));
    }
    return found;
  }

  function question() {
    const body = { workload: state.workload, arch: state.arch, schedule: state.schedule, sets: [] };
    for (const [path, value] of state.sets) body.sets.push(`${path}=${value}`);
    return body;
  }

  // --- asking ---------------------------------------------------------------------------------------------------------------

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
      const response = await post(`/api/answer${curves ? "?curves=true" : ""}`, running.signal);
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
    last = body;
    issues = [];
    written = body.written;
    asked = body.asked;
    document.title = `${body.view.title} · attnsim`;
    attnsim.renderAnswer(at("answer"), body.view, { redraw: true });
    drawForm();
    drawAround();
    settled();
  }

  function refused(found) {
    issues = found;
    drawForm();
    drawAround();
    settled();
  }

  /** Tell who waits for it (a test, a reader of the status line) that the page shows the answer to the last question. */
  function settled() {
    document.body.dataset.answered = String(sequence);
    document.body.dataset.state = issues.length ? "refused" : "answered";
    document.dispatchEvent(new CustomEvent("attnsim:answered", { detail: sequence }));
  }

  // --- changes --------------------------------------------------------------------------------------------------------------

  function set(path, value) {
    const before = shown(lookup(written, path));
    if (value.trim() === "" || value.trim() === before) state.sets.delete(path);
    else state.sets.set(path, value.trim());
    changed();
  }

  /** Another kind of mask or deployment: its fields start anew. */
  function setKind(path, value) {
    for (const known of [...state.sets.keys()]) if (known === path || known.startsWith(`${path}.`)) state.sets.delete(known);
    if (value !== (lookup(written, path) || {}).kind) state.sets.set(path, flow(value));
    asked = { ...asked, [path]: value };
    changed(0);
    drawForm();
  }

  function choose(part, source) {
    state[part] = source;
    if (part === "workload") {
      state.sets.clear();
      const known = source && source.name !== undefined ? entry("workload", source.name) : null;
      written = asked = known ? known.content : {};
    }
    if (part === "arch") for (const path of [...state.sets.keys()]) if (path.startsWith("arch.")) state.sets.delete(path);
    if (part === "schedule") for (const path of [...state.sets.keys()]) if (path.startsWith("schedule.")) state.sets.delete(path);
    changed(0);
    drawForm();
  }

  async function writeOut(part) {
    const name = state[part] ? state[part].name : asked.schedule;
    let text = "";
    if (typeof name === "string") {
      const response = await fetch(`/api/library/${part}/${encodeURIComponent(name)}`);
      if (response.ok) text = (await response.json()).yaml;
    }
    state[part] = { yaml: text || `attnsim: 1\nkind: ${part}\n` };
    changed(0);
    drawForm();
    const editor = at(`yaml-${part}`);
    if (editor) editor.focus();
  }

  // --- the form -------------------------------------------------------------------------------------------------------------

  /** Issues by where they are shown: a field's path, "yaml-PART", or "" for above the answer. */
  function placed() {
    const found = new Map();
    const known = [...document.querySelectorAll("#form [data-path]")].map((input) => input.dataset.path);
    for (const issue of issues) {
      const part = PARTS.find((one) => issue.file === `${one}.yaml` && state[one] && state[one].yaml !== undefined);
      const set = /^--set ([^=]+)=/.exec(issue.file || "");
      const paths = [issue.path, set && set[1].trim()].filter(Boolean);
      const field = paths.map((path) => known.filter((one) => path === one || path.startsWith(`${one}.`)).sort((a, b) => b.length - a.length)[0]).find(Boolean);
      const place = part ? `yaml-${part}` : field || (set ? "more" : "");
      found.set(place, [...(found.get(place) || []), issue]);
    }
    return found;
  }

  const identifier = (path) => `field-${path.replaceAll(".", "-")}`;

  function where(issue) {
    const line = issue.line ? `line ${issue.line}${issue.column ? `, column ${issue.column}` : ""}: ` : "";
    return `${line}${issue.path ? `${issue.path}: ` : ""}${issue.message}`;
  }

  const errors = (found, place) =>
    (found.get(place) || []).slice(0, 4).map((issue, number) =>
      h("p", { class: "error", key: `error-${number}`, id: number ? null : `error-${place.replaceAll(".", "-")}` },
        place.startsWith("yaml-") ? where(issue) : issue.message));

  /** A labelled control. options: {label, hint, choices, wide, type, step}. */
  function field(found, path, options = {}) {
    const id = identifier(path);
    const wrong = found.has(path);
    const attrs = {
      id, name: path, "data-path": path, "aria-invalid": wrong ? "true" : null, "aria-describedby": wrong ? `error-${path.replaceAll(".", "-")}` : null,
      placeholder: options.placeholder || null,
    };
    const action = { input: (event) => (options.set || set)(path, event.target.value) };
    const control = options.choices
      ? h("select", { ...attrs, on: action, key: "select" }, options.choices.map((one) => option(one)))
      : h("input", { ...attrs, on: action, key: "input", type: "text", spellcheck: "false", inputmode: options.numeric ? "numeric" : null });
    const scale = options.numeric && options.scale
      ? h("span", { class: "scale", key: "scale" },
        h("button", { type: "button", title: `halve ${options.label}`, "aria-label": `halve ${options.label}`, on: { click: () => times(path, 0.5) } }, "÷2"),
        h("button", { type: "button", title: `double ${options.label}`, "aria-label": `double ${options.label}`, on: { click: () => times(path, 2) } }, "×2"))
      : null;
    return h("div", { class: options.wide ? "field wide" : "field", key: path },
      h("label", { for: id, title: options.hint || null }, h("span", { class: "label" }, options.label || path), options.note ? h("span", { class: "hint" }, options.note) : null),
      h("div", { class: "control" }, control, scale),
      errors(found, path));
  }

  const option = (one) =>
    one.options
      ? h("optgroup", { label: one.label, key: one.label }, one.options.map(option))
      : h("option", { value: one.value, key: `${one.value}` }, one.label === undefined ? one.value : one.label);

  const plain = (words, empty) => [...(empty === undefined ? [] : [{ value: "", label: empty }]), ...words.map((word) => ({ value: word }))];

  function times(path, factor) {
    const value = Number(current(path));
    if (!Number.isFinite(value)) return;
    set(path, String(Math.max(1, Math.round(value * factor))));
    drawForm();
  }

  /** Name of a library entry, or its text in an editor. */
  function source(found, part, groups, empty) {
    const chosen = state[part];
    const isWritten = chosen && chosen.yaml !== undefined;
    const id = `source-${part}`;
    const kids = [h("label", { for: isWritten ? `yaml-${part}` : id, key: "label" }, h("span", { class: "label" }, LABELS[part]))];
    if (isWritten) {
      kids.push(h("textarea", {
        id: `yaml-${part}`, key: "yaml", rows: "14", spellcheck: "false", wrap: "off", "data-yaml": part, "aria-invalid": found.has(`yaml-${part}`) ? "true" : null,
        on: { input: (event) => { state[part] = { yaml: event.target.value }; changed(); } },
      }));
      kids.push(...errors(found, `yaml-${part}`));
      kids.push(h("button", { type: "button", key: "back", class: "quiet", on: { click: () => choose(part, catalogue.first[part] ? { name: catalogue.first[part] } : null) } }, "choose from the library"));
    } else {
      const known = chosen && entry(part, chosen.name);
      const options = groups.concat(chosen && !known ? [{ label: "not in the library", options: [{ value: chosen.name }] }] : []);
      kids.push(h("select", {
        id, key: "select", "data-part": part,
        on: { input: (event) => choose(part, event.target.value ? { name: event.target.value } : null) },
      }, (empty === undefined ? [] : [option({ value: "", label: empty })]), options.map(option)));
      if (known && known.title) kids.push(h("p", { class: "hint", key: "title" }, known.title));
      kids.push(h("button", { type: "button", key: "write", class: "quiet", on: { click: () => writeOut(part) } }, "edit as YAML"));
    }
    return h("div", { class: "source", key: `source-${part}` }, kids);
  }

  const named = (list) => list.map((one) => ({ value: one.name }));
  const group = (label, title, ...content) => h("fieldset", { key: label, class: `group ${label}` }, h("legend", {}, title), content);

  function workloads() {
    const titles = { kernel: "kernels", layer: "layers", model: "models" };
    return Object.entries(titles).map(([kind, label]) => ({
      label,
      options: named(entries("workload").filter((one) => one.content.kind === kind)),
    })).filter((one) => one.options.length);
  }

  /** Fields of the chosen kind of a mask or a deployment. */
  function kinds(found, path, label, forms, start, skip = []) {
    const value = lookup(asked, path) || { kind: path === "mask" ? "dense" : "colocated" };
    const typed = /^\{\s*kind: *([a-z_]+)/.exec(state.sets.get(path) || ""); // a question that has no answer yet
    const kind = state.sets.get(`${path}.kind`) || (typed ? typed[1] : value.kind) || "";
    const fields = (forms[kind] || []).filter((one) => !skip.includes(one.name) && !(one.name === "masks"));
    return [
      h("div", { class: "field wide", key: `${path}-kind` },
        h("label", { for: identifier(path) }, h("span", { class: "label" }, label)),
        h("div", { class: "control" },
          h("select", { id: identifier(path), "data-path": path, "data-kind": kind || "", on: { input: (event) => setKind(path, start(event.target.value)) } },
            [...new Set([...Object.keys(forms).filter((one) => one !== "per_head" && one !== "blocks"), kind])].filter(Boolean).map((one) => option({ value: one })))),
        errors(found, path)),
      fields.map((one) => {
        const inner = `${path}.${one.name}`;
        const isFlag = typeof one.default === "boolean";
        const choices = isFlag ? plain(["true", "false"])
          : one.name.endsWith("_machine") ? [{ value: "", label: "the machine above" }, ...machines().slice(0, 2)]
            : one.choices.length ? plain(one.choices) : null;
        return field(found, inner, {
          label: one.name.replaceAll("_", " "), hint: one.description, choices,
          placeholder: one.default === null || one.default === undefined || one.required ? "" : flow(one.default),
        });
      }),
    ];
  }

  /** A mask of a kind that is legal for the sizes asked about. */
  function startMask(kind) {
    const size = Number(current("sizes.M")) || 4096;
    const queries = Number(current("sizes.P")) || size;
    const third = Math.max(2, Math.floor(queries / 4));
    const starts = {
      window: { left: Math.max(1, Math.min(1023, size - 1)), right: 0 },
      sinks: { sinks: 4, left: Math.max(1, Math.min(1023, size - 1)), right: 0 },
      neighborhood: { shape: [queries], window: [third] },
      windows: { shape: [queries], window: [third] },
      grid: { shape: [queries], grid: [queries % 2 ? queries : 2] },
      strided: { block: 64, local: 4, stride: 8 },
      span: { alpha: 1024, beta: 0 },
      packed: { lengths: [queries] },
      topk: { block: 64, density: 0.25 },
    };
    return { kind, ...(starts[kind] || {}) };
  }

  function startDeployment(kind) {
    const starts = { colocated: { tp: 1 }, afd: { attention: 1, ffn: 1 }, offload: { compute: 1, memory: 1 } };
    return { kind, ...(starts[kind] || {}) };
  }

  function kernelGroups(found) {
    const cascade = typeof asked.cascade === "string" ? entry("cascade", asked.cascade) : null;
    const ranks = (cascade && cascade.ranks) || (asked.cascade && asked.cascade.ranks) || {};
    const sizes = Object.keys(asked.sizes || {});
    const groups = [];
    if (sizes.length) {
      groups.push(group("sizes", "Sizes", sizes.map((rank) =>
        field(found, `sizes.${rank}`, { label: rank, note: ranks[rank] || (rank === "G" ? "kv head" : ""), numeric: true, scale: true }))));
    }
    const direction = asked.kind === "kernel" ? field(found, "direction", { label: "direction", choices: plain(["forward", "backward"]) }) : null;
    groups.push(group("format", "Format and mask",
      field(found, "dtype", { label: "format", choices: plain(catalogue.dtypes) }), direction,
      kinds(found, "mask", "mask", catalogue.masks, startMask),
      asked.kind === "kernel" && typeof asked.cascade === "string"
        ? field(found, "cascade", { label: "cascade", wide: true, choices: named(entries("cascade")) }) : null));
    return groups;
  }

  function modelGroups(found) {
    const prices = catalogue.library.prices;
    return [
      group("model", "Model",
        typeof asked.model === "string" ? field(found, "model", { label: "model", wide: true, choices: named(entries("model")) }) : null,
        field(found, "phase", { label: "phase", choices: plain(["decode", "prefill"]) }),
        field(found, "context", { label: "context", note: "tokens", numeric: true, scale: true }),
        field(found, "batch", { label: "batch", note: "requests", numeric: true, scale: true, placeholder: "largest", set: setOptional }),
        field(found, "slo.tpot", { label: "TPOT at most", placeholder: "50 ms", set: setOptional }),
        field(found, "kv", { label: "cache format", choices: plain(catalogue.dtypes, "the model's"), set: setOptional }),
        field(found, "prices", { label: "prices", wide: true, choices: [{ value: "", label: "none" }, ...prices.map((one) => ({ value: one.name, label: `${one.name}: ${one.title}` }))], set: setOptional })),
      group("deployment", "Deployment", kinds(found, "deployment", "deployment", catalogue.deployments, startDeployment, ["hardware"])),
    ];
  }

  /** A field that may be left out: nothing where the workload has something is a change too. */
  function setOptional(path, value) {
    if (value.trim() === "" && lookup(written, path)) {
      state.sets.set(path, "null");
      changed();
    } else set(path, value);
  }

  /** Changed fields that no control above shows, one FIELD=VALUE a line. */
  function more(found) {
    const controls = new Set(["mask", "deployment", ...[...document.querySelectorAll("#form [data-path]")].map((input) => input.dataset.path)]);
    const lines = [...state.sets].filter(([path]) => !controls.has(path)).map(([path, value]) => `${path}=${value}`);
    const text = lines.join("\n");
    return h("details", { class: "group more", key: "more", open: open.more || found.has("more") || lines.length > 0 },
      h("summary", {}, "Other fields"),
      h("div", { class: "field wide" },
        h("label", { for: "more" }, h("span", { class: "hint" }, "one FIELD=VALUE a line, as --set takes them: arch.processors.count=66, conditions.launch=stream")),
        h("textarea", { id: "more", rows: "3", spellcheck: "false", "data-more": text, on: { input: (event) => setMore(event.target.value, controls) } }),
        errors(found, "more")));
  }

  function setMore(text, controls) {
    open.more = true;
    for (const path of [...state.sets.keys()]) if (!controls.has(path)) state.sets.delete(path);
    for (const line of text.split("\n")) {
      const equals = line.indexOf("=");
      if (equals > 0 && line.slice(0, equals).trim()) state.sets.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
    }
    changed();
  }

  function drawForm() {
    if (!catalogue) return;
    const draw = (found) => {
      patch(at("form"), [
        group("choice", "Question",
          source(found, "workload", workloads()),
          source(found, "arch", machines()),
          asked.kind === "kernel" || asked.kind === undefined || state.schedule ? source(found, "schedule", [{ label: "library", options: named(entries("schedule")) }], written.schedule ? "the workload's own" : "the best known one") : null),
        asked.kind === "model" ? modelGroups(found) : kernelGroups(found),
        more(found),
        h("p", { key: "reset" }, h("button", { type: "button", class: "quiet", on: { click: reset } }, "start over")),
      ]);
      fill();
    };
    draw(new Map());
    const found = placed();
    if (found.size) draw(found);
    patch(at("problems"), issues.slice(0, 5).map((issue, number) => h("p", { class: "error", key: `problem-${number}` }, where(issue))));
  }

  function machines() {
    const families = new Map();
    for (const one of entries("arch")) families.set(one.family, [...(families.get(one.family) || []), { value: one.name }]);
    return [...families].map(([label, options]) => ({ label, options }));
  }

  /** The controls' values: properties, which attributes do not reach once somebody typed. What is being typed is left alone. */
  function fill() {
    for (const input of document.querySelectorAll("#form [data-path]")) {
      const kind = input.dataset.kind;
      const value = kind !== undefined ? kind : current(input.dataset.path);
      put(input, value === "null" ? "" : value);
    }
    for (const input of document.querySelectorAll("#form [data-part]")) put(input, state[input.dataset.part] ? nameOf(input.dataset.part) : "");
    for (const input of document.querySelectorAll("#form [data-yaml]")) put(input, state[input.dataset.yaml].yaml);
    for (const input of document.querySelectorAll("#form [data-more]")) put(input, input.dataset.more);
  }

  function nameOf(part) {
    const known = entry(part, state[part].name);
    return known ? known.name : state[part].name;
  }

  function put(input, value) {
    if (input === document.activeElement && input.tagName !== "SELECT") return;
    if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === value)) {
      if (input.dataset.path) input.add(new Option(value, value));
    }
    if (input.value !== value) input.value = value;
  }

  function reset() {
    state = fromFragment("");
    const known = entry("workload", state.workload.name);
    written = asked = known.content;
    open.more = false;
    changed(0);
    drawForm();
  }

  // --- around the answer ----------------------------------------------------------------------------------------------------

  const FILES = [["report", "HTML report"], ["json", "JSON"], ["csv", "CSV"], ["text", "text"], ["roofline", "roofline SVG"], ["mask", "mask SVG"]];

  function drawAround() {
    at("answer").classList.toggle("stale", issues.length > 0);
    at("status").textContent = issues.length ? (last ? "showing the last answer" : "no answer yet") : "";
    if (last) {
      const call = `import attnsim\n\nreport = ${last.python}`;
      const button = (label, text) => h("button", { type: "button", key: label, "data-copy": label, on: { click: (event) => copy(text, event.currentTarget, label) } }, label);
      patch(at("bar"), [
        h("code", { class: "line", key: "line", tabindex: "0", title: "the same answer in a terminal" }, last.command.split("\n").at(-1)),
        button("copy command", last.command), button("copy Python", call), button("copy link", location.href),
        h("label", { class: "check", key: "curves" }, h("input", { type: "checkbox", id: "curves", on: { change: (event) => { curves = event.target.checked; changed(0); } } }), "cost curves"),
        h("button", { type: "button", key: "pin", on: { click: () => { pinned = { body: last, address: location.hash }; drawAround(); } } }, pinned ? "pin this one" : "pin to compare"),
      ]);
      at("curves").checked = curves;
      patch(at("repeat"), [
        h("h2", {}, "Repeat this answer"),
        copied("Command line", last.command),
        copied("Python", call),
        copied("Link", location.href),
        h("p", { class: "files", key: "files" }, h("span", { class: "label" }, "Keep it as "), FILES.map(([form, label]) =>
          h("button", { type: "button", key: form, "data-file": form, on: { click: () => keep(form) } }, label))),
      ]);
    }
    if (last || issues.length) {
      const [first, second] = last ? last.view.results[0].facts : [];
      patch(at("glance"), issues.length ? `no answer: ${issues[0].message}` : [h("b", { key: "first" }, attnsim.format.value(first.value, first.unit)), ` ${first.label}, ${first.note || second.label}`]);
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
      at("status").textContent = (body.issues || []).map((issue) => issue.message).join("; ") || `the server answered ${response.status}`;
      return;
    }
    const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "");
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(await response.blob());
    anchor.download = name ? name[1] : `answer.${form}`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  }

  // --- two answers side by side ---------------------------------------------------------------------------------------------

  const facts = (body) => body.view.results[0].facts.filter((fact) => typeof fact.value === "number");

  function drawPinned() {
    if (!last) return;
    if (!pinned) {
      patch(at("pinned"), []);
      return;
    }
    const before = new Map(facts(pinned.body).map((fact) => [fact.label, fact]));
    const rows = facts(last).filter((fact) => before.has(fact.label)).map((fact) => {
      const old = before.get(fact.label).value;
      const ratio = old ? fact.value / old : null;
      return [fact.label, attnsim.format.value(old, fact.unit), attnsim.format.value(fact.value, fact.unit), ratio === null ? "" : `${attnsim.format.ratio(ratio)} ×`];
    });
    patch(at("pinned"), [
      h("h2", { key: "title" }, "Beside the pinned answer"),
      h("div", { class: "scroll", key: "table", tabindex: "0" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), h("th", { scope: "col", class: "n" }, pinned.body.view.title, " (pinned)"), h("th", { scope: "col", class: "n" }, last.view.title), h("th", { scope: "col", class: "n" }, "now / pinned"))),
        h("tbody", {}, rows.map((row) => h("tr", { key: row[0] }, h("th", { scope: "row" }, row[0]), row.slice(1).map((text) => h("td", { class: "n" }, text))))))),
      h("p", { key: "buttons" },
        h("a", { href: pinned.address, key: "back" }, "back to the pinned question"), " ",
        h("button", { type: "button", class: "quiet", on: { click: () => { pinned = null; drawAround(); } } }, "unpin")),
    ]);
  }

  // --- start ----------------------------------------------------------------------------------------------------------------

  function fromAddress() {
    state = fromFragment(location.hash.slice(1));
    const known = state.workload.name !== undefined ? entry("workload", state.workload.name) : null;
    written = asked = known ? known.content : {};
    drawForm();
    changed(0);
  }

  async function start() {
    at("form").addEventListener("submit", (event) => event.preventDefault());
    at("form").addEventListener("focusout", () => setTimeout(() => catalogue && fill(), 0));
    const response = await fetch("/api/catalogue");
    catalogue = await response.json();
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

  start();
})();
