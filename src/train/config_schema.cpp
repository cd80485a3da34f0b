// The table. To add a key: a field in TrainConfig, an entry here, then regenerate docs/configuration.md (CONTRIBUTING.md).
#include "virgil/train/config_schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "virgil/base/error.h"
#include "virgil/train/device.h"

namespace virgil {
namespace {

constexpr double kMaxCount = 1e9;  // steps, batches, tokens of a sample: far above any use, far below overflow

std::string check_max_memory(std::string_view value) {
  if (value.empty()) return {};
  try {
    static_cast<void>(parse_memory_size(value));
    return {};
  } catch (const UserError&) {
    return "is not an amount of memory; write a whole number of bytes or one with a unit, such as 12GB, 12GiB or 512MiB";
  }
}

std::string check_model_name(std::string_view value) {
  if (value == kTokenCacheFolder) return "is the folder of the token cache; choose another name";
  const bool is_name = !value.empty() && value != "." && value != ".." && value.find_first_of("/\\\n") == value.npos;
  return is_name ? "" : "is not a folder's name; leave slashes out and put the path into out_dir";
}

std::string check_cache_dir(std::string_view value) {
  return value.empty() ? "is not a folder; choose auto, none or a folder's path" : "";
}

std::vector<ConfigKey> model_keys() {
  const std::string s = "Model";
  return {
      {"n_layer", {"num_layers"}, &TrainConfig::n_layer, s, "Transformer blocks.", 1, 1024},
      {"n_head",
       {"num_heads"},
       &TrainConfig::n_head,
       s,
       "Attention heads; n_embd / n_head, the head size, is a multiple of 8 up to 128.",
       1,
       1024},
      {"n_embd", {"d_model", "hidden_size"}, &TrainConfig::n_embd, s, "Width of the residual stream.", 8, 65536},
      {"block_size", {"context_length"}, &TrainConfig::block_size, s, "Longest context, in tokens.", 1, 1048576},
      {"vocab_size",
       {},
       &TrainConfig::vocab_size,
       s,
       "Token ids the model knows; 0: as many as the tokenizer has.",
       0,
       16777216},
      {"d_ff", {}, &TrainConfig::d_ff, s, "Width of the MLP; 0: 4 * n_embd.", 0, 1048576},
      {"bias", {}, &TrainConfig::bias, s, "Biases in linear layers and layernorms, as GPT-2 has them."},
      {"tie_weights", {}, &TrainConfig::tie_weights, s, "The LM head shares the token embedding's matrix."},
      {"dropout",
       {},
       &TrainConfig::dropout,
       s,
       "Dropout probability after the embedding, in attention and on residual branches; 0: off.",
       0,
       0.9},
  };
}

std::vector<ConfigKey> data_keys() {
  const std::string s = "Data";
  return {
      {"input",
       {"input_file"},
       &TrainConfig::input,
       s,
       "What to train on: texts, or token files (.bin); each a file, a folder or a pattern such as 'texts/*.txt'."},
      {"val_input",
       {},
       &TrainConfig::val_input,
       s,
       "What to evaluate on, given likewise; empty: the tail of the input is held out."},
      {"val_fraction",
       {},
       &TrainConfig::val_fraction,
       s,
       "Share of the input, at its end, that is held out for evaluation; without effect when val_input is given.",
       0,
       0.9},
      {"tokenizer",
       {},
       &TrainConfig::tokenizer,
       s,
       "byte, char (characters of the input), gpt2, bpe:SIZE (trained on the input), or a tokenizer file."},
      {"sampling",
       {},
       &TrainConfig::sampling,
       s,
       "random: each sequence from a place drawn at random; epoch: passes in which every window comes once, shuffled.",
       0,
       0,
       {"random", "epoch"}},
      {"cache_dir",
       {},
       &TrainConfig::cache_dir,
       s,
       "Folder that keeps the tokens of texts for later runs and off the memory; auto: out_dir/token_cache, for texts of "
       "64 MiB and more; none: tokens are made anew and held in memory.",
       0,
       0,
       {},
       true,
       check_cache_dir},
      {"force", {}, &TrainConfig::force, s, "Take texts that hold NUL bytes, which are otherwise refused as binaries."},
  };
}

std::vector<ConfigKey> batch_keys() {
  const std::string s = "Batch";
  return {
      {"batch_size",
       {},
       &TrainConfig::batch_size,
       s,
       "Sequences per micro-step; auto: as many as fit into memory, and where total_batch_size is given divide it. Several "
       "processes "
       "take fewer where their share of total_batch_size needs it.",
       1,
       65536,
       {},
       true,
       nullptr,
       "auto"},
      {"grad_accum_steps", {}, &TrainConfig::grad_accum_steps, s, "Micro-steps per update, of each process.", 1, 1048576},
      {"total_batch_size",
       {},
       &TrainConfig::total_batch_size,
       s,
       "Tokens per update over all processes, a multiple of batch_size * block_size * processes; 0: that times "
       "grad_accum_steps.",
       0,
       1e12},
  };
}

std::vector<ConfigKey> optimizer_keys() {
  const std::string s = "Optimizer and schedule";
  return {
      {"max_iters", {"max_steps"}, &TrainConfig::max_iters, s, "Updates to make in all.", 1, kMaxCount},
      {"learning_rate", {"lr"}, &TrainConfig::learning_rate, s, "Highest learning rate, reached after the warm-up.", 0, 10},
      {"min_lr", {}, &TrainConfig::min_lr, s, "Learning rate at the end of the decay.", 0, 10},
      {"warmup_iters", {}, &TrainConfig::warmup_iters, s, "Updates of linear warm-up.", 0, kMaxCount},
      {"lr_decay_iters", {}, &TrainConfig::lr_decay_iters, s, "Update at which min_lr is reached; 0: max_iters.", 0, kMaxCount},
      {"lr_schedule",
       {},
       &TrainConfig::lr_schedule,
       s,
       "How the learning rate falls after the warm-up; wsd (warmup-stable-decay) falls linearly at the end.",
       0,
       0,
       {"cosine", "linear", "constant", "wsd"}},
      {"wsd_decay_fraction",
       {},
       &TrainConfig::wsd_decay_fraction,
       s,
       "Share of lr_decay_iters in which wsd decays; without effect on other schedules.",
       0,
       1},
      {"weight_decay", {}, &TrainConfig::weight_decay, s, "AdamW's decoupled weight decay, on matrices only.", 0, 10},
      {"beta1", {}, &TrainConfig::beta1, s, "AdamW's decay of the first moment.", 0, 0.999999},
      {"beta2", {}, &TrainConfig::beta2, s, "AdamW's decay of the second moment.", 0, 0.999999},
      {"eps", {}, &TrainConfig::eps, s, "AdamW's term that keeps the denominator from zero.", 1e-20, 1},
      {"grad_clip", {}, &TrainConfig::grad_clip, s, "Largest global norm of the gradient; 0: no clipping.", 0, 1e9},
      {"max_bad_steps",
       {},
       &TrainConfig::max_bad_steps,
       s,
       "Updates in a row that a non-finite loss or gradient may void before the run stops.",
       1,
       kMaxCount},
  };
}

std::vector<ConfigKey> progress_keys() {
  const std::string s = "Evaluation, samples, logging and checkpoints";
  return {
      {"eval_interval", {}, &TrainConfig::eval_interval, s, "Updates between evaluations; 0: never.", 0, kMaxCount},
      {"eval_iters", {}, &TrainConfig::eval_iters, s, "Batches per evaluation; 0: the whole held-out text once.", 0, kMaxCount},
      {"log_interval", {}, &TrainConfig::log_interval, s, "Updates between console lines; 0: none.", 0, kMaxCount},
      {"save_interval",
       {},
       &TrainConfig::save_interval,
       s,
       "Updates between checkpoints; 0: only best and last.",
       0,
       kMaxCount},
      {"sample_interval", {}, &TrainConfig::sample_interval, s, "Updates between sample texts; 0: none.", 0, kMaxCount},
      {"sample_tokens", {}, &TrainConfig::sample_tokens, s, "Tokens of a sample text.", 1, 1048576},
      {"sample_prompt", {}, &TrainConfig::sample_prompt, s, "Text that samples continue."},
      {"sample_temperature",
       {},
       &TrainConfig::sample_temperature,
       s,
       "Divides the logits of a sample; 0: always the likeliest token.",
       0,
       100},
      {"sample_top_k",
       {},
       &TrainConfig::sample_top_k,
       s,
       "Samples draw from so many likeliest tokens; 0: from all.",
       0,
       16777216},
      {"keep_last", {}, &TrainConfig::keep_last, s, "Newest step checkpoints kept beside the best one; 0: all.", 0, kMaxCount},
  };
}

std::vector<ConfigKey> run_keys() {
  const std::string s = "Run";
  std::vector<ConfigKey> keys = {
      {"out_dir", {}, &TrainConfig::out_dir, s, "Folder of all runs."},
      {"model_name", {}, &TrainConfig::model_name, s, "Folder of this run inside out_dir.", 0, 0, {}, true, check_model_name},
      {"init_from",
       {},
       &TrainConfig::init_from,
       s,
       "Folder whose weights, sizes and tokenizer a new run starts with: a checkpoint, a run, or a Hugging Face GPT-2 model; "
       "empty: random weights."},
      {"resume", {}, &TrainConfig::resume, s, "Go on from the run's newest checkpoint.", 0, 0, {}, false},
      {"overwrite", {}, &TrainConfig::overwrite, s, "Replace a run of the same name.", 0, 0, {}, false},
      {"dry_run", {}, &TrainConfig::dry_run, s, "Do all that precedes the first step, then stop.", 0, 0, {}, false},
      {"device",
       {},
       &TrainConfig::device,
       s,
       "cpu; cuda, the first GPU, or cuda:N; auto: cuda where there is one and the program is built for it, else cpu.",
       0,
       0,
       {},
       true,
       check_device},
      {"dtype",
       {},
       &TrainConfig::dtype,
       s,
       "Type of weights and activations; auto: bfloat16 where the device multiplies it, else float32. With 16 bits, float32 "
       "master weights are kept beside; float16, on GPUs only, also scales the loss.",
       0,
       0,
       {"auto", "float32", "bfloat16", "float16"}},
      {"master_weights",
       {},
       &TrainConfig::master_weights,
       s,
       "Keep a float32 copy of 16-bit weights, which the optimizer updates; false, with bfloat16 only: no copy, and updates "
       "are "
       "rounded stochastically. Where dtype auto is float32 it changes nothing."},
      {"optimizer_state_dtype",
       {},
       &TrainConfig::optimizer_state_dtype,
       s,
       "Type of AdamW's two moments; bfloat16 halves them and is rounded stochastically.",
       0,
       0,
       {"float32", "bfloat16"}},
      {"cuda_graph",
       {},
       &TrainConfig::cuda_graph,
       s,
       "A GPU records the training pass once, as a CUDA graph, and repeats it: the same bits, and the host starts one graph "
       "instead of each kernel. No effect on the CPU."},
      {"tf32",
       {},
       &TrainConfig::tf32,
       s,
       "Products of float32 may round their factors to TF32 on GPUs that have it: faster, with 10 bits of mantissa."},
      {"attention",
       {},
       &TrainConfig::attention,
       s,
       "Whose attention kernels a GPU trains with: virgil's own; cudnn: NVIDIA's, in a program built with cuDNN, in 16-bit "
       "types and without dropout.",
       0,
       0,
       {"virgil", "cudnn"}},
      {"recompute",
       {"gradient_checkpointing"},
       &TrainConfig::recompute,
       s,
       "What the backward pass computes again instead of storing: nothing; GELU; also layernorms; whole blocks. "
       "true stands for block, false for none.",
       0,
       0,
       {"none", "gelu", "norm", "block"}},
      {"logits_chunk",
       {},
       &TrainConfig::logits_chunk,
       s,
       "Most tokens whose logits exist at one time in a step; 0: 64 MiB of float32 logits, on a GPU 256 MiB, at least 256.",
       0,
       16777216},
      {"threads", {}, &TrainConfig::threads, s, "CPU threads; 0: as many as the process may use.", 0, 4096},
      {"thread_invariant",
       {},
       &TrainConfig::thread_invariant,
       s,
       "The same bits for any number of threads: matrix products, too, are cut by their sizes alone, which makes them slower."},
      {"seed", {}, &TrainConfig::seed, s, "Seed of everything random."},
      {"max_memory",
       {},
       &TrainConfig::max_memory,
       s,
       "Memory the plan may use, such as 12GB, 12GiB or bytes; empty: what the machine has free.",
       0,
       0,
       {},
       true,
       check_max_memory},
  };
  return keys;
}

std::vector<ConfigKey> process_keys() {
  const std::string s = "Several processes";
  return {
      {"zero_stage",
       {},
       &TrainConfig::zero_stage,
       s,
       "What each process holds only its part of: 0: nothing; 1: optimizer state and master weights; 2: also gradients.",
       0,
       2},
      {"grad_reduce_dtype",
       {},
       &TrainConfig::grad_reduce_dtype,
       s,
       "Type in which gradients travel; bfloat16 halves the bytes and rounds each process's gradient once. Sums are float32.",
       0,
       0,
       {"float32", "bfloat16"}},
      {"rank_timeout",
       {},
       &TrainConfig::rank_timeout,
       s,
       "Seconds after which a process that the others wait for counts as lost, and the run ends; evaluations and samples on "
       "one "
       "process must take less.",
       1,
       86400},
  };
}

std::vector<ConfigKey> make_keys() {
  std::vector<ConfigKey> keys;
  for (auto section :
       {model_keys(), data_keys(), batch_keys(), optimizer_keys(), progress_keys(), run_keys(), process_keys()}) {
    keys.insert(keys.end(), section.begin(), section.end());
  }
  return keys;
}

}  // namespace

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> keys = make_keys();
  return keys;
}

const ConfigKey* find_config_key(std::string_view name) {
  std::string wanted(name);
  std::ranges::replace(wanted, '-', '_');
  for (const ConfigKey& key : config_keys()) {
    if (key.name == wanted || std::ranges::find(key.aliases, wanted) != key.aliases.end()) return &key;
  }
  return nullptr;
}

}  // namespace virgil
