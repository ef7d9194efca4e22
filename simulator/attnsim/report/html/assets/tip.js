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
    root.addEventListener("focusin", (event) => {
      const target = of(event);
      if (!target) return;
      const place = target.getBoundingClientRect();
      show(target, place.right, place.top + place.height / 2);
    });
    root.addEventListener("focusout", hide);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
    });
    document.addEventListener("scroll", hide, { passive: true, capture: true });
  }

  attnsim.tips = tips;
})();
