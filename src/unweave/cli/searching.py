"""The command that finds features: by words, token, site, label contrast, likeness and co-firing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.arguments import count
from unweave.base.errors import NothingFound, UnweaveError
from unweave.base.outcome import Output
from unweave.cli.shared import Command, grid, usual_harvest

if TYPE_CHECKING:
    from unweave.read.view_models import SearchAnswer
    from unweave.record import Table

LABEL_SHOWN = 60


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORDS", nargs="*", help="words of labels, or the name of a language: German")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--harvest", metavar="FOLDER", type=Path, help="what `unweave harvest` has written")
    source.add_argument("--decomposition", metavar="DECOMPOSITION", help="a folder or bundled name: its usual harvest")
    parser.add_argument("--token", metavar="T", help="features that fire on this token: ' and'")
    parser.add_argument("--site", metavar="GLOB", help="only these sites, with * and ?")
    parser.add_argument("--contrast", metavar="LABEL[:LABEL]", help="more important on one label: de, or de:en")
    parser.add_argument("--like", metavar="NAME", help="features whose direction is like this one's: SITE:INDEX")
    parser.add_argument("--by", choices=("read", "write"), default="read", help="for --like (default: read)")
    parser.add_argument("--co-fires", metavar="NAME", help="features that fire together with this one: SITE:INDEX")
    parser.add_argument("--limit", metavar="N", type=count, default=20, help="so many at most (default: 20)")


def _search(args: argparse.Namespace) -> Output:
    from pydantic import ValidationError

    from unweave.read.subject import open_subject
    from unweave.read.view_models import SearchRequest

    asked = {name: getattr(args, name) for name in ("token", "site", "contrast", "like", "by", "co_fires", "limit")}
    try:
        request = SearchRequest(words=" ".join(args.words), **asked)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UnweaveError(f"{fault['loc'][0]} is {fault['input']!r}: {fault['msg'].lower()}") from error
    folder = args.harvest or usual_harvest(args.decomposition)
    found = open_subject(folder).index.search(request)
    value = {"harvest": str(folder), "request": request.model_dump(), **found.model_dump()}
    if not found.hits:
        return Output(value, [f"Nothing found: {found.note}."], NothingFound.exit_code)
    return Output(value, [*grid(_hits_table(found)), "", f"{len(found.hits)} of {found.total}"])


def _hits_table(found: SearchAnswer) -> Table:
    from unweave.record import Table

    rows = [
        {
            "feature": hit.name,
            "label": hit.label if len(hit.label) <= LABEL_SHOWN else f"{hit.label[: LABEL_SHOWN - 1]}…",
            "density": hit.density,
            "score": hit.score,
            "why": hit.why,
        }
        for hit in found.hits
    ]
    return Table.from_records("hits", rows)


COMMANDS = {
    "search": Command(
        _search, "find features by words, token, site, label contrast, likeness or co-firing", _search_options
    ),
}
