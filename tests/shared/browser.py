"""Real headless Chromium for tests of pages: one browser a session, and a page that minds what goes wrong on it.

`page` fails its test at the end if anything was written to the console as an error or warning, a script threw, or anything was asked for
that is neither a local file, inline data nor this machine itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def is_local(url: str) -> bool:
    """Whether a request for `url` stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in LOOPBACK


def missing(reason: str) -> None:
    """Skip where there is no browser; in continuous integration there has to be one."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is set")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser of the machine; none is loaded."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        missing(f"no browser: none of {', '.join(NAMES)} is on PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page, 1440 pixels wide, that minds errors and requests."""
    context = browser.new_context(viewport=WIDE)
    fresh = context.new_page()
    wrong: list[str] = []
    fresh.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
    fresh.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    fresh.on("request", lambda request: None if is_local(request.url) else wrong.append(f"asked for {request.url[:200]}"))
    yield fresh
    context.close()
    assert not wrong, "\n".join(wrong)


# Texts of one drawing must not lie on each other, rotated ones included: corners of their boxes, and the separating axis theorem. Nothing
# may reach beyond the window unless it stands in a box that scrolls.
FAULTS = """() => {
  const quad = (text) => {
    const box = text.getBBox(), to = text.getScreenCTM(), inset = 1;
    if (!box.width) return null;
    const corners = [[box.x + inset, box.y + inset], [box.x + box.width - inset, box.y + inset],
      [box.x + box.width - inset, box.y + box.height - inset], [box.x + inset, box.y + box.height - inset]];
    return corners.map(([x, y]) => [to.a * x + to.c * y + to.e, to.b * x + to.d * y + to.f]);
  };
  const apart = (one, other) => one.some((corner, i) => {
    const [x, y] = [one[(i + 1) % 4][1] - corner[1], corner[0] - one[(i + 1) % 4][0]];
    const on = (points) => points.map(([a, b]) => a * x + b * y);
    return Math.max(...on(one)) <= Math.min(...on(other)) || Math.max(...on(other)) <= Math.min(...on(one));
  });
  const faults = [];
  const title = (svg) => svg.getAttribute("aria-label") || "drawing";
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.checkVisibility()) continue;
    const own = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, quad(text)]).filter(([, corners]) => corners);
    for (const [text, corners] of texts) {
      const out = corners.some(([x, y]) => x < own.left - 1 || x > own.right + 1 || y < own.top - 1 || y > own.bottom + 1);
      if (out) faults.push(`${title(svg)}: "${text}" is cut off`);
    }
    texts.forEach(([text, corners], i) => {
      for (const [other, others] of texts.slice(i + 1)) {
        if (!apart(corners, others) && !apart(others, corners)) faults.push(`${title(svg)}: "${text}" lies on "${other}"`);
      }
    });
  }
  const width = document.documentElement.clientWidth;
  const whole = document.documentElement.scrollWidth;
  if (whole > width) faults.push(`the page scrolls sideways: ${whole} of ${width}`);
  const scrolls = (element) => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== "visible") return true;
    }
    return false;
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1) && !scrolls(element) && getComputedStyle(element).position !== "absolute") {
      const named = `${element.tagName} ${element.getAttribute("class") || ""} "${element.textContent.slice(0, 40)}"`;
      faults.push(`${named} reaches from ${box.left} to ${box.right} of ${width}`);
    }
  }
  return faults;
}"""


def layout_faults(page: Any) -> list[str]:
    """What overlaps, is cut off or reaches beyond the window, in words; empty for a tidy page."""
    faults: list[str] = page.evaluate(FAULTS)
    return faults
