"""The model card and the record that go with an exported edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import unweave
from unweave.edit.edits import Edit, FactorEdit
from unweave.models.target import Target

_SERVER_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def edit_record(target: Target, edits: Sequence[Edit], tokens: Mapping[str, int] | None) -> dict[str, Any]:
    """What was edited in which target, as JSON values."""
    return {
        "unweave": unweave.__version__,
        "target": {"name": target.name, "digest": target.identity.digest, **asdict(target.identity)},
        "edits": [_described(edit) for edit in edits],
        "tokens": dict(tokens) if tokens is not None else None,
    }


def _described(edit: Edit) -> dict[str, Any]:
    if isinstance(edit, FactorEdit):
        factors = [{"subcomponent": piece.name, "factor": factor} for piece, factor in edit.pieces]
        return {"name": edit.name, "factors": factors}
    return {"name": edit.name, "ranks": {site: edit.low_rank(site)[0].shape[0] for site in edit.sites()}}


def model_card(target: Target, record: Mapping[str, Any], path: Path, base: str | None) -> str:
    """README.md of an exported folder: the edit, the target, how it was checked, how to load it, tokens, licence."""
    adapter = record["format"] == "peft"
    parts = [
        f"---\nlibrary_name: {'peft' if adapter else 'transformers'}\ntags:\n- unweave\n---\n",
        f"# An edit of {target.name}\n",
        f"Written by unweave {record['unweave']} as a {'LoRA adapter' if adapter else 'merged model'}.\n",
        "## The edit\n\n" + "\n".join(_edit_lines(record["edits"])) + "\n",
        "## The target\n\n" + _target_lines(target, adapter, base, path),
        "## Checked\n\n"
        f"Loaded again, its logits differ from the edit's by at most {record['max_logit_difference']:.3g} on fixed "
        f"tokens (allowed: {record['tolerance']:.3g}); the edit itself moves them by up to {record['effect']:.3g}.\n",
        "## Loading\n\n" + (_adapter_usage(record, path, base) if adapter else _merged_usage(path)),
        "## Tokens\n\n" + _token_lines(record["tokens"]),
        "## Licence\n\nThe licence of the edited model holds for this folder too: see that model's own card.\n",
    ]
    return "\n".join(parts)


def _edit_lines(edits: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for edit in edits:
        lines.append(f"- {edit['name']}")
        lines += [f"  - `{each['subcomponent']}` times {each['factor']:.6g}" for each in edit.get("factors", ())]
        lines += [f"  - `{site}`: rank {rank}" for site, rank in edit.get("ranks", {}).items()]
    return lines


def _target_lines(target: Target, adapter: bool, base: str | None, path: Path) -> str:
    identity = target.identity
    lines = (
        f"{target.name}, identity `{identity.digest}` (weights sha256 `{identity.weights}`, dtype {identity.dtype}).\n"
    )
    if not adapter:
        return lines
    if base == str(path.resolve() / "base"):
        return lines + (
            f"The unedited model is in `base/`, and `adapter_config.json` points to `{base}`: change "
            "`base_model_name_or_path` there when you move this folder.\n"
        )
    if target.source.lower().endswith(".gguf"):
        named = f"`{base}` was given as its base. " if base else "`base_model_name_or_path` is left empty. "
        return lines + (
            f"The edit was made on `{Path(target.source).name}`, whose quantised weights were expanded: they are not "
            f"the weights that the hub has under the same model's name. {named}On other weights the adapter's effect "
            "is close but was not measured; export with the base written beside the adapter for the exact pair.\n"
        )
    return lines + (f"Its base is `{base}`.\n" if base else "Its base has no name: it was a live module.\n")


def _adapter_usage(record: Mapping[str, Any], path: Path, base: str | None) -> str:
    model, rank = base or "BASE_MODEL", record["rank"]
    server_rank = next((each for each in _SERVER_RANKS if each >= rank), rank)
    return (
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{model}", dtype="{record["target"]["dtype"]}")\n'
        f'model = PeftModel.from_pretrained(model, "{path.name}")\n'
        "```\n\n"
        "With vLLM, for the architectures it serves LoRA for:\n\n"
        "```\n"
        f"vllm serve {model} --enable-lora --max-lora-rank {server_rank} --lora-modules edited={path.name}\n"
        "```\n"
    )


def _merged_usage(path: Path) -> str:
    return (
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{path.name}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{path.name}")\n'
        "```\n"
    )


def _token_lines(tokens: Mapping[str, int] | None) -> str:
    if tokens is None:
        return "Not stated by whoever exported this.\n"
    return "".join(f"- {purpose}: {count:,}\n" for purpose, count in tokens.items())
