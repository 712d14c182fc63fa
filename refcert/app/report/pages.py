"""One page from a template: everything inside, everything from outside escaped."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from refcert.app.report import words


def render_page(template: str, *styles: str, **values: Any) -> str:
    """The page as one string. styles: more style sheets of this package after the common one."""
    style = "".join(map(_file, ("style.css", *styles)))
    return _environment().get_template(template).render(style=Markup(style), **values)  # noqa: S704 - our own files


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = words.count
    return environment


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
