"""What was measured, and the statistics over it."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Results:
    """All values by measure and program, and what went wrong."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def add(self, measure: str, program: str, *values: float) -> None:
        self.values[measure, program].extend(values)

    def fail(self, program: str, why: str) -> None:
        self.failures.append(f"{program}: {why}")

    def median(self, measure: str, program: str) -> float | None:
        """None when it was not measured."""
        values = self.values.get((measure, program))
        return median(values) if values else None

    def spread(self, measure: str, program: str) -> tuple[float, float, float] | None:
        """Median, least and greatest."""
        values = self.values.get((measure, program))
        return (median(values), min(values), max(values)) if values else None
