"""One label in several notations: which cells mean the same, and which may mean that a label is missing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from grmu_audit.errors import InputError

MISSING = frozenset(
    {
        "nan",
        "-nan",
        "na",
        "n/a",
        "#n/a",
        "<na>",
        "nat",
        "null",
        "(null)",
        "\\n",
        "n.a.",
        "#n/a n/a",
        "1.#ind",
        "-1.#ind",
        "1.#qnan",
    }
    | {"#null!", "#value!", "#ref!", "#div/0!", "#name?", "#num!"}
)
"""Cells, in small letters, by which other programs say that a value is missing or could not be computed."""
DOUBTFUL = frozenset(
    {"none", "?", "??", "-", "--", "---", ".", "..", "*", "/", "unknown", "unspecified", "undefined", "missing", "not available"}
    | {"not specified", "not known", "no data", "no value", "nil", "blank", "empty", "tbd", "n.s.", "#"}
)
"""Cells, in small letters, that may mean a missing label, and may be meant."""
SYNONYMS = (
    ("true", "t", "yes", "y", "1"),
    ("false", "f", "no", "n", "0"),
    ("female", "f", "woman", "w"),
    ("male", "m", "man"),
)
"""Words of which two in one column may mean one label."""
_SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–—−﹣－", "-") | dict.fromkeys("\u2018\u2019\u02bc", "'") | dict.fromkeys("\u2044\u2215", "/")
)
_DOTS = str.maketrans({"\u0131": "i", "\u0307": None})
"""Turkish letters: the small form of I has no dot, the capital form of i has one."""
_FOREIGN, _LATIN = "авекмнорстухіјѕαβεζηικμνορτυχ", "abekmhopctyxijsabezhikmnoptyx"
_LOOK_ALIKE = str.maketrans(_FOREIGN + _FOREIGN.upper(), _LATIN + _LATIN.upper())
"""Letters of other scripts that look like Latin ones."""
_ENDS = "\"'`.,;:\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u00b4"
_BETWEEN = re.compile(r"(?<=\w)[\s_/.-]+(?=\w)")
"""What stands between the words of a label."""
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
"""Numbers with a decimal comma."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]\d{1,6})?|[+-]?\d*\.\d+[eE]\d{1,6}", re.ASCII)
"""Numbers as programs write them; ``0e12`` is not among them, which is more often a code."""
_CANONICAL = re.compile(r"0|-?[1-9]\d*|[A-Za-z][!-~]*(?: [!-~]+)*", re.ASCII)
"""Names of which no two differ in notation, unless in case: the usual ones, so that a column of them is checked fast."""
_SHOWN = 5
Key = str | tuple[int, ...]
"""What all notations of one label have in common."""


def plain_text(cell: str) -> str:
    """The text in one form: Unicode NFKC, digits from 0 to 9, one kind of dash and apostrophe, single blanks, no invisible signs.

    >>> plain_text("cafe\\u0301  18\\u201324\\u200b"), plain_text("\\u0663")
    ('café 18-24', '3')
    """
    if cell.isascii():
        return " ".join(cell.split())
    folded = unicodedata.normalize("NFKC", cell).translate(_SIGNS)
    return " ".join("".join(str(unicodedata.decimal(s, s)) for s in folded if unicodedata.category(s) != "Cf").split())


def notation_key(cell: str, *, exact: bool = False) -> Key:
    """A key that all notations of one label share: its number, else its text without case, space and form.

    Args:
        cell: the label.
        exact: whether case counts.

    >>> notation_key("1") == notation_key("1.0") == notation_key("01") != notation_key("10")
    True
    >>> notation_key("F") == notation_key(" f"), notation_key("F", exact=True) == notation_key("f", exact=True)
    (True, False)
    """
    text = plain_text(cell)
    if _NUMBER.fullmatch(text):
        return _number_key(text)
    return text if exact else unicodedata.normalize("NFKC", text.casefold()).translate(_DOTS)


def _number_key(text: str) -> Key:
    """Sign, digits and exponent without zeros at either end: exact for numbers of any length."""
    sign, digits, exponent = Decimal(text).as_tuple()
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    return (0,) if kept == [0] else (sign, int(exponent) + len(digits) - len(kept), *kept)


def by_notation(known: Iterable[str]) -> dict[Key, str]:
    """The first name of each notation key, for ``other_notation``."""
    found: dict[Key, str] = {}
    for name in known:
        found.setdefault(notation_key(name), name)
    return found


def other_notation(cell: str, known: Mapping[Key, str]) -> str:
    """`` (only the notation differs from 'F')`` where that is so, else nothing.

    >>> known = by_notation(["001", "002"])
    >>> other_notation("1", known), other_notation("3", known)
    (" (only the notation differs from '001')", '')
    """
    found = known.get(notation_key(cell))
    return "" if found in (None, cell) else f" (only the notation differs from {found!r})"


def clashes(values: Iterable[str], *, exact: bool = False) -> list[list[str]]:
    """Values that are one label in several notations, together; empty where there are none.

    >>> clashes(["1", "0", "1.0"])
    [['1', '1.0']]
    """
    values = list(values)
    if exact and all(map(_CANONICAL.fullmatch, values)):
        return []
    found: defaultdict[Key, list[str]] = defaultdict(list)
    for value in values:
        found[notation_key(value, exact=exact)].append(value)
    return [same for same in found.values() if len(same) > 1]


def described_clash(same: Sequence[str]) -> str:
    """What makes some notations one label.

    >>> described_clash(["1", "1.0"]), described_clash(["F", "f"])
    ("'1' and '1.0' are the same number", "'F' and 'f' are the same text but for case")
    """
    listed = " and ".join(repr(value) if value.isascii() else ascii(value) for value in same[:_SHOWN])
    if isinstance(notation_key(same[0]), tuple):
        return f"{listed} are the same number"
    cased = len({plain_text(value) for value in same}) == len(same)
    return f"{listed} are the same text but for {'case' if cased else 'blanks, case or Unicode form'}"


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels, for messages."""

    source: str
    """File."""
    name: str
    """Column."""
    rows: Sequence[int]
    """[n] line of each cell."""
    cells: Sequence[str]
    """[n] labels; empty text where one is missing."""
    option: str = "--exact-labels"
    """What keeps labels apart that differ in case only."""


def check_notations(column: LabelColumn, *, exact: bool = False) -> list[str]:
    """Refuse a column in which one label stands in two notations; what may be meant is returned as warnings.

    Args:
        column: the labels.
        exact: whether labels that differ in case only are kept apart.

    Returns:
        A sentence for values that may mean a missing label, and for words that may mean the same, with their counts.

    Raises:
        InputError: two notations of one label, or a value by which other programs say that one is missing; with rows.
    """
    counts = Counter(cell for cell in column.cells if cell)
    where = f"{column.source}: "
    unclear = next((value for value in counts if plain_text(value).lower() in MISSING), None)
    if unclear is not None:
        raise InputError(
            f"{where}row {_row(column, unclear)}: {column.name} is {unclear!r}: leave the cell empty if the label is missing "
            "(the sample is then left out and counted), or write it in another way if it is a value"
        )
    found = clashes(counts, exact=exact)
    if found:
        shown = ", ".join(f"{value!a} in {counts[value]} rows (first: row {_row(column, value)})" for value in found[0][:_SHOWN])
        more = f"; labels with two notations: {len(found)}" if len(found) > 1 else ""
        keep = "" if clashes(found[0], exact=True) else f"; {column.option} keeps labels apart that differ in case only"
        raise InputError(
            f"{where}column {column.name!r}: {described_clash(found[0])}: {shown}{more}; write each in one way{keep}"
        )
    return [f"{where}column {column.name!r}: {text}" for text in _doubts(counts, exact)]


def _row(column: LabelColumn, value: str) -> int:
    return column.rows[column.cells.index(value)]


def _doubts(counts: Counter[str], exact: bool) -> list[str]:
    """What may be meant and may be a mistake, with counts."""
    said = []
    if odd := [value for value in counts if plain_text(value).lower() in DOUBTFUL]:
        said.append(
            f"{_counted(odd, counts)} may mean that the label is missing: it counts as a label of its own; leave such cells "
            "empty if not"
        )
    near = _near(counts, exact)
    folded = {plain_text(value).casefold(): value for value in counts}
    same_meaning = [[folded[word] for word in group if word in folded] for group in SYNONYMS]
    near += [same for same in same_meaning if len(same) > 1 and len(max(same, key=len)) > 1]
    said += [f"{_counted(same, counts)} may mean the same: they count as different labels" for same in near]
    return said


def _counted(values: Sequence[str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value!r} ({counts[value]} rows)" for value in values[:_SHOWN])


def _near(values: Iterable[str], exact: bool) -> list[list[str]]:
    """Labels that are the same but for signs around and between their words, a decimal comma, or letters that look alike."""
    found: defaultdict[Key, list[str]] = defaultdict(list)
    for value in values:
        key = notation_key(value, exact=exact)
        if isinstance(key, str) and DECIMAL_COMMA.fullmatch(key):
            key = notation_key(key.replace(",", "."))
        elif isinstance(key, str):
            key = _BETWEEN.sub(" ", key.translate(_LOOK_ALIKE)).strip(_ENDS + " ") or key
        found[key].append(value)
    return [same for same in found.values() if len(same) > 1]


def doubtful_categories(column: LabelColumn) -> list[str]:
    """What may be a mistake in a column of categories that is no label: values that mean a missing one, two notations of one.

    >>> doubtful_categories(LabelColumn("t.csv", "colour", (2, 3), ("red", "Red")))
    ["t.csv: colour: 'red' and 'Red' are the same text but for case: they count as different categories"]
    """
    counts = Counter(cell for cell in column.cells if cell)
    where = f"{column.source}: {column.name}: "
    said = [f"{where}{described_clash(same)}: they count as different categories" for same in clashes(counts)[:_SHOWN]]
    if odd := [value for value in counts if plain_text(value).lower() in MISSING | DOUBTFUL]:
        said.append(f"{where}{_counted(odd, counts)} may mean that the value is missing: it counts as a category of its own")
    return said
