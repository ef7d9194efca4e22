"""The explorer as a web application: a page, its scripts and styles, and an API that answers questions. It keeps nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from attnsim import __version__
from attnsim.errors import AttnsimError
from attnsim.web.answers import Form, Reply, refused
from attnsim.web.assets import asset
from attnsim.web.catalogue import catalogue, content_of
from attnsim.web.guard import Guard
from attnsim.web.limits import MOST_ISSUES, MOST_MESSAGE, MOST_NAME
from attnsim.web.questions import Answered, Problems, Question
from attnsim.web.workers import SECONDS, BusyError, Workers

_REFUSALS: dict[int | str, dict[str, Any]] = {
    403: {"model": Problems, "description": "The request comes from elsewhere."},
    413: {"model": Problems, "description": "The request is too large."},
    422: {"model": Problems, "description": "The question is wrong, or has no answer."},
    429: {"model": Problems, "description": "Too many questions at once."},
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {media: {} for media in ("application/json", "text/csv", "text/plain", "text/html", "image/svg+xml")},
    }
}


def create_app(workers: int = 2, seconds: float = SECONDS) -> FastAPI:
    """The application. workers: processes that compute answers, 0: this one's threads; seconds: that an answer may take."""
    pool = Workers(workers, seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await pool.warm()
        yield
        pool.close()

    app = FastAPI(title="attnsim explorer", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(AttnsimError, _wrong)
    app.add_exception_handler(HTTPException, _none)
    _pages(app)
    _api(app, pool)
    return app


def _pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page."""
        return _asset("explorer.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        """A script or style of the page."""
        return _asset(name)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        """Browsers ask for it whatever the page says."""
        return Response(status_code=204)


def _asset(name: str) -> Response:
    found = asset(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    media, content = found
    return Response(content, media_type=media, headers={"cache-control": "no-cache"})


def _api(app: FastAPI, pool: Workers) -> None:
    @app.get("/api/catalogue", responses={403: _REFUSALS[403]})
    def choices() -> dict[str, Any]:
        """What there is to choose from."""
        return catalogue()

    @app.get("/api/library/{kind}/{name}", responses={**{status: _REFUSALS[status] for status in (403, 422)}, 404: {"model": Problems}})
    def written(
        kind: Literal["workload", "arch", "schedule", "cascade", "model"], name: Annotated[str, Path(min_length=1, max_length=MOST_NAME)]
    ) -> dict[str, str]:
        """A library entry as it is written."""
        return {"kind": kind, "name": name, "yaml": content_of(kind, name)}

    @app.post("/api/answer", responses={200: {"model": Answered}, **_REFUSALS})
    async def answer(question: Question, curves: bool = False) -> Response:
        """How fast, what stops it, and everything a page draws of it; with `curves`, cost against context and batch, which takes longer."""
        return _response(await pool.do("curves" if curves else "answer", question.model_dump_json()))

    @app.post("/api/file/{form}", responses={**_FILE, **_REFUSALS})
    async def file(form: Form, question: Question) -> Response:
        """The same answer as a file to keep."""
        return _response(await pool.do(form, question.model_dump_json()))

    @app.exception_handler(BusyError)
    async def busy(_request: Request, _error: Exception) -> Response:
        """Too many questions wait."""
        return _problem(429, "too many questions at once; ask again in a moment", {"retry-after": "1"})


def _response(reply: Reply) -> Response:
    headers = {"content-disposition": f'attachment; filename="{reply.file}"'} if reply.file else {}
    return Response(reply.body, reply.status, headers, reply.media)


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    issue = {"message": message, "file": "", "line": None, "column": None, "path": ""}
    return JSONResponse({"issues": [issue]}, status, headers)


async def _misread(_request: Request, error: Exception) -> Response:
    """A question of the wrong form, told as any other mistake; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    issues = [
        {
            "message": str(one["msg"])[:MOST_MESSAGE], "file": "", "line": None, "column": None,
            "path": ".".join(str(step)[:MOST_NAME] for step in one["loc"][1:12]),
        }
        for one in error.errors()[:MOST_ISSUES]
    ]  # fmt: skip
    return JSONResponse({"issues": issues}, 422)


async def _wrong(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AttnsimError)
    return _response(refused(error))


async def _none(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, str(error.detail))
