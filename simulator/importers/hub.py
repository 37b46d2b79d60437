"""``config.json`` of a model on the Hugging Face hub: this one file and nothing else is fetched (extra ``hf``)."""

from __future__ import annotations

import re
from pathlib import Path

from simulator.errors import Problem, SpecError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
"""Id of a model, ``owner/name``, with a revision behind ``@``."""

CONNECT_S = 5.0
"""Time that a connection may take. [s]"""

FILES = (".json", ".yaml", ".yml", ".toml", ".sh", ".txt", ".py")
"""Endings that no model is called by."""


def is_hub_name(text: str) -> bool:
    """Whether a text is the id of a model on the hub rather than a path.

    Examples
    --------
    >>> is_hub_name("Qwen/Qwen3-0.6B"), is_hub_name("Qwen/Qwen3-0.6B@main"), is_hub_name("configs/run.toml")
    (True, True, False)
    """
    if not NAME.fullmatch(text) or text.endswith(FILES):
        return False
    try:
        return not Path(text).exists()
    except OSError:
        return False


def fetch(name: str, *, revision: str | None = None) -> tuple[Path, str]:
    """Fetch ``config.json`` of a model, from the local cache where it is up to date.

    Parameters
    ----------
    name : str
        Id such as ``Qwen/Qwen3-0.6B``; a revision may stand behind ``@``.
    revision : str, optional
        Branch, tag or commit.

    Returns
    -------
    path, str
        The file, and the commit that it belongs to.

    Raises
    ------
    SpecError
        If huggingface_hub is not installed, there is no such model, revision or file, the model is gated, or the hub
        cannot be reached.
    """
    try:
        from huggingface_hub import constants, errors, hf_hub_download
    except ImportError:
        hint = "pip install 'trainsim[hf]', or give the path of a config.json"
        raise SpecError(Problem("huggingface_hub is not installed", file=name, hint=hint)) from None
    model, _, written = name.partition("@")
    asked = revision or written or None
    try:
        # Without a network huggingface_hub tries again for most of a minute before it looks into its cache.
        only = not _answers(constants.ENDPOINT)
        path = Path(hf_hub_download(model, "config.json", revision=asked, local_files_only=only))
    except errors.GatedRepoError:
        hint = "ask for access on its page, then: hf auth login"
        raise SpecError(Problem("the model is gated", file=model, hint=hint)) from None
    except errors.RevisionNotFoundError:
        raise SpecError(Problem(f"no revision {asked!r}", file=model)) from None
    except errors.RepositoryNotFoundError:
        hint = "check the spelling; a private model needs: hf auth login"
        raise SpecError(
            Problem("no such model on the hub, or it is private", file=model, hint=hint)
        ) from None
    except errors.LocalEntryNotFoundError:
        raise SpecError(_offline(model)) from None
    except errors.EntryNotFoundError:
        raise SpecError(Problem("the repository has no config.json", file=model)) from None
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(Problem(f"the hub refuses: {text[0][:160]}", file=model)) from None
    except OSError:
        raise SpecError(_offline(model)) from None
    return path, commit_of(path)


def _answers(address: str) -> bool:
    """Whether somebody listens at an address; behind a proxy that cannot be told, and is taken for granted."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    parts = urlsplit(address)
    if getproxies():
        return True
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True


def _offline(model: str) -> Problem:
    hint = "check the connection; a config.json that you have is read by its path"
    return Problem(
        "config.json is not in the local cache, and the hub cannot be reached", file=model, hint=hint
    )


def commit_of(path: Path) -> str:
    """Commit of a file in the hub's cache, ``.../snapshots/<commit>/config.json``; empty elsewhere.

    Examples
    --------
    >>> commit_of(Path("hub/models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567/config.json"))[:7]
    '0123456'
    """
    return path.parent.name if re.fullmatch(r"[0-9a-f]{40}", path.parent.name) else ""
