"""The page: its files, as they lie in `processor/api/page/`, read once. It does all it does through the API.

Files are at addresses that name their content, so a browser keeps them for ever, and a new version has new addresses.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"
ASK = "no-cache"
"""The page itself: kept, and asked for each time whether it is still the same."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    kind: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Page:
    """`version` names the content of all `assets`; `index` names it in their addresses."""

    index: File
    assets: dict[str, File]
    version: str


@cache
def page() -> Page:
    """Read the files of the page."""
    root = files("processor.api") / "page"
    assets = {
        name: File(place.read_bytes(), KINDS[name[name.rindex(".") :]])
        for folder, prefix in ((root, ""), (root / "views", "views/"))
        for place in folder.iterdir()
        if (name := f"{prefix}{place.name}").endswith(tuple(KINDS))
    }
    index = assets.pop("index.html")
    told = hashlib.sha256(b"".join(f"{name} {file.etag} ".encode() for name, file in sorted(assets.items())))
    version = told.hexdigest()[:12]
    body = index.body.replace(b'"page/', f'"page/{version}/'.encode())
    return Page(File(body, index.kind), assets, version)


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """Give the page."""
    return _answer(request, page().index, ASK)


@router.api_route("/page/{version}/{name:path}", methods=["GET", "HEAD"])
async def asset(version: str, name: str, request: Request) -> Response:
    """Give a file of the page."""
    file = page().assets.get(name)
    if file is None or version != page().version:
        raise HTTPException(404)
    return _answer(request, file, FOR_EVER)


def _answer(request: Request, file: File, keep: str) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": keep}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.kind, headers=headers)
