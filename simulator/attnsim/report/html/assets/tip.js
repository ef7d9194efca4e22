"use strict";
/** One tooltip for a whole root: whatever has `data-tip` shows it on hover and on keyboard focus. */
(() => {
  const GAP = 12;

  /** Let elements under `root` show their `data-tip`; calling it again does nothing. */
  function tips(root) {
    if (root.__tips) return;
    root.__tips = true;
    const box = document.createElement("div");
    box.className = "attnsim-tip";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    document.body.appendChild(box);
    const show = (target, x, y) => {
      box.textContent = target.getAttribute("data-tip");
      box.hidden = false;
      const { width, height } = box.getBoundingClientRect();
      const room = document.documentElement.clientWidth;
      box.style.left = `${Math.max(4, Math.min(x + GAP, room - width - 4))}px`;
      box.style.top = `${y + GAP + height > window.innerHeight ? Math.max(4, y - GAP - height) : y + GAP}px`;
    };
    const hide = () => {
      box.hidden = true;
    };
    const of = (event) => event.target instanceof Element && event.target.closest("[data-tip]");
    root.addEventListener("pointermove", (event) => {
      const target = of(event);
      if (target) show(target, event.clientX, event.clientY);
      else hide();
    });
    root.addEventListener("pointerleave", hide);
    const beside = (target) => {
      const place = target.getBoundingClientRect();
      show(target, place.right, place.top + place.height / 2);
    };
    root.addEventListener("focusin", (event) => {
      const target = of(event);
      if (target) beside(target);
    });
    root.addEventListener("focusout", hide);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
    });
    // Focus by keyboard scrolls its element into view: the tooltip goes with it. A pointer rests while the page moves away below.
    const moved = () => {
      const focused = root.contains(document.activeElement) && document.activeElement.closest("[data-tip]:focus-visible");
      if (focused && !box.hidden) beside(focused);
      else hide();
    };
    document.addEventListener("scroll", moved, { passive: true, capture: true });
  }

  attnsim.tips = tips;
})();
