"""The site builds strictly and without network, links lead somewhere, nothing is loaded from elsewhere, every picture has a text."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from doc_lines import ROOT

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "embed": "src", "object": "data", "link": "href"}


class Page(HTMLParser):
    """What one page loads, links to, names and shows; `mute`: pictures without a text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.mute: list[str] = []
        self.titles = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names |= {value for name in ("id", "name") if (value := found.get(name))}
        self.titles += tag == "h1"
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in LOADED and found.get(LOADED[tag]):
            self.loaded.append(str(found[LOADED[tag]]))
        spoken = "alt" if tag == "img" else "aria-label" if tag == "svg" and found.get("role") == "img" else None
        if spoken is not None and len(str(found.get(spoken) or "")) < 3:
            self.mute.append(str(found))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    # As a shell without access to the network has it: proxies that nobody listens at. Material's notice is about its own future.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1", "ATTNSIM_PATH": ""}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said and "ERROR" not in said, said
    return made


def missing(pages: dict[Path, Page]) -> list[tuple[str, str]]:
    """Links that lead to no page, or to no place on it."""
    found = []
    for path, page in pages.items():
        for link in page.links:
            target, place = urldefrag(link)
            if re.match(r"[a-z]+:", target) or path.name == "404.html":
                continue
            led = (path.parent / unquote(target)).resolve() if target else path
            led = led / "index.html" if led.is_dir() else led
            if led not in pages or (place and unquote(place) not in pages[led].names):
                found.append((path.name, link))
    return found


def test_the_site_is_whole(site: Path) -> None:  # one test, so that one process builds it
    pages = {path: Page(path) for path in site.rglob("*.html")}
    own = {path: page for path, page in pages.items() if path.name != "404.html"}  # served at any address, its links start at the root
    assert len(own) > 50
    assert [path.name for path, page in own.items() if page.titles != 1] == []
    assert missing(own) == []
    loaded = [(path, name) for path, page in pages.items() for name in page.loaded]
    assert [(path.name, name) for path, name in loaded if re.match(r"(https?:)?//", name)] == []
    here = [(path, unquote(urldefrag(name).url.partition("?")[0])) for path, name in loaded if path in own]
    assert [(path.name, name) for path, name in here if not (path.parent / name).exists()] == []
    for path in site.rglob("*.css"):
        assert re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", path.read_text(encoding="utf-8")) == [], path.name
    assert [(path.name, page.mute) for path, page in pages.items() if page.mute] == []
    assert sum(name.endswith(".svg") for _, name in loaded) > 10
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    assert [path.name for path, text in texts.items() if str(ROOT) in text or "<!-- output" in text or "&amp;nbsp;" in text] == []
    assert "sustained" in (site / "search" / "search_index.json").read_text(encoding="utf-8")
