"""A step's samples in parts: those of this process, and no more of them at once than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.decompose.masked import MaskedTarget
from unweave.decompose.objective import Batch, Gather
from unweave.decompose.processes import Processes


class Parts:
    """One step's samples, cut by process and by ``micro_batch``, each part run through the clean model when needed.

    A part that is all there is stays; of several, each is run again for every pass over the step, because keeping the
    clean inputs and outputs of all would take the memory that cutting saves. ``check`` gets the rows of the whole step;
    ``known`` gives clean output and inputs of some samples where they have been computed before.
    """

    def __init__(
        self,
        model: MaskedTarget,
        values: Tensor,
        key: Int[Tensor, ""],
        processes: Processes,
        micro_batch: int | None = None,
        check: Callable[[tuple[int, ...]], None] = lambda rows: None,
        known: Callable[[range], tuple[Tensor, dict[str, Tensor]]] | None = None,
    ) -> None:
        self.known = known
        self.model, self.values, self.key, self.processes, self.check = model, values, key, processes, check
        own = processes.share(len(values))
        size = micro_batch or len(own)
        self.places = [own[start : start + size] for start in range(0, len(own), size)]
        self._kept: Batch | None = None

    @property
    def whole(self) -> bool:
        """Whether there is one part, and it is the whole step."""
        return len(self.places) == self.processes.count == 1

    def rows(self) -> tuple[int, ...]:
        """The shape of the whole step's rows: samples, and positions where there are any."""
        return self._rows(self._batch(self.places[0]))

    def mean(self, function: Callable[[Batch], Sequence[Tensor]]) -> list[Tensor]:
        """What ``function`` gives for a part, averaged over all samples of the step, whichever process has them."""
        total: list[Tensor] = []
        for place in self.places:
            found = self._weighted(function, place)
            total = [kept + new for kept, new in zip(total, found, strict=True)] if total else found
        self.processes.add_up(total)
        return total

    def gather(self, rates: Callable[[Batch], list[Tensor]]) -> Gather | None:
        """How a part's loss gets the rates of all rows: from the other processes, or by a pass of its own before it."""
        if self.whole:
            return None
        if len(self.places) == 1:
            share = len(self.places[0]) / len(self.values)

            def exchanged(own: list[Tensor]) -> list[Tensor]:
                found = [rate * share for rate in own]
                self.processes.add_up(found)
                return found

            return exchanged
        with torch.no_grad():
            known = self.mean(rates)
        return lambda _: known

    def _weighted(self, function: Callable[[Batch], Sequence[Tensor]], place: range) -> list[Tensor]:
        # In a function of its own, so that a part's tensors are gone before the next part's are made.
        batch = self._batch(place)
        return [tensor.detach() * batch.share for tensor in function(batch)]

    def _batch(self, place: range) -> Batch:
        if self._kept is not None:
            return self._kept
        device = self.model.target.device
        values = self.values[place.start : place.stop].to(device)
        if self.known is not None:
            clean, inputs = self.known(place)
        else:
            with torch.no_grad():
                clean, inputs = self.model.clean(values)
        samples = torch.arange(place.start, place.stop, device=device)
        batch = Batch(values, clean, inputs, samples, self.key, None if self.whole else len(self.values))
        self.check(self._rows(batch))
        if len(self.places) == 1:
            self._kept = batch
        return batch

    def _rows(self, batch: Batch) -> tuple[int, ...]:
        return (len(self.values), *next(iter(batch.inputs.values())).shape[1:-1])
