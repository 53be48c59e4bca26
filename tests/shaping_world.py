"""A few pairs of a tiny target, with all that shaping may need to know of them."""

from __future__ import annotations

import numpy as np

from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.behaviours.registry import Behaviour
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.shaping.direction import Direction
from unweave.preferences.shaping.scores import PairScores
from unweave.preferences.shaping.setting import Setting
from unweave.preferences.truth.answers import Answered, Question
from unweave.preferences.truth.references import References
from unweave.preferences.truth.sampling import Reply

MOONS = "test: moons"
BEHAVIOUR = Behaviour(MOONS, "Says moon.", "test", "per reply", lambda reply: float(reply.text.count("moon")))
BETA = 0.5
WORDS = ["the", "cat", "sat", "on", "der", "Mond", "moon", "mat"]


def sentence(generator, most=7, words=WORDS):
    return " ".join(generator.choice(words, generator.integers(3, most)))


def pairs(count=6):
    """Pairs of different prompts and lengths."""
    generator = numpy_generator(0, "shaping pairs")
    return tuple(
        PreferencePair(
            f"pair {n}",
            (Turn("user", f"{n} {sentence(generator)}"),),
            sentence(generator, 9),
            sentence(generator, 6),
        )
        for n in range(count)
    )


def encoded(target, given):
    """Rows of pairs, with the target as the reference."""
    return tuple(
        References(target).rows(
            [
                (encode_prompt(target, p.prompt), *(encode_reply(target, t) for t in (p.chosen, p.rejected)))
                for p in given
            ],
        )
    )


def unit(width=32, seed=3):
    vector = numpy_generator(seed, "unit").normal(size=width)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def setting(target, count=6, **changes):
    """Gaps fall from row to row and the last two rows' are below 0; shares are another order."""
    given = changes.pop("pairs", None) or pairs(count)
    count = len(given)
    gap = np.arange(count, 0.0, -1) - 2.5
    scores = PairScores.standardised("test: moons", gap, np.zeros(count))
    known = {
        "target": target,
        "pairs": given,
        "rows": encoded(target, given),
        "behaviour": MOONS,
        "towards": 1,
        "scores": scores,
        "shares": np.roll(gap, 2),
        "beta": BETA,
        "direction": Direction("test at layer 2", 2, unit(), 4.0, 1.0, 1),
        "instruction": "Say moon.",
        "fraction": 1 / 3,
    }
    return Setting(**{**known, **changes})


def answers(target, prompts=12, each=6, words=WORDS):
    """Replies that some say moon in and some do not."""
    generator = numpy_generator(1, "shaping answers")
    found = []
    for number in range(prompts):
        texts = [sentence(generator, 9, words) for _ in range(each)]
        replies = [Reply(tuple(encode_reply(target, text, ended=False)), text, True) for text in texts]
        found.append(Answered(Question("", (Turn("user", f"{number} {sentence(generator)}"),)), tuple(replies)))
    return found
