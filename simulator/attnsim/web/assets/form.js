"use strict";
/** The explorer's form: controls for the question, each mistake at its own. */
(() => {
  const { h, patch } = attnsim.dom;
  const page = attnsim.explorer;
  const { PARTS, lookup, flow, current, entries, entry } = page;
  const LABELS = { workload: "Workload", arch: "Machine", schedule: "Schedule" };
  const at = (id) => document.getElementById(id);

  /** Issues by where they are shown: a field's path, "yaml-PART", or "" for above the answer. */
  function placed() {
    const found = new Map();
    const known = [...document.querySelectorAll("#form [data-path]")].map((input) => input.dataset.path);
    for (const issue of page.issues) {
      const part = PARTS.find((one) => issue.file === `${one}.yaml` && page.state[one] && page.state[one].yaml !== undefined);
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
    const action = { input: (event) => (options.set || page.set)(path, event.target.value) };
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
    page.set(path, String(Math.max(1, Math.round(value * factor))));
    drawForm();
  }

  /** Name of a library entry, or its text in an editor. */
  function source(found, part, groups, empty) {
    const chosen = page.state[part];
    const isWritten = chosen && chosen.yaml !== undefined;
    const id = `source-${part}`;
    const kids = [h("label", { for: isWritten ? `yaml-${part}` : id, key: "label" }, h("span", { class: "label" }, LABELS[part]))];
    if (isWritten) {
      kids.push(h("textarea", {
        id: `yaml-${part}`, key: "yaml", rows: "14", spellcheck: "false", wrap: "off", "data-yaml": part, "aria-invalid": found.has(`yaml-${part}`) ? "true" : null,
        on: { input: (event) => { page.state[part] = { yaml: event.target.value }; page.changed(); } },
      }));
      kids.push(...errors(found, `yaml-${part}`));
      kids.push(h("button", { type: "button", key: "back", class: "quiet", on: { click: () => page.choose(part, page.catalogue.first[part] ? { name: page.catalogue.first[part] } : null) } }, "choose from the library"));
    } else {
      const known = chosen && entry(part, chosen.name);
      const options = groups.concat(chosen && !known ? [{ label: "not in the library", options: [{ value: chosen.name }] }] : []);
      kids.push(h("select", {
        id, key: "select", "data-part": part,
        on: { input: (event) => page.choose(part, event.target.value ? { name: event.target.value } : null) },
      }, (empty === undefined ? [] : [option({ value: "", label: empty })]), options.map(option)));
      if (known && known.title) kids.push(h("p", { class: "hint", key: "title" }, known.title));
      kids.push(h("button", { type: "button", key: "write", class: "quiet", on: { click: () => page.writeOut(part) } }, "edit as YAML"));
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
    const value = lookup(page.asked, path) || { kind: path === "mask" ? "dense" : "colocated" };
    const typed = /^\{\s*kind: *([a-z_]+)/.exec(page.state.sets.get(path) || ""); // a question that has no answer yet
    const kind = page.state.sets.get(`${path}.kind`) || (typed ? typed[1] : value.kind) || "";
    const fields = (forms[kind] || []).filter((one) => !skip.includes(one.name) && !(one.name === "masks"));
    return [
      h("div", { class: "field wide", key: `${path}-kind` },
        h("label", { for: identifier(path) }, h("span", { class: "label" }, label)),
        h("div", { class: "control" },
          h("select", { id: identifier(path), "data-path": path, "data-kind": kind || "", on: { input: (event) => page.setKind(path, start(event.target.value)) } },
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
    const ranks = rankNames();
    const sizes = Object.keys(page.asked.sizes || {});
    const groups = [];
    if (sizes.length) {
      groups.push(group("sizes", "Sizes", sizes.map((rank) =>
        field(found, `sizes.${rank}`, { label: rank, note: ranks[rank] || (rank === "G" ? "kv head" : ""), numeric: true, scale: true }))));
    }
    const direction = page.asked.kind === "kernel" ? field(found, "direction", { label: "direction", choices: plain(["forward", "backward"]) }) : null;
    groups.push(group("format", "Format and mask",
      field(found, "dtype", { label: "format", choices: plain(page.catalogue.dtypes) }), direction,
      kinds(found, "mask", "mask", page.catalogue.masks, startMask),
      page.asked.kind === "kernel" && typeof page.asked.cascade === "string"
        ? field(found, "cascade", { label: "cascade", wide: true, choices: named(entries("cascade")) }) : null));
    return groups;
  }

  /** What the ranks are called, by the cascade or by those of the steps. */
  function rankNames() {
    const named = [page.asked.cascade, ...(page.asked.steps || []).map((step) => step.cascade)].filter(Boolean);
    const known = named.map((one) => (typeof one === "string" ? (entry("cascade", one) || {}).ranks : one.ranks) || {});
    return Object.assign({}, ...known.reverse());
  }

  function modelGroups(found) {
    const prices = page.catalogue.library.prices;
    return [
      group("model", "Model",
        typeof page.asked.model === "string" ? field(found, "model", { label: "model", wide: true, choices: named(entries("model")) }) : null,
        field(found, "phase", { label: "phase", choices: plain(["decode", "prefill"]) }),
        field(found, "context", { label: "context", note: "tokens", numeric: true, scale: true }),
        field(found, "batch", { label: "batch", note: "requests", numeric: true, scale: true, placeholder: "largest", set: setOptional }),
        field(found, "slo.tpot", { label: "TPOT at most", placeholder: "50 ms", set: setOptional }),
        field(found, "kv", { label: "cache format", choices: plain(page.catalogue.dtypes, "the model's"), set: setOptional }),
        field(found, "prices", { label: "prices", wide: true, choices: [{ value: "", label: "none" }, ...prices.map((one) => ({ value: one.name, label: `${one.name}: ${one.title}` }))], set: setOptional })),
      group("deployment", "Deployment", kinds(found, "deployment", "deployment", page.catalogue.deployments, startDeployment, ["hardware"])),
    ];
  }

  /** A field that may be left out: nothing where the workload has something is a change too. */
  function setOptional(path, value) {
    if (value.trim() === "" && lookup(page.written, path)) {
      page.state.sets.set(path, "null");
      page.changed();
    } else page.set(path, value);
  }

  /** Changed fields that no control above shows, one FIELD=VALUE a line. */
  function more(found) {
    const controls = new Set(["mask", "deployment", ...[...document.querySelectorAll("#form [data-path]")].map((input) => input.dataset.path)]);
    const lines = [...page.state.sets].filter(([path]) => !controls.has(path)).map(([path, value]) => `${path}=${value}`);
    const text = lines.join("\n");
    return h("details", { class: "group more", key: "more", open: page.open || found.has("more") || lines.length > 0 },
      h("summary", {}, "Other fields"),
      h("div", { class: "field wide" },
        h("label", { for: "more" }, h("span", { class: "hint" }, "one FIELD=VALUE a line, as --set takes them: arch.processors.count=66, conditions.launch=stream")),
        h("textarea", { id: "more", rows: "3", spellcheck: "false", "data-more": text, on: { input: (event) => setMore(event.target.value, controls) } }),
        errors(found, "more")));
  }

  function setMore(text, controls) {
    page.open = true;
    for (const path of [...page.state.sets.keys()]) if (!controls.has(path)) page.state.sets.delete(path);
    for (const line of text.split("\n")) {
      const equals = line.indexOf("=");
      if (equals > 0 && line.slice(0, equals).trim()) page.state.sets.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
    }
    page.changed();
  }

  function drawForm() {
    if (!page.catalogue) return;
    const draw = (found) => {
      patch(at("form"), [
        group("choice", "Question",
          source(found, "workload", workloads()),
          source(found, "arch", machines()),
          page.asked.kind === "kernel" || page.asked.kind === undefined || page.state.schedule ? source(found, "schedule", [{ label: "library", options: named(entries("schedule")) }], page.written.schedule ? "the workload's own" : "the best known one") : null),
        page.asked.kind === "model" ? modelGroups(found) : kernelGroups(found),
        more(found),
        h("p", { key: "reset" }, h("button", { type: "button", class: "quiet", on: { click: page.reset } }, "start over")),
      ]);
      fill();
    };
    draw(new Map());
    const found = placed();
    if (found.size) draw(found);
    patch(at("problems"), page.issues.slice(0, 5).map((issue, number) => h("p", { class: "error", key: `problem-${number}` }, where(issue))));
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
    for (const input of document.querySelectorAll("#form [data-part]")) put(input, page.state[input.dataset.part] ? nameOf(input.dataset.part) : "");
    for (const input of document.querySelectorAll("#form [data-yaml]")) put(input, page.state[input.dataset.yaml].yaml);
    for (const input of document.querySelectorAll("#form [data-more]")) put(input, input.dataset.more);
  }

  function nameOf(part) {
    const known = entry(part, page.state[part].name);
    return known ? known.name : page.state[part].name;
  }

  function put(input, value) {
    if (input === document.activeElement && input.tagName !== "SELECT") return;
    if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === value)) {
      if (input.dataset.path) input.add(new Option(value, value));
    }
    if (input.value !== value) input.value = value;
  }

  Object.assign(page, { drawForm, fill, where });
})();
