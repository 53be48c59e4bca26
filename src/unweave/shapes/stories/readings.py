"""What a target made of stories: states and readouts after every sentence, beside the gold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, read_json, write_json
from unweave.corpora.stories import EMOTIONS, Sentence, Story

_ARRAYS, _ABOUT = "readings.safetensors", "readings.json"


@dataclass(frozen=True)
class StoryReadings:
    """Rows are sentences, the stories' concatenated in order.

    Raises ``UnweaveError`` where an array has not one row a sentence.
    """

    stories: tuple[Story, ...]
    states: Float32[np.ndarray, "n l d"]
    layers: tuple[int, ...]
    """The depth of the stream that each of ``states``' second axis is from."""
    readouts: dict[str, Float64[np.ndarray, "n 6"]]
    """Levels of the six emotions from 0 to 1, by the readout's name."""
    valence: dict[str, Float64[np.ndarray, " n"]]
    """From -1 to 1, by the readout's name."""
    has_gold: bool = True
    """False for a text that nobody rated; its gold is NaN."""
    windows: dict[str, int] = field(default_factory=dict)
    """Sentences of the sliding window, for each story that was not read whole."""

    def __post_init__(self) -> None:
        rows, levels = len(self.story), len(EMOTIONS)
        if self.states.ndim != 3 or self.states.shape[:2] != (rows, len(self.layers)):
            raise UnweaveError(
                f"states have shape {self.states.shape}: {rows} sentences at {len(self.layers)} depths need "
                f"[{rows}, {len(self.layers)}, d]"
            )
        if self.readouts.keys() != self.valence.keys():
            raise UnweaveError(f"emotions are of {list(self.readouts)}, valence of {list(self.valence)}: give both")
        for name, values in self.readouts.items():
            if values.shape != (rows, levels) or self.valence[name].shape != (rows,):
                raise UnweaveError(
                    f"readout {name!r} has shapes {values.shape} and {self.valence[name].shape}: give "
                    f"[{rows}, {levels}] and [{rows}]"
                )

    def __len__(self) -> int:
        return len(self.story)

    @cached_property
    def story(self) -> Int64[np.ndarray, " n"]:
        """The number of each row's story."""
        return np.repeat(np.arange(len(self.stories)), [len(each.sentences) for each in self.stories])

    @cached_property
    def sentence(self) -> Int64[np.ndarray, " n"]:
        """The number of each row within its story, from 0."""
        return np.concatenate([np.arange(len(each.sentences)) for each in self.stories])

    @property
    def topic(self) -> np.ndarray:
        """Each row's topic [n]."""
        return self._of_story(lambda story: story.topic)

    @property
    def kind(self) -> np.ndarray:
        """Each row's kind of story [n]."""
        return self._of_story(lambda story: story.kind)

    @property
    def texts(self) -> list[str]:
        """The sentences."""
        return [sentence.text for story in self.stories for sentence in story.sentences]

    @cached_property
    def gold_valence(self) -> Float64[np.ndarray, " n"]:
        """-1 to 1."""
        return self._gold(np.concatenate([each.valence for each in self.stories]))

    @cached_property
    def gold_emotions(self) -> Float64[np.ndarray, "n 6"]:
        """0 to 1."""
        return self._gold(np.concatenate([each.emotions for each in self.stories]))

    def rows(self, number: int) -> slice:
        """The rows of one story."""
        first = int(np.searchsorted(self.story, number))
        return slice(first, first + len(self.stories[number].sentences))

    def pick(self, wanted: Callable[[Story], bool]) -> StoryReadings:
        """The same of some stories. Raises ``UnweaveError`` where none is wanted."""
        numbers = [number for number, story in enumerate(self.stories) if wanted(story)]
        if not numbers:
            raise UnweaveError("none of the stories that were read is wanted here: read more kinds or topics")
        rows: Bool[np.ndarray, " n"] = np.isin(self.story, numbers)
        return replace(
            self,
            stories=tuple(self.stories[number] for number in numbers),
            states=self.states[rows],
            readouts={name: values[rows] for name, values in self.readouts.items()},
            valence={name: values[rows] for name, values in self.valence.items()},
        )

    def at(self, layer: int) -> Float32[np.ndarray, "n d"]:
        """The states at one depth; raises ``UnweaveError`` for one that was not read."""
        if layer not in self.layers:
            raise UnweaveError(f"depth {layer} was not read: there are {', '.join(map(str, self.layers))}")
        return self.states[:, self.layers.index(layer)]

    def save(self, folder: str | Path) -> None:
        """Writes arrays as safetensors and everything else as JSON into a folder."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        arrays = {"states": np.ascontiguousarray(self.states)}
        for name in self.readouts:
            arrays[f"emotions {name}"] = np.ascontiguousarray(self.readouts[name])
            arrays[f"valence {name}"] = np.ascontiguousarray(self.valence[name])
        about = {
            "stories": [asdict(story) for story in self.stories],
            "layers": list(self.layers),
            "readouts": list(self.readouts),
            "has_gold": self.has_gold,
            "windows": self.windows,
        }
        with atomic_path(folder / _ARRAYS) as temporary:
            save_file(arrays, temporary)
        write_json(folder / _ABOUT, about)

    @classmethod
    def load(cls, folder: str | Path) -> StoryReadings:
        """The readings that ``save`` wrote. Raises ``UnweaveError`` where they are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        about = read_json(folder / _ABOUT)
        try:
            arrays = load_file(folder / _ARRAYS)
            return cls(
                tuple(map(_story, about["stories"])),
                arrays["states"],
                tuple(about["layers"]),
                {name: arrays[f"emotions {name}"] for name in about["readouts"]},
                {name: arrays[f"valence {name}"] for name in about["readouts"]},
                about["has_gold"],
                about["windows"],
            )
        except (KeyError, TypeError, OSError, SafetensorError) as error:
            raise UnweaveError(
                f"{folder} holds no readings, or damaged ones ({error}): read the stories again"
            ) from error

    def _of_story(self, of: Callable[[Story], str]) -> np.ndarray:
        return np.array([of(story) for story in self.stories])[self.story]

    def _gold(self, values: np.ndarray) -> np.ndarray:
        return values if self.has_gold else np.full_like(values, np.nan)


def _story(value: Mapping[str, Any]) -> Story:
    sentences = tuple(Sentence(each["text"], each["valence"], each["emotions"]) for each in value["sentences"])
    return Story(**{**value, "sentences": sentences})
