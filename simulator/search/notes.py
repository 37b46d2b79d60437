"""What has to be said beside the numbers, collected on the way."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Notes:
    """What has to be said beside the numbers."""

    warnings: list[dict[str, str]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def warn(self, name: str, message: str) -> None:
        """Add a warning once."""
        if not any(w["id"] == name and w["message"] == message for w in self.warnings):
            self.warnings.append({"id": name, "message": message})

    def source(self, what: str, source: str) -> None:
        """Add a source once."""
        if source and not any(s["what"] == what and s["source"] == source for s in self.sources):
            self.sources.append({"what": what, "source": source})
