"""Somebody who solves for exact counts from everything that an external form publishes, by linear programming."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linprog

Terms = Mapping[str, float]
PROTECTION = 4.0
"""The narrowest range of a count: five whole numbers remain possible."""
STEP = 5
_SLACK = 1e-9


@dataclass
class System:
    """Unknown counts, and what is known of sums of them."""

    variables: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Range of each count as published."""
    sums: list[tuple[Terms, float, float]] = field(default_factory=list)
    """Weighted sums with their least and largest value."""

    def range_of(self, terms: Terms) -> tuple[float, float]:
        """The smallest and the largest value of a weighted sum that all that is known leaves possible."""
        names = list(self.variables)
        row = {name: index for index, name in enumerate(names)}

        def vector(of: Terms) -> np.ndarray:
            line = np.zeros(len(names))
            for name, weight in of.items():
                line[row[name]] += weight
            return line

        upper = [(vector(t), high) for t, _, high in self.sums if np.isfinite(high)]
        upper += [(-vector(t), -low) for t, low, _ in self.sums if np.isfinite(low)]
        found = []
        for sign in (1.0, -1.0):
            solved = linprog(
                sign * vector(terms),
                A_ub=np.array([line for line, _ in upper]) if upper else None,
                b_ub=np.array([bound + _SLACK for _, bound in upper]) if upper else None,
                bounds=list(self.variables.values()),
                method="highs",
            )
            assert solved.status == 0, solved.message
            found.append(sign * solved.fun)
        return found[0], found[1]

    def narrow(self, cells: Mapping[str, Terms], known: Collection[str] = ()) -> list[str]:
        """Cells that less than five whole numbers remain possible for, though they are not known to be empty.

        Args:
            cells: sums by name.
            known: names that contain one of these are left out: their whole is known and has less than five people.
        """
        found = []
        for name, terms in cells.items():
            low, high = self.range_of(terms)
            if high > _SLACK and high - low < PROTECTION - 1e-6 and not any(one in name for one in known):
                found.append(f"{name}: {low:.3f} to {high:.3f}")
        return found


def window(shown: int) -> tuple[float, float]:
    """What a shown count says."""
    return (0.0, 0.0) if shown == 0 else (shown - STEP + 1.0, float(shown))


def forget_window(shown: int, train_shown: int, train: int | None) -> tuple[float, float]:
    """What the shown forget rows of a group say: where they are the most that may be shown, up to four more are possible."""
    if not shown:
        return (0.0, 0.0)
    low, high = window(shown)
    if train is not None:
        return (low, high if shown < train // STEP * STEP else float(train))
    return (low, high if shown <= train_shown - 2 * STEP else high + STEP - 1)


def published(tree: Mapping[str, Any], train: Mapping[tuple[int, int], int] | None = None) -> tuple[System, dict[str, Terms]]:
    """The system of an external ``audit.json``, and every count of people in it.

    Args:
        tree: the document.
        train: training rows of each group, where the attacker knows them from the public data.
    """
    system, cells = System(), dict[str, Terms]()
    groups = {_key(row["group"]): row for row in tree["data"]["groups"]}
    for key, row in groups.items():
        for part in ("train", "forget", "val", "test"):
            name = f"{part}{key}"
            system.variables[name] = window(row[part])
            cells[name] = {name: 1.0}
        if train is not None:
            system.variables[f"train{key}"] = (train[key], train[key])
            del cells[f"train{key}"]
        system.variables[f"forget{key}"] = forget_window(row["forget"], row["train"], None if train is None else train[key])
        retain = {f"train{key}": 1.0, f"forget{key}": -1.0}
        system.sums.append((retain, 0.0, np.inf))
        cells[f"retain{key}"] = retain
    for subject, people, right, rate in _rates(tree, groups):
        system.variables[right] = (0.0, np.inf)
        low, high = rate
        system.sums.append(({right: 1.0, **{n: -low * w for n, w in people.items()}}, 0.0, np.inf))
        system.sums.append(({right: 1.0, **{n: -high * w for n, w in people.items()}}, -np.inf, 0.0))
        system.sums.append(({right: 1.0, **{n: -w for n, w in people.items()}}, -np.inf, 0.0))
        cells[f"{subject} right {right}"] = {right: 1.0}
        cells[f"{subject} wrong {right}"] = {**people, right: -1.0}
    rights = [name for name in system.variables if name.startswith("right candidate(")]
    for name in rights:
        other = name.replace("candidate(", "baseline(")
        if other in system.variables:
            cells[f"change of {name}"] = {name: 1.0, other: -1.0}
    return system, cells


def _rates(
    tree: Mapping[str, Any], groups: Mapping[tuple[int, int], Any]
) -> Iterator[tuple[str, Terms, str, tuple[float, float]]]:
    """Subject, people, name of the unknown count of right answers, and the published range, of each rate."""
    everyone: dict[str, Terms] = {
        "TA": {f"test{key}": 1.0 for key in groups},
        "UA": {f"forget{key}": 1.0 for key in groups},
        "RA": {name: w for key in groups for name, w in ((f"train{key}", 1.0), (f"forget{key}", -1.0))},
    }
    for value in tree["metrics"]:
        within = value["details"].get("within")
        if within is None:
            continue
        key = None if value["group"] is None else _key(value["group"])
        people = everyone[value["name"]] if key is None else {f"test{key}": 1.0}
        yield value["subject"], people, f"right {value['subject']}{key or '(' + value['name'] + ')'}", tuple(within)


def _key(group: Any) -> tuple[int, int]:
    return (group["target"], group["attribute"]) if isinstance(group, Mapping) else (group[0], group[1])


def by_subtraction(shown: Sequence[int | None], total: int) -> System:
    """A column of counts with hidden cells beside its exact total, as tables of before published it."""
    system = System()
    for index, count in enumerate(shown):
        system.variables[str(index)] = (1.0, STEP - 1.0) if count is None else (count, count)
    system.sums.append((dict.fromkeys(system.variables, 1.0), total, total))
    return system
