"""The decomposition as a value: subcomponents of chosen sites, tied to the target they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import atomic_folder, file_hash, read_json, save_tensors, write_json
from unweave.decompose.importance import ComponentImportance, Importance, NeedsAllSites, find_importance
from unweave.decompose.numerics import lower_leaky

if TYPE_CHECKING:
    from unweave.corpora.text import Corpus
    from unweave.decompose.ladder import Ladder
    from unweave.models.target import Target

FORMAT = 2
SHOWN_SITES = 4


@dataclass(frozen=True)
class Subcomponent:
    """One rank-one piece ``u v^T`` of a site."""

    site: str
    index: int
    u: Float[Tensor, " d_out"]
    v: Float[Tensor, " d_in"]

    @property
    def name(self) -> str:
        """``site:index``, the way it is written on the command line."""
        return f"{self.site}:{self.index}"

    def __repr__(self) -> str:
        return f"Subcomponent({self.name}, norm {float(self.u.norm() * self.v.norm()):.3g})"


@dataclass(frozen=True)
class SiteSubcomponents:
    """All subcomponents of one site: ``W = sum_c u_c v_c^T + delta`` with ``V`` (d_in, C), ``U`` (C, d_out)."""

    site: str
    V: Float[Tensor, "d_in c"]
    U: Float[Tensor, "c d_out"]
    importance: Callable[[Tensor], Tensor]
    """Causal importances (*n, c) in [0, 1] from the site's input (*n, d_in)."""

    def __repr__(self) -> str:
        d_in, d_out = self.V.shape[0], self.U.shape[1]
        return f"SiteSubcomponents({self.site}, {len(self)} subcomponents, {d_in} to {d_out})"

    def __len__(self) -> int:
        return self.V.shape[1]

    def __getitem__(self, index: int) -> Subcomponent:
        if not 0 <= index < len(self):
            raise UnweaveError(f"subcomponent {index} is not in {self.site}: it has 0 to {len(self) - 1}")
        return Subcomponent(self.site, index, self.U[index], self.V[:, index])

    def __iter__(self) -> Iterator[Subcomponent]:
        return (self[index] for index in range(len(self)))

    def activations(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        """``||u_c|| v_c . x``: how strongly each piece acts, needed or not."""
        return (x @ self.V) * self.U.norm(dim=-1)

    def to(self, device: torch.device) -> SiteSubcomponents:
        """The same pieces on another device."""
        importance = self.importance
        if isinstance(importance, (Importance, ComponentImportance)):
            importance = importance.to(device)
        return SiteSubcomponents(self.site, self.V.to(device), self.U.to(device), importance)

    def product(self) -> Float[Tensor, "d_out d_in"]:
        """The explicit sum of all pieces, without the delta."""
        return (self.V @ self.U).T

    def delta(self, weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "d_out d_in"]:
        """What the pieces leave over; pieces plus delta are the weight."""
        return weight.float() - self.product()


@dataclass(frozen=True)
class Decomposition:
    """Subcomponents of chosen sites with their importance functions, and the identity of their target.

    ``card`` holds what was measured: quality at the logits, tokens spent, settings, text.
    """

    sites: Mapping[str, SiteSubcomponents]
    target: str
    target_name: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    importance_kind: str = "site-mlp"
    joint: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors of an importance function that looks at all sites at once, by name."""

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        sites: Sequence[str],
        importance_kind: str,
        target: str,
        target_name: str = "",
    ) -> Decomposition:
        """From tensors by the names that training and files use; raises ``KeyError`` for one that is missing."""
        kind = find_importance(importance_kind)
        pieces = {
            name: SiteSubcomponents(
                name,
                tensors[f"{name}/V"],
                tensors[f"{name}/U"],
                kind.one_site(name, tensors) if kind.one_site else NeedsAllSites(importance_kind),
            )
            for name in sites
        }
        joint = {} if kind.one_site else {name: tensors[name] for name in tensors if "importance." in name}
        return cls(pieces, target, target_name, {}, importance_kind, joint)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, as ``from_tensors`` takes them."""
        found = dict(self.joint)
        for name, site in self.sites.items():
            found |= {f"{name}/V": site.V, f"{name}/U": site.U}
            if isinstance(site.importance, (Importance, ComponentImportance)):
                fields = site.importance._asdict()
                found |= {f"{name}/importance.{key}": value for key, value in fields.items() if key != "V"}
        return found

    def digest(self) -> str:
        """A short hash of all tensors."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    def importances(self, inputs: Mapping[str, Float[Tensor, "*n d_in"]]) -> dict[str, Float[Tensor, "*n c"]]:
        """Causal importances in [0, 1] by site, from the inputs of all sites (of any of them, for a kind that can)."""
        if not self.joint:
            return {name: self.site(name).importance(x) for name, x in inputs.items()}
        missing = [name for name in self.sites if name not in inputs]
        if missing:
            raise UnweaveError(
                f"importances by {self.importance_kind} need every site's input, and {missing[0]!r} is not there"
            )
        kind = find_importance(self.importance_kind)
        return {name: lower_leaky(z) for name, z in kind.logits(self.tensors(), inputs).items()}

    def __repr__(self) -> str:
        shown = [f"{name}: {len(site)}" for name, site in list(self.sites.items())[:SHOWN_SITES]]
        more = len(self.sites) - len(shown)
        pieces = sum(map(len, self.sites.values()))
        rest = [f"and {more} more sites, {pieces} in all"] if more else []
        return f"Decomposition(of {self.target_name or self.target}; {', '.join(shown + rest)})"

    def to(self, device: torch.device) -> Decomposition:
        """The same decomposition on another device."""
        joint = {name: tensor.to(device) for name, tensor in self.joint.items()}
        return replace(self, sites={name: site.to(device) for name, site in self.sites.items()}, joint=joint)

    def site(self, name: str) -> SiteSubcomponents:
        if name not in self.sites:
            raise UnweaveError(f"site {name!r} is not in this decomposition; {nearest(name, self.sites)}")
        return self.sites[name]

    def subcomponent(self, site: str, index: int) -> Subcomponent:
        """One piece, by site and index."""
        return self.site(site)[index]

    def check_target(self, identity: str) -> None:
        """Raises ``UnweaveError`` when this was made from another target."""
        if identity != self.target:
            raise UnweaveError(
                f"this decomposition belongs to target {self.target} ({self.target_name}), not to {identity}: "
                "load the target it was made from, or decompose this one"
            )

    @property
    def base(self) -> str | None:
        """The identity of the earlier checkpoint, where this takes apart what the target differs from it by."""
        return self.card.get("base")

    def check_base(self, base: Target | None) -> None:
        """Raises ``UnweaveError`` unless ``base`` is the checkpoint that this takes apart the difference from.

        None is what a decomposition of the target's own weights needs.
        """
        given = None if base is None else base.identity.digest
        if given == self.base:
            return
        if self.base is None:
            raise UnweaveError(
                f"this decomposition is of the weights of {self.target} ({self.target_name}) and of no difference from "
                f"{given}: leave out base, or take the difference apart with it"
            )
        found = "and no base is given" if given is None else f"not from {given}"
        raise UnweaveError(
            f"this decomposition is of the difference of {self.target} ({self.target_name}) from base {self.base}, "
            f"{found}: give the checkpoint that it was made with as base (--base)"
        )

    def evaluate(self, target: Target, data: Corpus | Tensor, **options: Any) -> Ladder:
        """The quality ladder on held-out text; options are those of ``unweave.decompose.evaluate``.

        ``base`` is the one that ``decompose`` was given, ``attack_windows`` how many windows the adversary reads.
        """
        from unweave.decompose.ladder import evaluate

        return evaluate(target, self, data, **options)

    def save(self, folder: Path, replace: bool = False, half: bool = False) -> None:
        """Writes ``decomposition.safetensors`` and ``decomposition.json``, whole or not at all.

        ``half`` stores float16, half the size at a rounding of 0.05 %; loading always gives float32.
        """
        tensors = self.tensors()
        with atomic_folder(Path(folder), replace=replace) as temporary:
            dtype = torch.float16 if half else torch.float32
            packed = {name: tensor.detach().to(dtype).contiguous() for name, tensor in tensors.items()}
            save_tensors(packed, temporary / "decomposition.safetensors")
            description = {
                "format": FORMAT,
                "target": self.target,
                "target_name": self.target_name,
                "importance": self.importance_kind,
                "sites": {name: len(site) for name, site in self.sites.items()},
                "sha256": file_hash(temporary / "decomposition.safetensors"),
                "card": dict(self.card),
            }
            write_json(temporary / "decomposition.json", description)

    @classmethod
    def load(cls, folder: Path) -> Decomposition:
        """Reads a saved decomposition; half-precision tensors come back as float32.

        Raises ``UnweaveError`` for a folder that is not one, a newer format, or a file whose hash is not its own.
        """
        from safetensors import SafetensorError, safe_open

        folder = Path(folder)
        if not (folder / "decomposition.json").exists():
            what = "it has no decomposition.json" if folder.exists() else "there is no such folder"
            raise UnweaveError(f"{folder} is not a decomposition: {what}")
        description = read_json(folder / "decomposition.json")
        found = description.get("format") if isinstance(description, dict) else None
        if found != FORMAT:
            raise UnweaveError(f"{folder} has format {found}, and this version reads {FORMAT}")
        path = folder / "decomposition.safetensors"
        try:
            if file_hash(path) != description["sha256"]:
                raise UnweaveError(f"{path} is damaged: its sha256 is not the one in decomposition.json")
            with safe_open(path, "pt") as stored:
                tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
            made = cls.from_tensors(
                tensors,
                list(description["sites"]),
                description["importance"],
                description["target"],
                description["target_name"],
            )
            return replace(made, card=description["card"])
        except OSError as error:
            raise oserror_line(error, path) from error
        except SafetensorError as error:
            raise UnweaveError(f"{path} is not valid safetensors ({error})") from error
        except KeyError as error:
            raise UnweaveError(f"{folder} is damaged: it lacks {error}; make or get it again") from error


def bundled(name: str = "smollm2") -> Path:
    """The folder of a decomposition that ships with the package."""
    available = bundled_names()
    if name not in available:
        raise UnweaveError(
            f"no decomposition of {name!r} is bundled ({nearest(name, available)}): make one with `unweave decompose`"
        )
    return Path(__file__).parent / "bundled" / name


def bundled_names() -> list[str]:
    """What decompositions ship with the package."""
    return sorted(path.name for path in (Path(__file__).parent / "bundled").glob("*"))


def is_bundled(folder: Path) -> bool:
    """Whether a decomposition's folder is one that ships with the package."""
    return Path(folder).resolve().parent == (Path(__file__).parent / "bundled").resolve()


def random_like(site: SiteSubcomponents, generator: torch.Generator) -> SiteSubcomponents:
    """A control: pieces of the same sizes in random directions, with the same importance function."""
    V = torch.randn(site.V.shape, generator=generator)
    U = torch.randn(site.U.shape, generator=generator)
    V = V / V.norm(dim=0) * site.V.norm(dim=0)
    U = U / U.norm(dim=1, keepdim=True) * site.U.norm(dim=1, keepdim=True)
    return SiteSubcomponents(site.site, V, U, site.importance)
