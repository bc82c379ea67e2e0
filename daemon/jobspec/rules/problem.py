"""What a rule says: where in the job, what is wrong, what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str, ...]


def step(kind: str, name: str, number: int = 1) -> str:
    """The path element of a named block; `number` tells those of one name apart."""
    return f'{kind} "{name}"' + (f" #{number}" if number > 1 else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `path` is `('group "g"', 'task "t"', 'driver')`, empty for the job itself."""

    path: Path
    message: str
    suggestion: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        """One line for a reader without the text: `group "g" > task "t" > driver: message`."""
        where = f"{' > '.join(self.path)}: " if self.path else ""
        advice = f" ({self.suggestion})" if self.suggestion else ""
        return f"{where}{self.message}{advice}"


@dataclass(slots=True)
class Report:
    """Collects problems below a path."""

    path: Path = ()
    problems: list[Problem] = field(default_factory=list)

    def below(self, *steps: str) -> Report:
        """A report for something inside, into the same list."""
        return Report((*self.path, *steps), self.problems)

    def error(self, key: str, message: str, suggestion: str = "") -> None:
        """Something that refuses the job. An empty key means the path itself."""
        path = (*self.path, key) if key else self.path
        self.problems.append(Problem(path, message, suggestion))

    def warn(self, key: str, message: str, suggestion: str = "") -> None:
        """Something the user may not have meant."""
        path = (*self.path, key) if key else self.path
        self.problems.append(Problem(path, message, suggestion, is_warning=True))

    def need(self, holds: bool, key: str, message: str, suggestion: str = "") -> None:
        """An error unless the condition holds."""
        if not holds:
            self.error(key, message, suggestion)
