#!/usr/bin/env python3
"""Makes tests/golden/*.safetensors: small GPT-2 models run by PyTorch and transformers in float64.

An independent implementation (GPT2LMHeadModel, eager attention) of what tests/train/golden_test.cpp asks of Virgil: logits,
loss and every gradient of one batch, then ten AdamW updates on ten batches. Everything is computed in float64 from weights that
are exact in float32, and rounded once when stored, so that the reference's own error is half a unit in the last place.

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


def is_absent(name: str, case: Case) -> bool:
    return name.endswith(".bias") and not case.bias


def make_model(case: Case) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=case.vocab_size, n_positions=case.block_size, n_embd=case.n_embd, n_layer=case.n_layer,
        n_head=case.n_head, activation_function=case.activation, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        layer_norm_epsilon=1e-5, tie_word_embeddings=True, attn_implementation="eager", use_cache=False,
        bos_token_id=None, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config).double().train()
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


def trained_parameters(model: torch.nn.Module, case: Case) -> dict[str, torch.nn.Parameter]:
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


def make_case(case: Case) -> dict[str, torch.Tensor]:
    model = make_model(case)
    parameters = trained_parameters(model, case)
    generator = torch.Generator().manual_seed(100 + case.seed)
    tokens = torch.randint(case.vocab_size, (2, STEPS, case.batch_size, case.length), generator=generator)
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
    for case in CASES:
        sizes = {key: value for key, value in dataclasses.asdict(case).items() if key not in ("name", "seed") and (key, value) != ("activation", "gelu_new")}
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        # One key: safetensors writes several in an order that changes from run to run.
        metadata = {"case": json.dumps({**sizes, **OPTIMIZER, **versions}, sort_keys=True)}
        path = directory / f"{case.name}.safetensors"
        save_file(make_case(case), path, metadata=metadata)
        path.chmod(0o644)


if __name__ == "__main__":
    main()
