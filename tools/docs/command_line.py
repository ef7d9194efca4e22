"""Commands of attnsim run in this process, each in a folder that the commands of one build share."""

from __future__ import annotations

import io
import os
import shlex
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


class CommandFailedError(Exception):
    """A command of the documentation that does not end well."""


_FOLDER = TemporaryDirectory(prefix="attnsim-docs-")


def folder() -> Path:
    """Where the commands run; it goes away with the process."""
    return Path(_FOLDER.name)


@cache
def output(line: str) -> str:
    """What `attnsim ...` prints; raises CommandFailedError with its complaint."""
    from attnsim.cli.main import main

    program, *words = shlex.split(line)
    if program != "attnsim":
        raise CommandFailedError(f"{line!r} is no command of attnsim")
    out, err, here = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder())
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
    finally:
        os.chdir(here)
    if code:
        raise CommandFailedError(f"{line}: exit {code}: {err.getvalue().strip()}")
    return out.getvalue().rstrip("\n")
