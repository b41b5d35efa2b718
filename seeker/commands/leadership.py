"""A word to whoever reads what no seeker keeps up to date."""

from __future__ import annotations

import click

from seeker.catalogue import Catalogue


async def warn_if_unled(store: Catalogue) -> None:
    """On stderr, so that `--json` stays what it is."""
    lease = await store.lease()
    if lease.valid:
        return
    since = f"leads since {lease.ends_at:%Y-%m-%d %H:%M:%S} UTC" if lease.ends_at else "has led yet"
    click.echo(f"no seeker {since}: start `seeker run`", err=True)
