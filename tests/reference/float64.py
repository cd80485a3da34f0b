"""Models of transformers in float64 throughout: its classes round norms, and sines and cosines, to float32 whatever their type."""

import torch


def rms_norm(norm, x):
    return norm.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.variance_epsilon)


def rotary(module, x, position_ids):
    """Of angles rounded to float32, as transformers and Virgil have them."""
    angles = (position_ids[:, :, None].float() * module.inv_freq.float()[None, None, :]).double()
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * module.attention_scaling, angles.sin() * module.attention_scaling


def in_float64(model):
    """The model, which must compute attention by "sdpa": "eager" rounds the softmax of most classes to float32."""
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = rms_norm.__get__(module)
        elif kind.endswith("RotaryEmbedding"):
            module.forward = rotary.__get__(module)
    return model.double()
