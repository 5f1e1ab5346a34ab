"""The paper of every report: one HTML file of titled parts that asks no network for anything."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files as resources
from pathlib import Path

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.report.markup import Html, tag


def write_page(path: Path, page: str) -> None:
    """Write a page to `path`, beside and renamed."""
    with written_beside(path) as beside:
        beside.write_text(page, "utf8", "backslashreplace")  # a name may hold what is no text


def paper(title: str, parts: Iterable[tuple[str, Html | None]]) -> str:
    """A page of these parts, each with its title; those that are None are left out."""
    style, script = (
        resources("napari_pix2pix.report").joinpath(f"page.{kind}").read_text("utf8") for kind in ("css", "js")
    )
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    sections = {title: body for title, body in parts if body}
    ids = {title: title.lower().replace(" ", "-").rstrip("?") for title in sections}
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag(
                "meta",  # nothing is fetched, and no script runs but ours, whatever a name in the data holds
                http_equiv="Content-Security-Policy",
                content=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'",
            ),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Html(style)),
        ),
        tag(
            "body",
            tag(
                "header",
                tag("h1", title),
                tag("p", f"napari-pix2pix, written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", class_="soft"),
            ),
            tag("nav", *(tag("a", title, href=f"#{ids[title]}") for title in sections), aria_label="Sections"),
            tag(
                "main",
                *(
                    tag("section", tag("h2", title, id=ids[title]), body, aria_labelledby=ids[title])
                    for title, body in sections.items()
                ),
                tag("footer", tag("p", "This page is complete in itself: it loads nothing.", class_="soft")),
            ),
            tag("script", Html(script)),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"
