"""HTML whose text is always escaped: whatever is not markup made here is text."""

from html import escape


class Html(str):
    """Markup that is put into a page as it is."""


def tag(_name: str, *content: str | None, **attributes: str | None) -> Html:
    """An element; content that is no `Html` is escaped, and so is every attribute.

    An attribute is written with ``-`` for ``_`` and without a trailing ``_`` (``class_``); None leaves it, or a piece
    of content, out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if _name in ("img", "meta", "br"):
        return Html(f"<{_name}{said}>")
    return Html(f"<{_name}{said}>{joined(*content)}</{_name}>")


def joined(*content: str | None) -> Html:
    """The pieces one after another, text escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in content if part is not None))


def table(head: list[str], rows: list[list[str | None]], caption: str, class_: str | None = None) -> Html:
    """A table whose first column names its rows; a cell that is None is left empty."""
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
            tag(
                "tbody",
                *(
                    tag("tr", tag("th", first, scope="row"), *(tag("td", cell or "") for cell in cells))
                    for first, *cells in rows
                ),
            ),
        ),
        class_=f"wide {class_ or ''}".strip(),
        tabindex="0",
        role="region",
        aria_label=caption,
    )
