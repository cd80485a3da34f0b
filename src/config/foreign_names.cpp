// The table. A name stands once, under the program that people most often have it from.
#include "virgil/config/foreign_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/config/value_words.h"

namespace virgil {
namespace {

using Kind = ForeignName::Kind;

constexpr std::string_view kNanoGpt = "nanoGPT";
constexpr std::string_view kNanochat = "nanochat";
constexpr std::string_view kHuggingFace = "Hugging Face (Trainer, TRL, config.json)";
constexpr std::string_view kLightning = "PyTorch Lightning";
constexpr std::string_view kOthers = "Others";

constexpr std::string_view kFlatRate = "all parameters have one rate: --learning_rate";
constexpr std::string_view kProcesses =
    "several processes are started by mpirun or srun, and each takes a GPU of its own: mpirun -n 8 train ...";
constexpr std::string_view kSharding =
    "optimizer state and gradients are sharded with --zero_stage 1 or 2, in processes that mpirun or srun starts";
constexpr std::string_view kMetrics =
    "every figure of every step is written to metrics.jsonl and to an event file for TensorBoard in the run's folder; leave it out";
constexpr std::string_view kWhole = "all weights are trained: there are no adapters; leave it out";

constexpr ForeignName same_as(std::string_view program, std::string_view name, std::string_view key) {
  return {.program = program, .name = name, .kind = Kind::kSame, .key = key};
}
constexpr ForeignName switched(std::string_view program, std::string_view name, std::string_view key, std::string_view on,
                               std::string_view off) {
  return {.program = program, .name = name, .kind = Kind::kSwitch, .key = key, .on = on, .off = off};
}
constexpr ForeignName without_effect(std::string_view program, std::string_view name, std::string_view note) {
  return {.program = program, .name = name, .kind = Kind::kNoEffect, .note = note};
}
constexpr ForeignName only_off(std::string_view program, std::string_view name, std::string_view note) {
  return {.program = program, .name = name, .kind = Kind::kOnlyOff, .note = note};
}
constexpr ForeignName refused(std::string_view program, std::string_view name, std::string_view note) {
  return {.program = program, .name = name, .note = note};
}

constexpr ForeignName kNames[] = {
    same_as(kNanoGpt, "gradient_accumulation_steps", "grad_accum_steps"),
    same_as(kNanoGpt, "n_ctx", "block_size"),
    switched(kNanoGpt, "decay_lr", "lr_schedule", "", "constant"),
    without_effect(kNanoGpt, "compile", "there is nothing to compile: Virgil is compiled already"),
    only_off(kNanoGpt, "wandb_*", kMetrics),
    refused(kNanoGpt, "backend", kProcesses),
    refused(
        kNanoGpt, "dataset",
        "the data is named by its files: --input book.txt, or nanoGPT's own --input data/NAME/train.bin --val_input data/NAME/val.bin"),
    only_off(kNanoGpt, "always_save_checkpoint",
             "--save_interval N saves every N steps whatever the loss, and the best one is kept besides"),
    only_off(kNanoGpt, "eval_only",
             "a program of its own evaluates: evaluate, with --checkpoint runs/NAME --input held-out.txt"),

    refused(kNanochat, "depth",
            "nanochat derives all sizes from it; give them: --n_layer, --n_embd, --n_head, or a preset with --config"),
    same_as(kNanochat, "max_seq_len", "block_size"),
    same_as(kNanochat, "device_batch_size", "batch_size"),
    same_as(kNanochat, "num_iterations", "max_iters"),
    same_as(kNanochat, "device_type", "device"),
    same_as(kNanochat, "eval_every", "eval_interval"),
    same_as(kNanochat, "save_every", "save_interval"),
    same_as(kNanochat, "sample_every", "sample_interval"),
    same_as(kNanochat, "model_tag", "model_name"),
    same_as(kNanochat, "run", "model_name"),
    refused(kNanochat, "warmdown_ratio", "it is --lr_schedule wsd --wsd_decay_fraction SHARE"),
    refused(kNanochat, "final_lr_frac", "the last rate is given as such: --min_lr"),
    refused(kNanochat, "eval_tokens", "--eval_iters N evaluates N batches"),
    refused(kNanochat, "embedding_lr", kFlatRate),
    refused(kNanochat, "unembedding_lr", kFlatRate),
    refused(kNanochat, "matrix_lr", kFlatRate),
    refused(kNanochat, "scalar_lr", kFlatRate),
    refused(kNanochat, "target_flops", "the length is given in steps (--max_iters) or passes over the text (--epochs)"),
    refused(kNanochat, "target_param_data_ratio",
            "the length is given in steps (--max_iters) or passes over the text (--epochs)"),

    same_as(kHuggingFace, "per_device_train_batch_size", "batch_size"),
    same_as(kHuggingFace, "per_gpu_train_batch_size", "batch_size"),
    same_as(kHuggingFace, "train_batch_size", "batch_size"),
    same_as(kHuggingFace, "num_train_epochs", "epochs"),
    same_as(kHuggingFace, "max_train_steps", "max_iters"),
    same_as(kHuggingFace, "save_steps", "save_interval"),
    same_as(kHuggingFace, "eval_steps", "eval_interval"),
    same_as(kHuggingFace, "logging_steps", "log_interval"),
    same_as(kHuggingFace, "early_stopping_patience", "patience"),
    same_as(kHuggingFace, "save_total_limit", "keep_last"),
    same_as(kHuggingFace, "warmup_steps", "warmup_iters"),
    same_as(kHuggingFace, "num_warmup_steps", "warmup_iters"),
    same_as(kHuggingFace, "lr_scheduler_type", "lr_schedule"),
    same_as(kHuggingFace, "max_grad_norm", "grad_clip"),
    same_as(kHuggingFace, "adam_beta1", "beta1"),
    same_as(kHuggingFace, "adam_beta2", "beta2"),
    same_as(kHuggingFace, "adam_epsilon", "eps"),
    same_as(kHuggingFace, "output_dir", "out_dir"),
    same_as(kHuggingFace, "run_name", "model_name"),
    same_as(kHuggingFace, "overwrite_output_dir", "overwrite"),
    same_as(kHuggingFace, "model_name_or_path", "init_from"),
    same_as(kHuggingFace, "tokenizer_name", "tokenizer"),
    same_as(kHuggingFace, "tokenizer_name_or_path", "tokenizer"),
    same_as(kHuggingFace, "train_file", "input"),
    same_as(kHuggingFace, "validation_file", "val_input"),
    same_as(kHuggingFace, "torch_dtype", "dtype"),
    switched(kHuggingFace, "fp16", "dtype", "float16", ""),
    switched(kHuggingFace, "bf16", "dtype", "bfloat16", ""),
    switched(kHuggingFace, "no_cuda", "device", "cpu", ""),
    switched(kHuggingFace, "use_cpu", "device", "cpu", ""),
    same_as(kHuggingFace, "max_seq_length", "block_size"),
    same_as(kHuggingFace, "max_length", "block_size"),
    same_as(kHuggingFace, "n_positions", "block_size"),
    same_as(kHuggingFace, "max_position_embeddings", "block_size"),
    same_as(kHuggingFace, "num_hidden_layers", "n_layer"),
    same_as(kHuggingFace, "num_attention_heads", "n_head"),
    same_as(kHuggingFace, "intermediate_size", "d_ff"),
    same_as(kHuggingFace, "n_inner", "d_ff"),
    same_as(kHuggingFace, "tie_word_embeddings", "tie_weights"),
    same_as(kHuggingFace, "data_seed", "seed"),
    without_effect(kHuggingFace, "do_train", "training is what train does"),
    without_effect(kHuggingFace, "do_eval", "the held-out text is evaluated every --eval_interval steps"),
    without_effect(kHuggingFace, "torch_compile", "there is nothing to compile: Virgil is compiled already"),
    without_effect(kHuggingFace, "load_best_model_at_end",
                   "the best checkpoint is kept in the run's folder (best), and generate takes it"),
    only_off(kHuggingFace, "report_to", kMetrics),
    only_off(kHuggingFace, "push_to_hub", "nothing is uploaded; each checkpoint is a Hugging Face folder that hf upload takes"),
    only_off(kHuggingFace, "use_lora", kWhole),
    only_off(kHuggingFace, "use_peft", kWhole),
    refused(kHuggingFace, "lora_*", kWhole),
    only_off(kHuggingFace, "load_in_8bit", "weights are trained in 16 or 32 bits: --dtype"),
    only_off(kHuggingFace, "load_in_4bit", "weights are trained in 16 or 32 bits: --dtype"),
    only_off(
        kHuggingFace, "resume_from_checkpoint",
        "--resume continues from the newest checkpoint of the run that --out_dir and --model_name name; a new run from given weights: --init_from FOLDER"),
    refused(kHuggingFace, "per_device_eval_batch_size", "evaluations take --batch_size too; leave it out"),
    refused(kHuggingFace, "warmup_ratio", "the warm-up is given in steps: --warmup_iters"),
    refused(kHuggingFace, "validation_split_percentage", "--val_fraction 0.05 holds 5 % of the text out"),
    refused(kHuggingFace, "dataset_name", "no dataset is downloaded; give its text as a file: --input book.txt"),
    refused(kHuggingFace, "config_name", "sizes are given with --config FILE.json or as flags (--n_layer, --n_embd, --n_head)"),
    refused(kHuggingFace, "optim", "--optimizer adamw (the default), muon or normuon"),
    refused(kHuggingFace, "eval_strategy", "--eval_interval N evaluates every N steps, 0 never"),
    refused(kHuggingFace, "evaluation_strategy", "--eval_interval N evaluates every N steps, 0 never"),
    refused(kHuggingFace, "save_strategy", "--save_interval N saves every N steps, 0 the best and the last only"),
    refused(kHuggingFace, "logging_strategy", "--log_interval N logs every N steps, 0 never"),
    refused(kHuggingFace, "logging_dir", kMetrics),
    refused(kHuggingFace, "attn_implementation",
            "attention never stores its matrix of scores; leave it out (--attention chooses between kernels on GPUs)"),
    refused(kHuggingFace, "dataloader_*", "tokens are read by memory mapping, without workers; leave it out"),
    refused(kHuggingFace, "ddp_*", kProcesses),
    refused(kHuggingFace, "local_rank", kProcesses),
    refused(kHuggingFace, "deepspeed", kSharding),
    refused(kHuggingFace, "fsdp", kSharding),

    same_as(kLightning, "max_epochs", "epochs"),
    same_as(kLightning, "accumulate_grad_batches", "grad_accum_steps"),
    same_as(kLightning, "gradient_clip_val", "grad_clip"),
    same_as(kLightning, "log_every_n_steps", "log_interval"),
    same_as(kLightning, "val_check_interval", "eval_interval"),
    same_as(kLightning, "limit_val_batches", "eval_iters"),
    same_as(kLightning, "precision", "dtype"),
    same_as(kLightning, "accelerator", "device"),
    same_as(kLightning, "default_root_dir", "out_dir"),
    refused(kLightning, "ckpt_path", "--resume continues the run that --out_dir and --model_name name"),
    refused(kLightning, "devices", kProcesses),
    refused(kLightning, "num_nodes", kProcesses),
    refused(kLightning, "strategy", kSharding),

    same_as(kOthers, "epoch", "epochs"),
    same_as(kOthers, "num_epochs", "epochs"),
    same_as(kOthers, "n_epochs", "epochs"),
    same_as(kOthers, "bs", "batch_size"),
    same_as(kOthers, "micro_batch_size", "batch_size"),
    same_as(kOthers, "grad_accum", "grad_accum_steps"),
    same_as(kOthers, "grad_accumulation_steps", "grad_accum_steps"),
    same_as(kOthers, "accumulation_steps", "grad_accum_steps"),
    same_as(kOthers, "steps", "max_iters"),
    same_as(kOthers, "num_steps", "max_iters"),
    same_as(kOthers, "train_steps", "max_iters"),
    same_as(kOthers, "total_steps", "max_iters"),
    same_as(kOthers, "iters", "max_iters"),
    same_as(kOthers, "iterations", "max_iters"),
    same_as(kOthers, "max_iterations", "max_iters"),
    same_as(kOthers, "warmup", "warmup_iters"),
    same_as(kOthers, "scheduler", "lr_schedule"),
    same_as(kOthers, "lr_scheduler", "lr_schedule"),
    same_as(kOthers, "max_lr", "learning_rate"),
    same_as(kOthers, "wd", "weight_decay"),
    same_as(kOthers, "epsilon", "eps"),
    same_as(kOthers, "adam_eps", "eps"),
    same_as(kOthers, "clip_grad", "grad_clip"),
    same_as(kOthers, "gradient_clipping", "grad_clip"),
    same_as(kOthers, "seq_len", "block_size"),
    same_as(kOthers, "seq_length", "block_size"),
    same_as(kOthers, "sequence_length", "block_size"),
    same_as(kOthers, "context_size", "block_size"),
    same_as(kOthers, "context_len", "block_size"),
    same_as(kOthers, "ctx_len", "block_size"),
    same_as(kOthers, "ctx_size", "block_size"),
    same_as(kOthers, "layers", "n_layer"),
    same_as(kOthers, "n_layers", "n_layer"),
    same_as(kOthers, "heads", "n_head"),
    same_as(kOthers, "n_heads", "n_head"),
    same_as(kOthers, "embed_dim", "n_embd"),
    same_as(kOthers, "embedding_dim", "n_embd"),
    same_as(kOthers, "n_embed", "n_embd"),
    same_as(kOthers, "emb_dim", "n_embd"),
    same_as(kOthers, "hidden_dim", "n_embd"),
    same_as(kOthers, "ffn_dim", "d_ff"),
    same_as(kOthers, "train_data", "input"),
    same_as(kOthers, "data", "input"),
    same_as(kOthers, "data_path", "input"),
    same_as(kOthers, "val_data", "val_input"),
    same_as(kOthers, "val_file", "val_input"),
    same_as(kOthers, "output", "out_dir"),
    same_as(kOthers, "save_dir", "out_dir"),
    same_as(kOthers, "checkpoint_dir", "out_dir"),
    same_as(kOthers, "name", "model_name"),
    same_as(kOthers, "pretrained", "init_from"),
    same_as(kOthers, "mixed_precision", "dtype"),
    same_as(kOthers, "random_seed", "seed"),
    same_as(kOthers, "num_threads", "threads"),
    same_as(kOthers, "memory", "max_memory"),
    same_as(kOthers, "activation_checkpointing", "recompute"),
    same_as(kOthers, "force_overwrite", "overwrite"),
    same_as(kOthers, "continue", "resume"),
    switched(kOthers, "half", "dtype", "float16", ""),
    switched(kOthers, "cpu", "device", "cpu", ""),
    switched(kOthers, "cuda", "device", "cuda", "cpu"),
    without_effect(kOthers, "flash", "attention never stores its matrix of scores"),
    without_effect(kOthers, "flash_attention", "attention never stores its matrix of scores"),
    without_effect(kOthers, "use_flash_attn", "attention never stores its matrix of scores"),
    without_effect(kOthers, "verbose", "--log_interval says how often a step's line is written"),
    only_off(kOthers, "amp", "16-bit training with float32 master weights is --dtype bfloat16 (float16 on GPUs)"),
    refused(kOthers, "num_workers", "tokens are read by memory mapping, without workers; leave it out"),
    refused(kOthers, "num_gpus", kProcesses),
    refused(kOthers, "gpus", kProcesses),
    refused(kOthers, "gpu", "GPUs are numbered from 0: --device cuda, or --device cuda:1"),
};

// llm.c's train_gpt2cu and train_gpt2.
constexpr ShortFlag kShortFlags[] = {
    {"i", "input"},          {"j", "val_input"},        {"e", "init_from"},     {"o", "out_dir"},       {"b", "batch_size"},
    {"t", "block_size"},     {"d", "total_batch_size"}, {"x", "max_iters"},     {"l", "learning_rate"}, {"u", "warmup_iters"},
    {"k", "lr_schedule"},    {"c", "weight_decay"},     {"n", "save_interval"}, {"nk", "keep_last"},    {"v", "eval_interval"},
    {"m", "eval_iters"},     {"s", "sample_interval"},  {"g", "sample_tokens"}, {"r", "recompute"},     {"z", "zero_stage"},
    {"w", "master_weights"}, {"y", "resume"},
};

std::string plain_name(std::string_view name) {
  std::string plain(name);
  std::ranges::replace(plain, '-', '_');
  std::ranges::transform(plain, plain.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return plain;
}

bool names(const ForeignName& foreign, std::string_view name) {
  if (!foreign.name.ends_with('*')) return foreign.name == name;
  return name.starts_with(foreign.name.substr(0, foreign.name.size() - 1));
}

std::string meaning(const ForeignName& foreign) {
  switch (foreign.kind) {
    case Kind::kSame:
      return fmt::format("`--{}`", foreign.key);
    case Kind::kSwitch: {
      std::string text = foreign.on.empty() ? "true: nothing to set" : fmt::format("true: `--{} {}`", foreign.key, foreign.on);
      return foreign.off.empty() ? text : text + fmt::format("; false: `--{} {}`", foreign.key, foreign.off);
    }
    case Kind::kNoEffect:
      return fmt::format("taken, without effect: {}", foreign.note);
    case Kind::kOnlyOff:
      return fmt::format("taken where it is off; else refused: {}", foreign.note);
    case Kind::kHint:
      break;
  }
  return fmt::format("refused: {}", foreign.note);
}

}  // namespace

std::span<const ForeignName> foreign_names() { return kNames; }

const ForeignName* find_foreign_name(std::string_view name) {
  const std::string plain = plain_name(name);
  const auto* found = std::ranges::find_if(kNames, [&](const ForeignName& foreign) { return names(foreign, plain); });
  return found == std::ranges::end(kNames) ? nullptr : found;
}

bool takes_word(const ForeignName& foreign, const std::string& word) {
  const bool is_switch = foreign.kind == Kind::kSwitch || foreign.kind == Kind::kNoEffect;
  return !word.starts_with("--") && (!is_switch || parse_switch(word).has_value());
}

ForeignMeaning meaning_of(const ForeignName& foreign, const std::string& written, const std::optional<std::string>& word) {
  if (foreign.kind == Kind::kSwitch || foreign.kind == Kind::kNoEffect) {
    const std::optional<bool> on = word ? parse_switch(*word) : true;
    if (!on) throw user_error("{} is \"{}\", but takes true or false", written, word->substr(0, 100));
    const std::string_view value = *on ? foreign.on : foreign.off;
    if (!value.empty()) return {.key = foreign.key, .value = std::string(value)};
    const std::string why = foreign.note.empty() || !*on ? std::string() : fmt::format(": {}", foreign.note);
    return {.note = fmt::format("{} has no effect{}", written, why)};
  }
  const bool is_off = word == "none" || word == "None" || (word && parse_switch(*word) == std::optional(false));
  if (foreign.kind != Kind::kOnlyOff || !is_off) throw user_error("{}: no such flag here; {}", written, foreign.note);
  return {.note = fmt::format("{} {} has no effect", written, *word)};
}

std::span<const ShortFlag> short_flags() { return kShortFlags; }

std::string foreign_names_markdown() {
  std::string text =
      "# Flags of other trainers\n\n"
      "<!-- Made from src/config/foreign_names.cpp by the program config_docs. Do not edit: change the table and run\n"
      "     build/config_docs --foreign > docs/foreign-flags.md -->\n\n"
      "`train` knows the flags of other trainers. Where one means the same, in the same unit, it is taken as it is written;\n"
      "where nothing here is equal, the error says what to do instead. nanoGPT's own names (`n_layer`, `max_iters`,\n"
      "`eval_interval`, ...) are Virgil's too. [coming-from.md](coming-from.md) has the most common ones side by side, and says how\n"
      "data and weights come in and go out.\n\n"
      "Values are understood as well: `bf16`, `fp16`, `half`, `fp32` for a type, `gpu` for a device, `True` and `False` for a\n"
      "switch, `1e4`, `10k` and `1_000` for a whole number, `12G`, `\"12 GB\"` and `1.5GB` for an amount of memory.\n";
  std::string_view program;
  for (const ForeignName& foreign : kNames) {
    if (foreign.program != program) text += fmt::format("\n## {}\n\n| Flag | In Virgil |\n|---|---|\n", foreign.program);
    program = foreign.program;
    text += fmt::format("| `--{}` | {} |\n", foreign.name, meaning(foreign));
  }
  text += "\n## llm.c\n\nFlags of one dash are not taken; the error names the long one.\n\n| Flag | In Virgil |\n|---|---|\n";
  for (const ShortFlag& flag : kShortFlags) text += fmt::format("| `-{}` | `--{}` |\n", flag.name, flag.key);
  return text;
}

}  // namespace virgil
