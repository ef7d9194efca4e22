"use strict";
/**
 * Elements as plain objects, and a `patch` that makes a place on the page equal to them, reusing what is already there: focus, scroll and
 * open <details> survive a redraw. Texts go in as text nodes and attributes by setAttribute, never as markup.
 */
var attnsim = typeof attnsim === "undefined" ? {} : attnsim;
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const HTML = "http://www.w3.org/1999/xhtml";
  const SETTINGS = ["key", "on", "vars", "draw"];
  const LISTENERS = new WeakMap();

  /**
   * @typedef {object} Node
   * @property {string} tag
   * @property {string} space Namespace.
   * @property {object} attrs Attributes; null and false are left out, true is the empty text.
   * @property {object} on Listeners by type.
   * @property {object} vars Style properties, set one by one (a policy against inline styles allows that).
   * @property {Array<Node|string>} children
   */

  const flat = (children) =>
    children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");

  const make =
    (space) =>
    (tag, attrs = {}, ...children) => ({
      tag,
      space,
      key: attrs.key,
      on: attrs.on || {},
      vars: attrs.vars || {},
      attrs,
      children: flat(children).map((child) => (typeof child === "object" ? child : String(child))),
    });

  /** An HTML element: h("p", {class: "note"}, "text", h("b", {}, "bold")). */
  const h = make(HTML);
  /** An SVG element. */
  const s = make(SVG);

  /** Put `nodes` in place of what `parent` holds, changing no more than differs. */
  function patch(parent, nodes) {
    const wanted = flat([nodes]).map((node) => (typeof node === "object" ? node : String(node)));
    const keyed = new Map();
    for (const child of parent.children) {
      if (child.__key !== undefined) keyed.set(child.__key, child);
    }
    let place = parent.firstChild;
    for (const node of wanted) {
      const found = typeof node === "object" && node.key !== undefined ? keyed.get(node.key) : place;
      if (found && fits(found, node)) {
        if (found === place) place = place.nextSibling;
        else parent.insertBefore(found, place);
        update(found, node);
      } else {
        parent.insertBefore(create(node), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      parent.removeChild(place);
      place = next;
    }
  }

  function fits(found, node) {
    if (typeof node === "string") return found.nodeType === 3;
    return found.nodeType === 1 && found.localName === node.tag && found.namespaceURI === node.space && found.__key === node.key;
  }

  function create(node) {
    if (typeof node === "string") return document.createTextNode(node);
    const element = document.createElementNS(node.space, node.tag);
    if (node.key !== undefined) element.__key = node.key;
    update(element, node);
    return element;
  }

  function update(element, node) {
    if (typeof node === "string") {
      if (element.data !== node) element.data = node;
      return;
    }
    attributes(element, node.attrs);
    const styled = element.__vars || {};
    for (const name of Object.keys(styled)) if (!(name in node.vars)) element.style.removeProperty(name);
    for (const [name, value] of Object.entries(node.vars)) if (styled[name] !== value) element.style.setProperty(name, value);
    element.__vars = node.vars;
    listen(element, node.on);
    patch(element, node.children);
    element.__draw = node.attrs.draw;
    // A canvas is painted once it stands on the page, where its style is known.
    if (node.attrs.draw) requestAnimationFrame(() => element.__draw && element.__draw(element));
  }

  function attributes(element, attrs) {
    const wanted = {};
    for (const [name, value] of Object.entries(attrs)) {
      if (!SETTINGS.includes(name) && value !== null && value !== undefined && value !== false)
        wanted[name] = value === true ? "" : String(value);
    }
    const before = element.__attrs || {};
    for (const name of Object.keys(before)) if (!(name in wanted)) element.removeAttribute(name);
    // A reader opens and closes <details>: only a changed wish touches it.
    for (const [name, value] of Object.entries(wanted)) if (before[name] !== value) element.setAttribute(name, value);
    element.__attrs = wanted;
  }

  function listen(element, on) {
    let known = LISTENERS.get(element);
    if (!known) LISTENERS.set(element, (known = {}));
    for (const [type, action] of Object.entries(on)) {
      if (!(type in known)) element.addEventListener(type, (event) => known[type] && known[type](event));
      known[type] = action;
    }
    for (const type of Object.keys(known)) if (!(type in on)) known[type] = null;
  }

  attnsim.dom = { h, s, patch };
})();
