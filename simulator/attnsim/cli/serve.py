"""`attnsim serve`: the explorer in a browser, on this machine alone."""

from __future__ import annotations

import socket

import click

from attnsim.cli.common import cli_command, narrate
from attnsim.errors import MissingDataError, UsageError

LOOPBACK = "127.0.0.1"


@cli_command("serve", "attnsim serve", "attnsim serve --port 0 --open")
@click.option("--port", default=8765, type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.")
@click.option("--open", "open_", is_flag=True, help="Open the page in the default browser.")
def command(port: int, open_: bool) -> None:
    """Explore answers in a browser: change a field, see what it changes.

    Listens on 127.0.0.1 and nowhere else, loads nothing from the network, keeps nothing, and reads no file but those of the library.
    The address is printed on stderr; Ctrl-C ends it. Needs the extra `web`.
    """
    try:
        import uvicorn

        from attnsim.web.app import create_app
        from attnsim.web.catalogue import catalogue
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "starlette", "uvicorn"):
            raise MissingDataError("the explorer needs FastAPI and uvicorn: pip install 'attnsim[web]'") from None
        raise
    catalogue()  # mistakes in the user's own folders are told here; and the first page comes as quickly as the next
    listening = listen(port)
    address = f"http://{LOOPBACK}:{listening.getsockname()[1]}/"
    config = uvicorn.Config(create_app(), log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2)
    narrate(f"attnsim explorer at {address} (Ctrl-C ends it)")
    if open_:
        import webbrowser

        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # the way it is meant to end
        narrate("ended")
    finally:
        listening.close()


def listen(port: int) -> socket.socket:
    """A socket that listens on the loopback address. Raises UsageError for a port that is taken or not free to take."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if hasattr(socket, "SO_REUSEPORT"):  # where it stands for "after the last one ended", not for "beside another"
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()
    except OSError as error:
        listening.close()
        what = f"cannot listen on port {port} of {LOOPBACK}: {error.strerror}"
        raise UsageError(f"{what}; choose another --port, or 0 for a free one") from None
    return listening
