"""The templates of pages: strict, escaped, and the same text for the same input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2


def template_environment(folder: Path, **filters: Callable[..., str]) -> jinja2.Environment:
    """The environment of the templates in a folder, with filters by name; an undefined name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment
