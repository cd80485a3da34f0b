#!/usr/bin/env python3
"""Makes tests/golden/*.safetensors: small models of each family run by PyTorch and transformers in float64.

An independent implementation (GPT2LMHeadModel, eager attention; LlamaForCausalLM and its kin) of what tests/train/golden_test.cpp
asks of Virgil: logits, loss and every gradient of one batch, then ten AdamW updates on ten batches. Everything is computed in
float64 from weights that are exact in float32, and rounded once when stored, so that the reference's own error is half a unit in
the last place. (transformers computes RMSNorm, and sines and cosines, in float32 whatever the model's type: in_float64() does
not.)

Usage: make_golden.py OUTPUT_DIRECTORY
Needs: torch, transformers, safetensors, numpy (versions: tests/golden/README.md).
"""

import dataclasses
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

from float64 import in_float64

STEPS = 10
OPTIMIZER = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    vocab_size: int
    bias: bool
    batch_size: int
    length: int
    max_norm: float
    seed: int
    activation: str = "gelu_new"


@dataclasses.dataclass(frozen=True)
class FamilyCase:
    """A model that its config.json tells, not GPT-2's."""
    name: str
    model_type: str
    config: dict
    batch_size: int
    length: int
    max_norm: float
    seed: int


CASES = [
    # Heads of 8, a width that no vector register divides, a vocabulary that is padded (65 to 128), a context not filled.
    # Every update is clipped.
    Case("bias", 2, 3, 24, 12, 65, True, 3, 11, max_norm=1.0, seed=1),
    # No biases, heads of 16, a vocabulary that needs no padding, a full context. Some updates are
    # clipped and some are not.
    Case("no_bias", 1, 2, 32, 16, 64, False, 2, 16, max_norm=2.7, seed=2),
    # ReLU squared in the MLP.
    Case("relu2", 2, 2, 16, 10, 65, True, 2, 10, max_norm=2.0, seed=3, activation="relu2"),
]


FAMILY_CASES = [
    # Two query heads to a head of keys, a base of its own, a head of its own, an MLP whose width no vector divides.
    FamilyCase("llama", "llama",
               {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "intermediate_size": 44,
                "vocab_size": 65, "max_position_embeddings": 12, "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
                "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, 3, 11, max_norm=1.5, seed=4),
    # All query heads on one head of keys; heads that are wider together than the stream; a window of five positions.
    FamilyCase("mistral", "mistral",
               {"num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "hidden_size": 24,
                "intermediate_size": 40, "vocab_size": 64, "max_position_embeddings": 20, "tie_word_embeddings": False,
                "rms_norm_eps": 1e-6, "sliding_window": 5}, 2, 17, max_norm=2.0, seed=5),
    # Biases on queries, keys and values; a tied head; frequencies of Llama 3, some kept, some between, some divided.
    FamilyCase("qwen2", "qwen2",
               {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 32, "intermediate_size": 48,
                "vocab_size": 70, "max_position_embeddings": 32, "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
                "rope_parameters": {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
                                    "high_freq_factor": 4.0, "original_max_position_embeddings": 16}}, 2, 20, max_norm=1.0, seed=6),
    # YaRN with its factor of attention, and GeGLU.
    FamilyCase("yarn_geglu", "llama",
               {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "hidden_size": 32, "intermediate_size": 24,
                "vocab_size": 65, "max_position_embeddings": 32, "tie_word_embeddings": True, "rms_norm_eps": 1e-5,
                "hidden_act": "gelu_pytorch_tanh",
                "rope_parameters": {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0,
                                    "original_max_position_embeddings": 8}}, 2, 24, max_norm=1.0, seed=7),
]


def is_absent(name: str, case: Case | FamilyCase) -> bool:
    return isinstance(case, Case) and name.endswith(".bias") and not case.bias


def make_family_model(case: FamilyCase) -> transformers.PreTrainedModel:
    config = transformers.AutoConfig.for_model(case.model_type, attn_implementation="sdpa", use_cache=False, bos_token_id=None,
                                               eos_token_id=None, pad_token_id=None, **case.config)
    return in_float64(transformers.AutoModelForCausalLM.from_config(config)).train()


def make_model(case: Case | FamilyCase) -> transformers.PreTrainedModel:
    model = make_family_model(case) if isinstance(case, FamilyCase) else make_gpt2(case)
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            if is_absent(name, case):
                parameter.zero_()
            elif parameter.dim() == 1:
                # Norms away from 1 and biases away from 0, so that no term of the model is hidden.
                parameter.copy_((0.2 * noise + (1.0 if name.endswith(".weight") else 0.0)).double())
            else:
                parameter.copy_((0.15 * noise).double())
    return model


def make_gpt2(case: Case) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=case.vocab_size, n_positions=case.block_size, n_embd=case.n_embd, n_layer=case.n_layer,
        n_head=case.n_head, activation_function=case.activation, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        layer_norm_epsilon=1e-5, tie_word_embeddings=True, attn_implementation="eager", use_cache=False,
        bos_token_id=None, eos_token_id=None)
    return transformers.GPT2LMHeadModel(config).double().train()


def trained_parameters(model: torch.nn.Module, case: Case | FamilyCase) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if not is_absent(name, case)}


def loss_of(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(inputs).logits
    return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def clip(parameters: dict[str, torch.nn.Parameter], max_norm: float) -> float:
    """min(1, max_norm / norm) exactly; torch's clip_grad_norm_ adds 1e-6 to the norm."""
    norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in parameters.values())).item()
    for parameter in parameters.values():
        parameter.grad.mul_(min(1.0, max_norm / norm))
    return norm


def make_case(case: Case | FamilyCase) -> dict[str, torch.Tensor]:
    model = make_model(case)
    vocab_size = model.config.vocab_size
    parameters = trained_parameters(model, case)
    generator = torch.Generator().manual_seed(100 + case.seed)
    tokens = torch.randint(vocab_size, (2, STEPS, case.batch_size, case.length), generator=generator)
    inputs, targets = tokens[0], tokens[1]
    tensors = {"inputs": inputs.int(), "targets": targets.int()}
    for name, parameter in parameters.items():
        tensors["weights." + name] = parameter.detach().float()

    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters.values() if p.dim() >= 2], "weight_decay": OPTIMIZER["weight_decay"]},
         {"params": [p for p in parameters.values() if p.dim() < 2], "weight_decay": 0.0}],
        lr=OPTIMIZER["learning_rate"], betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]), eps=OPTIMIZER["eps"])
    losses, norms = [], []
    for step in range(STEPS):
        model.zero_grad()
        logits, loss = loss_of(model, inputs[step], targets[step])
        loss.backward()
        if step == 0:
            tensors["logits"] = logits.detach().float()
            for name, parameter in parameters.items():
                tensors["gradients." + name] = parameter.grad.float()
        losses.append(loss.item())
        norms.append(clip(parameters, case.max_norm))
        optimizer.step()
    for name, parameter in parameters.items():
        tensors["updated." + name] = parameter.detach().float()
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    tensors["gradient_norms"] = torch.tensor(norms, dtype=torch.float64)
    shown_norms = ", ".join(f"{norm:.2f}" for norm in norms)
    print(f"{case.name}: losses {losses[0]:.4f} to {losses[-1]:.4f}, gradient norms {shown_norms}")
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    directory = pathlib.Path(sys.argv[1])
    for case in CASES + FAMILY_CASES:
        sizes = {key: value for key, value in dataclasses.asdict(case).items() if key not in ("name", "seed") and (key, value) != ("activation", "gelu_new")}
        if isinstance(case, FamilyCase):
            sizes["config"] = {"model_type": sizes.pop("model_type"), **sizes["config"]}
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        # One key: safetensors writes several in an order that changes from run to run.
        metadata = {"case": json.dumps({**sizes, **OPTIMIZER, **versions}, sort_keys=True)}
        path = directory / f"{case.name}.safetensors"
        save_file(make_case(case), path, metadata=metadata)
        path.chmod(0o644)


if __name__ == "__main__":
    main()
