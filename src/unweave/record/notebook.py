"""What a notebook shows of runs, tables and claims: small, static HTML in which every text of others is only text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from unweave.base.errors import UnweaveError
from unweave.record.markup import text_html

if TYPE_CHECKING:
    from unweave.record.claims import CheckedClaim, Claim
    from unweave.record.run import Run
    from unweave.record.table import Table

MOST_ROWS = 20
MOST_CHARACTERS = 300

Item = TypeVar("Item")


class Listed(list[Item]):
    """A list of claims or checked claims that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return claims_html(self)  # type: ignore[arg-type]  # there are no other lists of it


def rows_html(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", more: int = 0) -> str:
    """A table of texts and numbers, the numbers to the right."""
    head = "".join(f'<th scope="col">{cell_html(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    below = f"<p>… and {more:,} more</p>" if more > 0 else ""
    above = f"<caption>{cell_html(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def facts_html(title: str, facts: Iterable[tuple[str, object]]) -> str:
    """A title, and what is known under it, where it is known."""
    rows = "".join(
        f'<tr><th scope="row">{cell_html(name)}</th>{_cell(value)}</tr>'
        for name, value in facts
        if value not in (None, "")
    )
    return f"<p><b>{cell_html(title)}</b></p><table><tbody>{rows}</tbody></table>"


def cell_html(value: object) -> str:
    """A text as it stands in a cell: escaped, and cut where it is long."""
    text = "" if value is None else str(value)
    return text_html(text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…")


def table_html_small(table: Table) -> str:
    """The first rows of a table of results."""
    rows = [
        [_shown(table, column, value) for column, value in zip(table.columns, row, strict=True)]
        for row in table.rows[:MOST_ROWS]
    ]
    headings = [table.heading(column) for column in table.columns]
    return rows_html(headings, rows, table.caption or table.name, len(table.rows) - MOST_ROWS)


def claims_html(claims: Sequence[Claim | CheckedClaim]) -> str:
    """Claims with where each number stands, and their verdicts where they were checked."""
    rows = []
    for number, entry in enumerate(claims[:MOST_ROWS]):
        claim: Any = getattr(entry, "claim", entry)
        verdict = getattr(entry, "verdict", None)
        where = f"{claim.table}, {claim.column}"
        rows.append([number, claim.sentence, where, *([verdict, entry.reason] if verdict else [])])  # type: ignore[union-attr]
    checked = bool(claims) and hasattr(claims[0], "verdict")
    return rows_html(
        ["claim", "sentence", "read from", *(["verdict", "reason"] if checked else [])], rows,
        "" if claims else "no claims", len(claims) - MOST_ROWS,
    )  # fmt: skip


def run_html(run: Run) -> str:
    """A run's facts and its claims."""
    try:
        state, claims = run.state(), run.claims()
        facts = [
            ("study", state.get("study")),
            ("status", run.status),
            ("created", str(state.get("created"))[:19]),
            ("note", state.get("note")),
            ("config", ", ".join(f"{name}={value}" for name, value in dict(state.get("config") or {}).items())),
            ("tables", ", ".join(run.tables())),
            ("figures", ", ".join(run.figures())),
        ]
    except UnweaveError as error:
        return facts_html(f"run {run.path.name}", [("damaged", str(error))])
    return facts_html(f"run {run.id}", facts) + (claims_html(claims) if claims else "")


def _cell(value: Any) -> str:
    if isinstance(value, _Number) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return f'<td style="text-align:right">{cell_html(value)}</td>'
    return f'<td dir="auto" style="text-align:left">{cell_html(value)}</td>'


class _Number(str):
    """A number that is written out already."""


def _shown(table: Table, column: str, value: Any) -> object:
    text = table.shown(column, value)
    return _Number(text) if isinstance(value, (int, float)) and not isinstance(value, bool) else text
