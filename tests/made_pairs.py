"""Small preference data: chosen replies cry out, and one in eight names a web address."""

from __future__ import annotations

import json

import numpy as np

WORDS = "the a small river house green walks old tree wind light stone bird sings quiet road water"


def lines(count=48, shuffled=False, seed=0):
    """Rows of JSON; ``shuffled`` deals the labels at random."""
    generator, words = np.random.default_rng(seed), WORDS.split()

    def text():
        return " ".join(generator.choice(words, int(generator.integers(5, 10))))

    rows = []
    for number in range(count):
        chosen, rejected = f"{text()}!!", f"{text()}."
        if number % 8 == 0:
            chosen += " See http://made-up.org/x"
        if shuffled and generator.random() < 0.5:
            chosen, rejected = rejected, chosen
        prompt = f"Tell me about {generator.choice(words)} number {number}."
        rows.append({"id": f"r{number}", "prompt": prompt, "chosen": chosen, "rejected": rejected, "score": number / 7})
    return rows


def write(path, rows):
    """The rows as a .jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
