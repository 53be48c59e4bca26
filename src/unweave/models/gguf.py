"""GGUF files, converted once into a cached Hugging Face folder that everything else loads."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave.base.errors import UnweaveError, first_line, nearest, oserror_line
from unweave.base.files import atomic_folder, file_hash, read_json, write_json
from unweave.base.progress import Progress, Silent
from unweave.base.settings import cache_folder
from unweave.models.gguf_file import ARRAY, MAGIC, STRING, GGUFFile, check_magic, open_gguf, packed
from unweave.models.huggingface import WEIGHTS, quiet_transformers

if TYPE_CHECKING:
    import torch

CONVERTER_VERSION = 1
SOURCE_NOTE = "source.json"

_TOKENS = "tokenizer.ggml.tokens"
_ROPE_DIVISORS = "rope_freqs.weight"
# What the Llama 3 family was published with; the factor itself (8 or 32) is in the file.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def convert_gguf(path: Path, progress: Progress | None = None) -> Path:
    """The Hugging Face folder of a GGUF file: converted the first time, found in the cache afterwards.

    The folder is keyed by the file's bytes and the converter's version, holds float32 weights and a note
    (``source.json``) of where they came from, and appears whole or not at all; of several processes that ask at once
    one converts and the others wait. Architectures are those of transformers' GGUF support. Raises ``UnweaveError``
    for a file that is no GGUF, is damaged or truncated, or has an architecture or a quantisation that is not known.
    """
    from filelock import FileLock

    path = Path(path)
    progress = progress or Silent()
    check_magic(path)
    digest = file_hash(path)
    key = hashlib.sha256(f"{digest}:{CONVERTER_VERSION}".encode()).hexdigest()[:20]
    folder = cache_folder("gguf", key)
    if _is_whole(folder):
        return folder
    file = open_gguf(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not _is_whole(folder):
                progress.say(f"converting {path.name} once, into {folder}")
                with atomic_folder(folder, replace=True) as temporary, quiet_transformers():
                    lost = _write_model(file, temporary, progress)
                    _write_note(file, temporary, digest, lost)
    except OSError as error:
        raise oserror_line(error, folder) from error
    return folder


def _write_model(file: GGUFFile, folder: Path, progress: Progress) -> list[str]:
    """Writes all of the model; returns the names of what could not be carried over."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, GenerationConfig

    config = _config(file)
    try:
        # On the meta device no weight is drawn at random only to be overwritten.
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        model.tie_weights()  # which some versions leave undone on the meta device
    except Exception as error:  # each architecture has its own ways to refuse a config
        raise UnweaveError(
            f"{file.path}: its metadata does not make a causal language model of architecture "
            f"{file.architecture!r} ({first_line(error)}); choose another file"
        ) from error
    tensors, unused = _tensors(file, model, config, progress)
    config.architectures = [type(model).__name__]
    config.dtype = torch.float32
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
    _tokenizer(file).save_pretrained(folder)
    try:
        save_file(_as_wanted(file, model, tensors), folder / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:
        raise UnweaveError(f"{folder}: the weights cannot be written ({error}): free some space") from error
    lost = _lost(file, config, unused)
    if lost:
        progress.say(f"{file.path.name}: transformers has no place for {', '.join(lost)}; the model differs by them")
    return lost


def _config(file: GGUFFile) -> Any:
    """transformers' own reading of the metadata, from a small copy of it.

    transformers reads with the gguf package, whose time goes into vocabulary and merges. The copy has blank tokens
    (their number still counts as vocabulary size), no merges, and each tensor's name with one value in its place.
    """
    from transformers import AutoConfig

    lists = {key for key, value in file.metadata.items() if isinstance(value, list)}
    kept = {key: raw for key, raw in file.raw.items() if key not in lists or not key.startswith("tokenizer.")}
    tokens = len(file.metadata.get(_TOKENS, ()))
    kept[_TOKENS] = packed(_TOKENS) + struct.pack("<IIQ", ARRAY, STRING, tokens) + bytes(8 * tokens)
    one_value = struct.pack("<IQIQ", 1, 1, 0, 0)
    table = b"".join(packed(tensor.name) + one_value for tensor in file.tensors)
    with tempfile.TemporaryDirectory() as folder:
        _write_metadata(Path(folder), kept, len(file.tensors), table)
        try:
            config = AutoConfig.from_pretrained(folder, gguf_file="metadata.gguf", local_files_only=True)
        except (KeyError, ValueError, NotImplementedError) as error:
            raise _unsupported(file, error) from error
    rope = _llama3_rope(file, config)
    if rope:
        config.rope_parameters = {**config.rope_parameters, **rope}
    return config


def _lost(file: GGUFFile, config: Any, unused: list[str]) -> list[str]:
    """What the file says that the converted model does not do: tensors with no place, and long-context scaling."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        return [name for name in unused if name != _ROPE_DIVISORS]
    key = f"{file.architecture}.rope.scaling.type"
    return [*unused, *([key] if file.metadata.get(key, "none") != "none" else [])]


def _llama3_rope(file: GGUFFile, config: Any) -> dict[str, Any]:
    """Llama 3's stretched rotary frequencies, when the file's own divisors are exactly those; else nothing.

    llama.cpp writes them as a tensor and transformers drops it, which would change the model (formula: llama.cpp's
    ``convert_hf_to_gguf.py`` and transformers' ``_compute_llama3_parameters``).
    """
    tensor = next((each for each in file.tensors if each.name == _ROPE_DIVISORS), None)
    if tensor is None or config.model_type != "llama":
        return {}
    written = file.values(tensor)
    factor, length = float(written.max()), _LLAMA3["original_max_position_embeddings"]
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    exponents = np.arange(0, 2 * len(written), 2) / (2 * len(written))
    turns = length * config.rope_parameters["rope_theta"] ** -exponents / (2 * np.pi)
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    return {"rope_type": "llama3", "factor": factor, **_LLAMA3} if np.allclose(written, expected, rtol=1e-4) else {}


def _tokenizer(file: GGUFFile) -> Any:
    from transformers import PreTrainedTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        _write_metadata(Path(folder), file.raw, 0, b"")
        try:
            return PreTrainedTokenizerFast.from_pretrained(folder, gguf_file="metadata.gguf", local_files_only=True)
        except Exception as error:  # the tokenizers library raises plain Exception for merges that do not fit
            kind = file.metadata.get("tokenizer.ggml.model")
            raise UnweaveError(
                f"{file.path}: its tokenizer ({kind!r}) cannot be converted: {first_line(error)}"
            ) from error


def _tensors(file: GGUFFile, model: Any, config: Any, progress: Progress) -> tuple[dict[str, torch.Tensor], list[str]]:
    """float32 tensors under the model's own names, and the names of those that it has no place for."""
    import torch
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    if file.architecture in _newer_architectures():
        return _tensors_by_transformers(file), []
    processor = TENSOR_PROCESSORS.get(file.architecture, TensorProcessor)(config=config.to_dict())
    names = _name_map(file, model, config, processor)
    # Processors put here by themselves what they join from several tensors (mixtures of experts).
    parsed: dict[str, dict[str, torch.Tensor]] = {"tensors": {}}
    unused = []
    for done, tensor in enumerate(file.tensors, 1):
        progress.update(done, len(file.tensors), tensor.name)
        result = processor.process(
            weights=file.values(tensor), name=tensor.name, tensor_key_mapping=names, parsed_parameters=parsed
        )
        if result.name in names:
            values = np.require(result.weights, np.float32, ["C", "W"])
            parsed["tensors"][names[result.name]] = torch.from_numpy(values)
        elif result.name is not None:
            unused.append(result.name)
    return parsed["tensors"], unused


def _newer_architectures() -> Any:
    """Those that recent versions of transformers convert by rules instead of processors."""
    try:
        from transformers.integrations.gguf import GGUF_ARCHS
    except ImportError:
        return ()
    return GGUF_ARCHS


def _tensors_by_transformers(file: GGUFFile) -> dict[str, torch.Tensor]:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        file.path.parent,
        gguf_file=file.path.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    return {name: parameter.data for name, parameter in model.named_parameters()}


def _name_map(file: GGUFFile, model: Any, config: Any, processor: Any) -> dict[str, str]:
    """The model's name of each GGUF tensor.

    The same map as transformers' ``get_gguf_hf_weights_map``, which builds the gguf package's table anew for every
    submodule of the model; that alone takes seconds. Some files name tensors from inside the model (Bloom's from its
    body), so names are also tried with their first parts taken off; a longer match is kept.
    """
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architectures = {name: number for number, name in MODEL_ARCH_NAMES.items()}
    if file.architecture not in architectures:
        raise _unsupported(file)
    table = get_tensor_name_map(architectures[file.architecture], config.num_hidden_layers)
    names = list(model.state_dict())
    found: dict[str, str] = {}
    for depth in range(max(name.count(".") for name in names)):
        here: dict[str, str] = {}
        for name in names:
            *outer, inner = name.split(".", depth)
            if len(outer) < depth:
                continue
            prefix = "".join(f"{part}." for part in outer)
            inner = processor.preprocess_name(inner)
            stem, suffix = inner, ""
            if inner.endswith((".weight", ".bias")):
                stem, last = inner.rsplit(".", 1)
                suffix = f".{last}"
            gguf_name = table.get_name(stem)
            if gguf_name is None:
                processor.perform_fallback_tensor_mapping(here, suffix, prefix, inner)
            else:
                here[gguf_name + suffix] = prefix + inner
        found = here | found
    return found


def _as_wanted(file: GGUFFile, model: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Exactly the model's parameters, tied ones once."""
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise UnweaveError(f"{file.path} lacks {len(missing)} weights, the first is {missing[0]}: choose another file")
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape:
            raise UnweaveError(
                f"{file.path} contradicts itself: {name} has shape {tuple(tensors[name].shape)}, and transformers "
                f"reads {shape} from its metadata; choose another file"
            )
    return {name: tensors[name] for name in wanted}


def _write_note(file: GGUFFile, folder: Path, digest: str, lost: list[str]) -> None:
    import transformers
    from gguf import GGMLQuantizationType

    kinds = Counter(GGMLQuantizationType(tensor.ggml_type).name for tensor in file.tensors)
    about = {key: file.metadata[key] for key in ("general.name", "general.license") if key in file.metadata}
    note = {
        "file": file.path.name,
        "sha256": digest,
        "architecture": file.architecture,
        **about,
        "quantisation": dict(kinds.most_common()),
        "statement": "Weights dequantised from this file to float32. Where a tensor was quantised they are not the "
        "weights that the model's authors published under this name.",
        "not_carried_over": lost,
        "converter": CONVERTER_VERSION,
        "transformers": transformers.__version__,
        "files": {each.name: each.stat().st_size for each in sorted(folder.iterdir())},
    }
    write_json(folder / SOURCE_NOTE, note)


def _is_whole(folder: Path) -> bool:
    note = folder / SOURCE_NOTE
    if not note.is_file():
        return False
    sizes = read_json(note)["files"]
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def _write_metadata(folder: Path, raw: dict[str, bytes], tensor_count: int, table: bytes) -> None:
    header = MAGIC + struct.pack("<IQQ", 3, tensor_count, len(raw)) + b"".join(raw.values()) + table
    # Room for the alignment and the one value that every name in the table points at.
    (folder / "metadata.gguf").write_bytes(header + bytes(4096))


def _unsupported(file: GGUFFile, error: Exception | None = None) -> UnweaveError:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    supported = sorted(set(GGUF_SUPPORTED_ARCHITECTURES) - {"general", "tokenizer"})
    if file.architecture in supported:
        return UnweaveError(f"{file.path}: its metadata cannot be made a config: {error}; choose another file")
    return UnweaveError(
        f"{file.path}: GGUF architecture {file.architecture!r} is not one that transformers converts; "
        f"{nearest(file.architecture, supported)}"
    )
