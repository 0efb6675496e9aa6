"""`driftline config check | push`: the configuration, and its semantic part for a whole prefix."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from driftline.options import ConfigPath, out

__all__ = ["app"]

app = typer.Typer(
    help="Check a configuration, and put its semantic part in force.", no_args_is_help=True
)


@app.command(epilog="Example: driftline config check -c driftline.toml")
def check(config: ConfigPath = None) -> None:
    """Read the file and the environment, and show what differs from the defaults.

    Exits with 2 and names the key if something is wrong.
    """
    from msgspec import to_builtins

    from stream.config import SEMANTIC, Config, semantic_hash
    from stream.config_file import load_config
    from stream.security import security_of

    settings, usual = load_config(config), Config()
    security_of(settings.kafka)
    console = out()
    for section in settings.__struct_fields__:
        ours, theirs = (
            to_builtins(getattr(one, section), enc_hook=str) for one in (settings, usual)
        )
        for key, value in ours.items():
            if value != theirs.get(key):
                mark = "  (semantic: changes answers)" if section in SEMANTIC else ""
                console.print(f"{section}.{key} = {value!r}{mark}", markup=False)
    console.print(f"The configuration is valid. Semantic part: {semantic_hash(settings)}")


@app.command(epilog="Example: driftline config push driftline.toml")
def push(
    file: Annotated[Path, typer.Argument(help="The driftline.toml to put in force.")],
) -> None:
    """Put the sections [time], [slices], [detect] and [policy] in force for every worker.

    A new epoch begins 60 s after the latest event that has been read; streams keep their state.
    Where workers run, it waits some seconds, to be sure of that.
    Push first, then restart the workers with the new file, one by one.
    """
    from stream.config_file import load_config
    from stream.pushing import push_config

    start = asyncio.run(push_config(load_config(file)))
    out().print(f"In force from {start or 'the beginning'}. Restart the workers with this file.")
