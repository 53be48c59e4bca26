"""The list of behaviours as a page: ``python -m unweave.preferences.behaviours.catalogue > docs/behaviours.md``."""

from __future__ import annotations

from itertools import groupby

from unweave.preferences.behaviours.registry import all_behaviours

_ROOM = "unweave.preferences.behaviours."
_INTRODUCTION = """# Behaviours

What can be counted in a reply. Each is a small function in `src/unweave/preferences/behaviours/`; this page is made
from them by `python -m unweave.preferences.behaviours.catalogue > docs/behaviours.md`.

The lists of words are English, short, and written for this project: a share of zero says that none of the listed words
occurs, not that the feeling or the stance is absent. Units `per reply` count, and grow with the length of the reply:
where replies are cut off after so many tokens, read those of `0 or 1` and the shares beside them. Words are runs of
letters, with inner apostrophes; a run of Chinese or Japanese, which set no spaces, is one word.

## One of your own

```python
# my.py
from unweave.preferences.behaviours.registry import behaviour


@behaviour("mentions-tea", "Has the word tea.", "mine", "0 or 1")
def mentions_tea(reply):
    return float("tea" in reply.vocabulary)
```

`unweave run predict-preferences --set data=pairs.jsonl --set behaviours_from=my.py` measures what the file registers
beside those below, and so does `trace-preferences`; from Python, `load_behaviours("my.py")` registers it. The file runs
with all your rights. A function gets a `ReplyText` (`text`, `prompt`, `lower`, `words`, `counts`, `vocabulary`,
`sentences`, `openings`, `lines`, `prompt_words`, `spoken`) and gives a finite number for every text, the empty one too.
Words and phrases are looked up by a `Lexicon("tea, hot coffee")` with `count`, `share`, `occurs`, `opens` and
`opens_sentences`; the file may import it from `unweave.preferences.behaviours.lexicon`.
"""


def catalogue() -> str:
    """unweave's own behaviours in Markdown, family by family, with unit and meaning."""
    own = [each for each in all_behaviours().values() if each.function.__module__.startswith(_ROOM)]
    own.sort(key=lambda each: (each.family, each.name))
    parts = [_INTRODUCTION, f"## All {len(own)}\n"]
    for family, members in groupby(own, key=lambda each: each.family):
        rows = "\n".join(
            f"| `{each.name}` | {each.unit} | {each.meaning.replace('|', chr(92) + '|')} |" for each in members
        )
        parts.append(f"### {family.capitalize()}\n\n| name | unit | what it measures |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(catalogue(), end="")
