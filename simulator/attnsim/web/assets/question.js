"use strict";
/** The explorer's question: what it is, what its fields show, and how it stands in the address after #. It is kept nowhere else. */
(() => {
  const PARTS = ["workload", "arch", "schedule"];
  const SHORT = { workload: "w", arch: "a", schedule: "s" };

  /** What the page knows: shared by the files of the explorer. */
  const page = {
    /** What there is to choose from. */
    catalogue: null,
    /** The question: per part {name} or {yaml} or null, and the changed fields in the order they are applied. */
    state: { workload: null, arch: null, schedule: null, sets: new Map() },
    /** The workload before (`written`) and after (`asked`) the changes, as far as known. */
    written: {},
    asked: {},
    /** The last answer, the one it is compared with, and what is wrong with the question. */
    last: null,
    pinned: null,
    issues: [],
    /** Whether cost curves are asked for, why a file could not be had, whether the other fields are open. */
    curves: false,
    unkept: "",
    open: false,
  };

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
    if (page.state.sets.has(path)) return page.state.sets.get(path);
    const value = lookup(page.asked, path);
    return shown(value === undefined || value === null ? standard(path) : value);
  }

  /** What holds where the workload says nothing. */
  function standard(path) {
    const steps = path.split(".");
    const forms = { mask: page.catalogue.masks, deployment: page.catalogue.deployments }[steps[0]];
    const fields = steps.length === 1 ? page.catalogue.fields[page.asked.kind] : forms && forms[(page.asked[steps[0]] || {}).kind];
    const field = (fields || []).find((one) => one.name === steps[steps.length - 1]);
    return field && (field.choices.length || typeof field.default === "boolean") ? field.default : null;
  }

  const entries = (kind) => page.catalogue.library[kind];
  const entry = (kind, name) => {
    const folded = fold(name);
    return entries(kind).find((one) => fold(one.name) === folded || one.aliases.some((alias) => fold(alias) === folded));
  };
  const fold = (name) => name.toLowerCase().replaceAll("-", "_");


  function toFragment() {
    const words = new URLSearchParams();
    for (const part of PARTS) {
      const source = page.state[part];
      if (source && source.yaml !== undefined) words.append(`${SHORT[part]}yaml`, source.yaml);
      else if (source) words.append(SHORT[part], source.name);
    }
    for (const [path, value] of page.state.sets) words.append("set", `${path}=${value}`);
    if (page.curves) words.append("curves", "1");
    return words.toString();
  }

  function fromFragment(text) {
    const words = new URLSearchParams(text);
    const found = { sets: new Map() };
    page.curves = words.get("curves") === "1";
    for (const part of PARTS) {
      const short = SHORT[part];
      if (words.has(`${short}yaml`)) found[part] = { yaml: words.get(`${short}yaml`) };
      else if (words.get(short)) found[part] = { name: words.get(short) };
      else found[part] = page.catalogue.first[part] ? { name: page.catalogue.first[part] } : null;
    }
    for (const text of words.getAll("set")) {
      const equals = text.indexOf("=");
      if (equals > 0) found.sets.set(text.slice(0, equals), text.slice(equals + 1));
    }
    return found;
  }

  function question() {
    const body = { workload: page.state.workload, arch: page.state.arch, schedule: page.state.schedule, sets: [] };
    for (const [path, value] of page.state.sets) body.sets.push(`${path}=${value}`);
    return body;
  }

  Object.assign(page, { PARTS, lookup, flow, shown, current, entries, entry, toFragment, fromFragment, question });
  attnsim.explorer = page;
})();
