"""Tiny transformers models with random weights, one for each way of storing attention and MLP matrices."""

from __future__ import annotations

import torch
import transformers as tf

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.3,  # large enough for an error to show in the logits
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
OLD = {"vocab_size": 40, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 0}
GROUPED = {"num_key_value_heads": 2}
EXPERTS = {"num_experts_per_tok": 2, **GROUPED}
GPT2 = {**OLD, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32}
CONFIGS = {
    "bloom": lambda: tf.BloomConfig(**OLD, hidden_size=16, n_layer=2, n_head=4),
    "codegen": lambda: tf.CodeGenConfig(**GPT2, rotary_dim=2),
    "glm": lambda: tf.GlmConfig(**SIZES, **GROUPED, head_dim=4),
    "glm4": lambda: tf.Glm4Config(**SIZES, **GROUPED, head_dim=4),
    "gpt2": lambda: tf.GPT2Config(**GPT2),
    "gpt_bigcode": lambda: tf.GPTBigCodeConfig(**GPT2, multi_query=False),
    "gpt_bigcode, one key": lambda: tf.GPTBigCodeConfig(**GPT2, multi_query=True),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**SIZES),
    "mpt": lambda: tf.MptConfig(
        vocab_size=40, d_model=16, n_layers=2, n_heads=4, max_seq_len=32, initializer_range=0.3
    ),
    "phi3": lambda: tf.Phi3Config(**SIZES, **GROUPED),
}
UNFUSED = {
    "llama": lambda: tf.LlamaConfig(**SIZES, **GROUPED),
    "mixtral": lambda: tf.MixtralConfig(**SIZES, **EXPERTS, num_local_experts=4),
    "qwen2_moe": lambda: tf.Qwen2MoeConfig(
        **SIZES, **EXPERTS, num_experts=4, moe_intermediate_size=20, shared_expert_intermediate_size=28
    ),
}


def build(kind):
    """The model, its biases random too."""
    torch.manual_seed(0)
    module = tf.AutoModelForCausalLM.from_config((CONFIGS | UNFUSED)[kind]())
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return module
