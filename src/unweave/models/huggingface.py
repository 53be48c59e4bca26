"""Hugging Face folders and hub ids: checked first, then loaded without pickle and without remote code."""

from __future__ import annotations

import errno
import json
import struct
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, first_line, nearest, oserror_line
from unweave.base.files import read_json
from unweave.base.settings import offline
from unweave.models.screen import screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from torch import nn

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TRAINING_STATE = ("training_args", "optimizer", "scheduler", "rng_state")
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64}
_INTEGERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL")
_MAX_HEADER = 100_000_000  # the limit of the safetensors format itself


def load_folder(
    folder: str | Path, dtype: torch.dtype, device: torch.device | str | Mapping[str, Any]
) -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer from a local folder or a hub id, frozen and in evaluation mode.

    Only safetensors are read and code that comes with a model is never run. Everything that can be told from the
    files is checked before any weight is loaded; a hub id is fetched into Hugging Face's own cache first, or only
    looked up there when offline. ``device`` is one, or a device map: a name that transformers knows, or devices by
    module name. Raises ``UnweaveError`` also when a weight would be left at random or dropped, and when a device map
    leaves one on disk or in another device's keeping.
    """
    import torch

    root = Path(folder)
    if not root.is_dir():
        root = _fetch(str(folder))
    raw = check_folder(root)
    with quiet_transformers():
        config = _config(root, raw)
        tokenizer = _tokenizer(root)
        module = _module(root, config, dtype, None if isinstance(device, torch.device) else device)
    module.eval()
    module.requires_grad_(False)
    if isinstance(device, torch.device):
        return module.to(device), tokenizer
    away = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    if away:
        raise UnweaveError(
            f"the device map offloads {_counted(away)}, and a matrix is taken apart where it is: give more or larger "
            "devices, or a smaller dtype"
        )
    return module, tokenizer


def check_folder(root: Path) -> dict[str, Any]:
    """Refuses a folder that cannot be a complete safetensors model; returns its ``config.json``. Reads no weight."""
    names = sorted(each.name for each in root.iterdir())
    if "adapter_config.json" in names:
        raise UnweaveError(f"{root} is an adapter, not a whole model: merge it into its base model first")
    shards = _shards(root, names)
    if "config.json" not in names:
        raise UnweaveError(f"{root} has no config.json (it has {_some(names)}): give the whole model folder")
    raw = read_json(root / "config.json")
    if not isinstance(raw, dict) or not isinstance(raw.get("model_type"), str):
        raise UnweaveError(f"{root / 'config.json'} names no model_type: it is not the config of a transformers model")
    screen(raw, root / "config.json")
    for name in ("tokenizer_config.json", "generation_config.json"):
        if name in names:
            screen(read_json(root / name), root / name)
    if raw.get("quantization_config"):
        raise UnweaveError(
            f"{root} has weights packed by quantisation (quantization_config in config.json), and a plain matrix is "
            "needed to take one apart: use the unquantised model, or a GGUF file"
        )
    if not any(name in names for name in _TOKENIZERS):
        raise UnweaveError(f"{root} has no tokenizer (it has {_some(names)}): add tokenizer.json from the same model")
    for shard, expected in shards.items():
        held = check_safetensors(root / shard)
        absent = sorted(expected - held)
        if absent:
            raise UnweaveError(f"{root / shard} lacks tensor {absent[0]!r} that {INDEX} lists: get the files again")
    return raw


def check_safetensors(path: Path) -> set[str]:
    """The names of the tensors in a safetensors file, from its header alone.

    Raises ``UnweaveError`` when the header is damaged, when the tensors it describes are not exactly the bytes that
    follow it, and for a weight in integers. The layout is that of the safetensors format's own description.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as source:
            start = source.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            text = source.read(length) if length <= min(_MAX_HEADER, size - 8) else None
    except OSError as error:
        raise oserror_line(error, path) from error
    if start == b"version " and size < 1024:
        raise UnweaveError(f"{path} is a git-lfs pointer of {size} bytes, not the weights: fetch it with git lfs pull")
    if text is None:
        raise UnweaveError(f"{path} is corrupt or truncated: its {size} bytes do not hold its header; get it again")
    try:
        header = json.loads(text)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends, filled = 0, 0
        for name, entry in tensors.items():
            begin, end = entry["data_offsets"]
            bits = prod(entry["shape"]) * _item_bits(entry["dtype"])
            if not 0 <= begin <= end or bits != (end - begin) * 8:
                raise UnweaveError(f"{path} is corrupt: tensor {name!r} does not fit its own shape; get it again")
            # transformers would read the integers as numbers of their own, without the scales that go with them.
            if name.endswith(".weight") and len(entry["shape"]) > 1 and entry["dtype"] in _INTEGERS:
                raise UnweaveError(
                    f"{path} has weight {name!r} in {entry['dtype']}, and floating-point weights are needed to take a "
                    "model apart: use the unquantised model"
                )
            ends, filled = max(ends, end), filled + end - begin
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnweaveError(f"{path} is corrupt: its header cannot be read ({error}); get it again") from error
    if ends != size - 8 - length or filled != ends:
        raise UnweaveError(
            f"{path} is corrupt or truncated: its header describes {max(ends, filled)} bytes of weights and "
            f"{size - 8 - length} are there; get it again"
        )
    return set(tensors)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keeps transformers' log lines and progress bars off stderr inside the block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _shards(root: Path, names: Sequence[str]) -> dict[str, set[str]]:
    """The weight files, each with the tensors that the index promises in it."""
    if WEIGHTS in names:
        return {WEIGHTS: set()}
    if INDEX not in names:
        raise _no_weights(str(root), names)
    index = read_json(root / INDEX)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnweaveError(f"{root / INDEX} has no weight_map: it is damaged; get it again")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        shards.setdefault(str(shard), set()).add(tensor)
    absent = sorted(set(shards) - set(names))
    if absent:
        raise UnweaveError(f"{root} lacks {len(absent)} of {len(shards)} weight files: get {absent[0]}")
    return shards


def _no_weights(where: str, names: Sequence[str]) -> UnweaveError:
    pickles = [n for n in names if n.endswith(_PICKLES) and not n.startswith(_TRAINING_STATE)]
    other = [n for n in names if n.endswith((".gguf", ".safetensors"))]
    if pickles:
        return UnweaveError(
            f"{where} has its weights only as pickle ({_some(pickles)}), which can run code when opened: "
            f"convert them to {WEIGHTS}"
        )
    if other:
        return UnweaveError(f"{where} has no {WEIGHTS} but {_some(other)}: give a .gguf file's own path, or rename")
    return UnweaveError(f"{where} has no weights (it has {_some(names)}): {WEIGHTS} or {INDEX} is needed")


def _config(root: Path, raw: dict[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    kind = raw["model_type"]
    if kind not in CONFIG_MAPPING:
        if "auto_map" in raw:
            raise UnweaveError(f"{root}: model_type {kind!r} needs the code that comes with it, which is never run")
        raise UnweaveError(f"{root}: model_type {kind!r} is unknown to transformers; {nearest(kind, CONFIG_MAPPING)}")
    try:
        config = AutoConfig.from_pretrained(root, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each config class has its own validators, and only the file can be at fault
        raise UnweaveError(f"{root / 'config.json'} is not valid: {first_line(error)}") from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnweaveError(f"{root}: model_type {kind!r} is not a causal language model in transformers; choose one")
    return config


def _tokenizer(root: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(root, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise UnweaveError(f"{root}: its tokenizer cannot be loaded: {first_line(error)}") from error


def _module(root: Path, config: Any, dtype: torch.dtype, device_map: str | Mapping[str, Any] | None) -> nn.Module:
    from safetensors import SafetensorError
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    architecture: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    # With output_loading_info a pair comes back, which the library's own annotation does not say.
    load: Any = AutoModelForCausalLM.from_pretrained
    try:
        module, info = load(
            root,
            config=config,
            dtype=dtype,
            attn_implementation="sdpa" if getattr(architecture, "_supports_sdpa", False) else "eager",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **({} if device_map is None else {"device_map": device_map}),
        )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, SafetensorError) as error:
        raise UnweaveError(f"{root} cannot be loaded: {first_line(error)}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise UnweaveError(f"{root} lacks {_counted(missing)}, which would be left at random: get the whole model")
    buffers = {name for name, _ in module.named_buffers()}
    # Masks that older checkpoints saved are rebuilt by the model and hold nothing learned.
    unexpected = sorted(k for k in info["unexpected_keys"] if k not in buffers and not k.endswith(".masked_bias"))
    if unexpected:
        raise UnweaveError(f"{root} has {_counted(unexpected)}, which {type(module).__name__} would drop: check config")
    return module


def _fetch(name: str) -> Path:
    """A hub id's folder in Hugging Face's cache, downloaded when it is not there and the network may be used."""
    from huggingface_hub import HfApi, errors, snapshot_download

    try:
        if offline():
            cached = cached_folder(name)
            if cached is None:
                raise UnweaveError(
                    f"{name} is no folder here and not in the Hugging Face cache, and offline is set: "
                    "use a local folder, or unset UNWEAVE_OFFLINE"
                )
            return cached
        try:
            names = [each.rfilename for each in HfApi().model_info(name).siblings or []]
        except errors.RepositoryNotFoundError:
            raise
        except (errors.HTTPError, OSError):
            cached = cached_folder(name)
            if cached is None:
                raise
            return cached
        return Path(snapshot_download(name, allow_patterns=_wanted(name, names)))
    except errors.GatedRepoError as error:
        raise UnweaveError(f"{name} is gated: accept its terms on its page, then run `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise UnweaveError(f"{name} is no folder here, and not on the hub or private: check the name") from error
    except errors.HFValidationError as error:
        raise _no_hub_id(name) from error
    except (errors.HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise oserror_line(error, error.filename or name) from error
        raise UnweaveError(
            f"{name} is no folder here, and the hub cannot be reached ({first_line(error)}): "
            "check the connection, or use a local folder"
        ) from error


def cached_folder(name: str) -> Path | None:
    """A hub id's folder in Hugging Face's cache, or None; ``check_folder`` tells whether all of it is there.

    Raises ``UnweaveError`` for what cannot be a hub id.
    """
    # Not the hub library's own check of a whole snapshot: of a repository only what is needed was downloaded.
    from huggingface_hub import errors, try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except errors.HFValidationError as error:
        raise _no_hub_id(name) from error
    return Path(config).parent if isinstance(config, str) else None


def _no_hub_id(name: str) -> UnweaveError:
    return UnweaveError(f"{name!r} is neither a folder here nor a hub id such as 'org/name'")


def _wanted(name: str, names: Sequence[str]) -> list[str]:
    """Config, tokenizer and safetensors of a hub repository, by exact name; nothing else is downloaded."""
    top = [n for n in names if "/" not in n]
    if WEIGHTS in top:
        weights = [WEIGHTS]
    elif INDEX in top:
        weights = [n for n in top if n.startswith("model") and n.endswith(".safetensors")]
    else:
        raise _no_weights(name, top)
    return weights + [n for n in top if n.endswith((".json", ".txt", ".model", ".jinja"))]


def _item_bits(dtype: str) -> int:
    # F32, BF16, I64, U8, F8_E4M3: the first number is the width, but for the few that are listed.
    return _BITS.get(dtype) or int("".join(c if c.isdigit() else " " for c in dtype).split()[0])


def _counted(names: Sequence[str]) -> str:
    return f"weight {names[0]}" if len(names) == 1 else f"{len(names)} weights, the first is {names[0]}"


def _some(names: Sequence[str], limit: int = 6) -> str:
    shown = ", ".join(names[:limit]) or "nothing"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
