"""One hypothesis profile and one browser for the whole suite."""

import os

from browser import browser, page  # noqa: F401 - fixtures: a browser starts once, when a test first asks for it
from hypothesis import settings

# No deadline: a pause of a shared machine is no failure. In continuous integration the examples are the same at every run, so that a
# failure there can be repeated; everywhere else new ones are tried.
settings.register_profile("attnsim", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("attnsim")
