"""``crossdyad schema``"""

from __future__ import annotations

import typer

from .errors import explained


@explained
def schema() -> None:
    """Print the JSON Schema of a recipe file, for completion and checks in an editor.

    Example: crossdyad schema > recipe.schema.json
    """
    from ..recipe import Recipe

    typer.echo(Recipe.json_schema())
