"""Preference rows in the layouts that datasets have, and large files of them."""

from __future__ import annotations

import json
from pathlib import Path


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def write_lines(path: Path, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def standard(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"What is {i}?", "chosen": f"It is {i}.", "rejected": f"Not {i}."} for i in range(count)]


def conversational(count: int) -> list[dict[str, list]]:
    return [
        {name: [(user if name == "prompt" else assistant)(text)] for name, text in row.items()}
        for row in standard(count)
    ]


def large_row(i: int) -> dict:
    """Some two thousand characters, as in UltraFeedback, all of them of this row alone."""
    prompt, chosen, rejected = f"Explain {i}, please.", f"Yes: {f'{i} ' * 180}.", f"No: {f'{i} ' * 150}."
    return {
        "prompt": prompt,
        "prompt_id": f"row-{i}",
        "chosen": [user(prompt), assistant(chosen)],
        "rejected": [user(prompt), assistant(rejected)],
        "score_chosen": 8.0,
        "score_rejected": i % 8 / 2,
    }


def write_large(path: Path, rows: int) -> Path:
    """A file of ``rows`` pairs, with the 260,000 of a real mix in one Parquet row group, the worst case to stream."""
    if path.suffix == ".jsonl":
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(f"{json.dumps(large_row(i))}\n" for i in range(rows))
        return path
    import pyarrow as pa
    from pyarrow import parquet

    parts = [
        pa.Table.from_pylist([large_row(i) for i in range(at, min(at + 2000, rows))]) for at in range(0, rows, 2000)
    ]
    parquet.write_table(pa.concat_tables(parts), path, row_group_size=rows)
    return path
