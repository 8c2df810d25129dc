"""A package of somebody else's, with commands for `edgefleet`."""

from typing import Annotated

import typer

app = typer.Typer(help="Greet in many ways.")


def greet(name: Annotated[str, typer.Argument(help="whom")], sternly: bool = False) -> None:
    """Greet somebody."""
    if sternly:
        raise typer.TyperException(f"{name} is not greeted")
    typer.echo(f"hello {name}")


@app.command()
def wave() -> None:
    """Wave."""
    typer.echo("waves")
