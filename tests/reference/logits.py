"""What the scripts that compare with transformers share."""

import math
import pathlib
import subprocess
import tempfile

SKIPPED = 77  # exit status that ctest takes for skipped
UNIT_ROUNDOFF = 2.0**-24


def rounding_bound(config, length):
    """Relative to the largest logit. The path of tests/support/test_model.h: every sum of a forward pass one after the other, whose
    roundings are as good as independent (Higham, Mary 2019, theorem 2.4, lambda 6)."""
    width = config.hidden_size
    d_ff = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    head_size = getattr(config, "head_dim", None) or width // config.num_attention_heads
    layer = 7 * width + head_size + 2 * length + d_ff
    path = config.num_hidden_layers * layer + 3 * width + config.vocab_size
    return 6 * math.sqrt(path) * UNIT_ROUNDOFF


def virgil_logits(binary, checkpoint, tokens, vocab_size):
    """Logits (B, T, V) of a model's folder for tokens (B, T), from the program dump_logits."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="virgil-logits-") as folder:
        token_file = pathlib.Path(folder) / "tokens"
        logits_file = pathlib.Path(folder) / "logits"
        tokens.astype("int32").tofile(token_file)
        batch_size, length = tokens.shape
        subprocess.run([binary, checkpoint, str(batch_size), str(length), token_file, logits_file], check=True)
        return np.fromfile(logits_file, dtype="float32").reshape(batch_size, length, vocab_size)
