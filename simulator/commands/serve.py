"""``trainsim serve``: a local page with sliders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import socket

MISSING = "trainsim serve needs the extra `web`: pip install 'trainsim[web]'"


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8642, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--allow-remote", is_flag=True, help="Listen to other machines: anybody who reaches the port may ask."
)
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="A name under which other machines reach this one."
)
def command(host: str, port: int, open_: bool, allow_remote: bool, names: tuple[str, ...]) -> None:
    """Serve a page with sliders for budget, hardware, data and demand, answered as they move.

    It listens to this machine alone unless --allow-remote is given. Ctrl-C ends it.
    """
    from simulator.errors import SpecError

    try:
        import uvicorn

        from simulator.web import app
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "anyio", "h11"):
            raise
        raise SpecError(MISSING) from None
    remote = not _loopback(host)
    if remote and not allow_remote:
        raise SpecError(
            f"--host {host[:80]} is not this machine alone; --allow-remote says that this is meant"
        )
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    if remote:
        click.echo(
            f"warning: anybody who reaches port {port} of this machine may ask questions and read the names in its library; "
            "there is no password and no encryption",
            err=True,
        )
    click.echo(f"serving {address} - Ctrl-C ends it", err=True)
    if open_:
        import webbrowser

        webbrowser.open(address)
    hosts = [*names, *([] if host in ("0.0.0.0", "::") else [host])]  # noqa: S104 - compared, not bound
    config = uvicorn.Config(
        app.create(names=hosts, remote=remote),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        proxy_headers=False,
        ws="none",
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    """A socket bound to an address; a free port where it is 0."""
    import socket

    from simulator.errors import SpecError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{host[:80]}:{port} cannot be listened on: {reason}") from None
    return listener


def _loopback(host: str) -> bool:
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
