// The table. To add a key: a field in TrainConfig, an entry here, then regenerate docs/configuration.md (CONTRIBUTING.md).
#include "virgil/config/config_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/config/device_name.h"
#include "virgil/config/foreign_names.h"
#include "virgil/model/group_overrides.h"
#include "virgil/model/state_storage.h"
#include "virgil/ops/conv_taps.h"

namespace virgil {
namespace {

constexpr double kMaxCount = 1e9;  // steps, batches, tokens of a sample: far above any use, far below overflow

std::string check_max_memory(std::string_view value) { return value.empty() ? "" : memory_size_problem(value); }

std::string check_model_name(std::string_view value) {
  if (value == kTokenCacheFolder) return "is the folder of the token cache; choose another name";
  const bool is_name = !value.empty() && value != "." && value != ".." && value.find_first_of("/\\\n") == value.npos;
  return is_name ? "" : "is not a folder's name; leave slashes out and put the path into out_dir";
}

std::string check_text_field(std::string_view value) {
  return value.empty() ? "is not a field's name; choose the field of the text, or none to read JSON lines as plain text" : "";
}

std::string check_cache_dir(std::string_view value) {
  return value.empty() ? "is not a folder; choose auto, none or a folder's path" : "";
}

/// An empty text stands for no groups.
std::string check_param_group(std::string_view value) {
  const std::string problem = value.empty() ? "" : group_override_problem(value);
  return problem.empty() ? "" : "is not a group of parameters: " + problem;
}

/// A key under construction: each kind below names the field, its range or choices and its help; what few keys have is chained.
struct Row {
  ConfigKey key;

  Row also(std::vector<std::string> aliases) {
    key.aliases = std::move(aliases);
    return *this;
  }
  Row for_one_invocation() {
    key.saved = false;
    return *this;
  }
  Row checked_by(std::string (*check)(std::string_view value)) {
    key.check = check;
    return *this;
  }
  Row word(std::string name, std::int64_t value) {
    key.words.push_back({std::move(name), value});
    return *this;
  }
};

Row whole(std::string name, std::int64_t TrainConfig::*member, double min, double max, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help), .min = min, .max = max}};
}
Row number(std::string name, double TrainConfig::*member, double min, double max, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help), .min = min, .max = max}};
}
Row seed(std::string name, std::uint64_t TrainConfig::*member, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help)}};
}
Row toggle(std::string name, bool TrainConfig::*member, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help)}};
}
Row text(std::string name, std::string TrainConfig::*member, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help)}};
}
Row choice(std::string name, std::string TrainConfig::*member, std::vector<std::string> choices, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help), .choices = std::move(choices)}};
}
Row texts(std::string name, std::vector<std::string> TrainConfig::*member, std::string help) {
  return {{.name = std::move(name), .member = member, .help = std::move(help)}};
}

std::vector<ConfigKey> section(const std::string& title, const std::vector<Row>& rows) {
  std::vector<ConfigKey> keys;
  for (const Row& row : rows) {
    keys.push_back(row.key);
    keys.back().section = title;
  }
  return keys;
}

std::vector<ConfigKey> model_keys() {
  return section(
      "Model",
      {
          choice(
              "family", &TrainConfig::family, {"gpt2", "llama", "mistral", "qwen2"},
              "Whose parts the model has, and whose names its files: GPT-2's, or those of Llama (RMSNorm, rotary positions, a "
              "gated MLP, grouped heads), Mistral (with a window) and Qwen2 (with biases on queries, keys and values).")
              .also({"model_type"}),
          whole("n_layer", &TrainConfig::n_layer, 1, 1024, "Transformer blocks.").also({"num_layers"}),
          whole("n_head", &TrainConfig::n_head, 1, 1024,
                "Attention heads; n_embd / n_head, the head size, is a multiple of 8 up to 128.")
              .also({"num_heads"}),
          whole("n_embd", &TrainConfig::n_embd, 8, 65536, "Width of the residual stream.").also({"d_model", "hidden_size"}),
          whole("block_size", &TrainConfig::block_size, 1, 1048576, "Longest context, in tokens.").also({"context_length"}),
          whole("vocab_size", &TrainConfig::vocab_size, 0, 16777216,
                "Token ids the model knows; 0: as many as the tokenizer has."),
          whole("d_ff", &TrainConfig::d_ff, 0, 1048576,
                "Width of the MLP; 0: 4 * n_embd, and 8/3 * n_embd in whole 32s of a gated one."),
          choice(
              "mlp", &TrainConfig::mlp, {"auto", "gelu", "relu2", "swiglu", "geglu"},
              "What stands between the MLP's products: GELU or ReLU squared (So et al. 2021), or of Llama and its kin SwiGLU or "
              "GeGLU (Shazeer 2020); auto: the family's."),
          whole("n_kv_head", &TrainConfig::n_kv_head, 0, 1024,
                "Heads of keys and values, each for as many query heads (Ainslie et al. 2023); 0: n_head. Not of GPT-2.")
              .also({"num_key_value_heads", "num_kv_heads"}),
          whole("head_size", &TrainConfig::head_size, 0, 128, "Width of a head; 0: n_embd / n_head. Not of GPT-2.")
              .also({"head_dim"}),
          number("rope_theta", &TrainConfig::rope_theta, 2, 1e12, "Base of the rotary positions (Su et al. 2021)."),
          text("rope_scaling", &TrainConfig::rope_scaling,
               "Rotary positions for contexts longer than those trained before: none, or a kind and its numbers, such as "
               "linear:factor=2, yarn:factor=4,original=4096 or llama3:factor=8,low=1,high=4,original=8192."),
          whole("window", &TrainConfig::window, 0, 1048576,
                "Positions that attention sees, a query's own among them; 0: all before it. Not of GPT-2.")
              .also({"sliding_window"}),
          number("norm_epsilon", &TrainConfig::norm_epsilon, 0, 0.5, "What norms add to the variance; 0: 1e-5. Not of GPT-2.")
              .also({"rms_norm_eps"}),
          whole("conv_taps", &TrainConfig::conv_taps, 0, kMaxConvTaps,
                "Positions before, that a causal convolution mixes into the input of attention and of the MLP (So et al. 2021, "
                "Allen-Zhu 2025); 0: none. Not GPT-2 any more: transformers cannot open it."),
          toggle("bias", &TrainConfig::bias, "Biases in linear layers and layernorms, as GPT-2 has them."),
          toggle("tie_weights", &TrainConfig::tie_weights, "The LM head shares the token embedding's matrix."),
          number("dropout", &TrainConfig::dropout, 0, 0.9,
                 "Dropout probability after the embedding, in attention and on residual branches; 0: off."),
      });
}

std::vector<ConfigKey> data_keys() {
  return section(
      "Data",
      {
          texts("input", &TrainConfig::input,
                "What to train on: texts, or token files (.bin); each a file, a folder or a pattern such as 'texts/*.txt'.")
              .also({"input_file"}),
          texts("val_input", &TrainConfig::val_input,
                "What to evaluate on, given likewise; empty: the tail of the input is held out."),
          number("val_fraction", &TrainConfig::val_fraction, 0, 0.9,
                 "Share of the input, at its end, that is held out for evaluation; without effect when val_input is given."),
          text("tokenizer", &TrainConfig::tokenizer,
               "byte, char (characters of the input), gpt2, bpe:SIZE (trained on the input), or a tokenizer file."),
          text("text_field", &TrainConfig::text_field,
               "Field of JSON lines that holds the text, each line a document; none: JSON lines are read as plain text.")
              .checked_by(check_text_field),
          toggle(
              "split_documents", &TrainConfig::split_documents,
              "The tokenizer's end of text, such as <|endoftext|> of gpt2 and bpe, ends a document where it stands in a text; false: it is text like any other."),
          choice(
              "token_type", &TrainConfig::token_type, {"auto", "uint16", "uint32", "uint64"},
              "How wide the ids of token files without a header are; auto: 16 bits, and files that look otherwise are refused."),
          choice(
              "sampling", &TrainConfig::sampling, {"random", "epoch"},
              "random: each sequence from a place drawn at random; epoch: passes in which every window comes once, shuffled."),
          text(
              "cache_dir", &TrainConfig::cache_dir,
              "Folder that keeps the tokens of texts for later runs and off the memory; auto: out_dir/token_cache, for texts of 64 MiB and more; none: tokens are made anew and held in memory.")
              .checked_by(check_cache_dir),
          toggle("force", &TrainConfig::force, "Take texts that hold NUL bytes, which are otherwise refused as binaries."),
      });
}

std::vector<ConfigKey> batch_keys() {
  return section(
      "Batch",
      {
          whole(
              "batch_size", &TrainConfig::batch_size, 1, 65536,
              "Sequences per micro-step; auto: as many as fit into memory, and where total_batch_size is given divide it. Several processes take fewer where their share of total_batch_size needs it.")
              .word("auto", 0),
          whole("grad_accum_steps", &TrainConfig::grad_accum_steps, 1, 1048576, "Micro-steps per update, of each process."),
          whole(
              "total_batch_size", &TrainConfig::total_batch_size, 0, 1e12,
              "Tokens per update over all processes, a multiple of batch_size * block_size * processes; 0: that times grad_accum_steps."),
      });
}

std::vector<ConfigKey> optimizer_keys() {
  return section(
      "Optimizer and schedule",
      {
          whole("max_iters", &TrainConfig::max_iters, 1, kMaxCount, "Updates to make in all.").also({"max_steps"}),
          number(
              "epochs", &TrainConfig::epochs, 0, 1e6,
              "Passes over the training text, from which max_iters follows; 0: max_iters says how long. Of two flags only one can say it; in files epochs counts before max_iters."),
          number("learning_rate", &TrainConfig::learning_rate, 0, 10, "Highest learning rate, reached after the warm-up.")
              .also({"lr"}),
          number("min_lr", &TrainConfig::min_lr, 0, 10, "Learning rate at the end of the decay."),
          whole("warmup_iters", &TrainConfig::warmup_iters, 0, kMaxCount, "Updates of linear warm-up."),
          whole(
              "lr_decay_iters", &TrainConfig::lr_decay_iters, 0, kMaxCount,
              "Update at which min_lr is reached; 0: max_iters. A resumed run keeps what it was planned with unless this is given."),
          choice("lr_schedule", &TrainConfig::lr_schedule, {"cosine", "linear", "constant", "wsd"},
                 "How the learning rate falls after the warm-up; wsd (warmup-stable-decay) falls linearly at the end."),
          number("wsd_decay_fraction", &TrainConfig::wsd_decay_fraction, 0, 1,
                 "Share of lr_decay_iters in which wsd decays; without effect on other schedules."),
          choice(
              "optimizer", &TrainConfig::optimizer, {"adamw", "muon", "normuon"},
              "adamw for everything; muon for the matrices of blocks, with adamw for embeddings, head and vectors; normuon: the same with updates that are as large for each neuron. All take the same rates."),
          number("muon_momentum", &TrainConfig::muon_momentum, 0, 0.999999, "Nesterov momentum of muon and normuon."),
          number("muon_beta2", &TrainConfig::muon_beta2, 0, 0.999999,
                 "Normuon's decay of the second moment, of which each neuron has one."),
          texts(
              "param_groups", &TrainConfig::param_groups,
              "Parameters that are trained otherwise, a text for each group: '*.wte.weight,*.wpe.weight lr_factor=0.5 decay_factor=0 optimizer=adamw'. Patterns of names, then shares of learning_rate and weight_decay, an optimizer, or some of these; the first group that matches counts.")
              .checked_by(check_param_group),
          number("weight_decay", &TrainConfig::weight_decay, 0, 10, "Decoupled weight decay, on matrices only."),
          number("beta1", &TrainConfig::beta1, 0, 0.999999, "AdamW's decay of the first moment."),
          number("beta2", &TrainConfig::beta2, 0, 0.999999, "AdamW's decay of the second moment."),
          number("eps", &TrainConfig::eps, 1e-20, 1, "AdamW's term that keeps the denominator from zero."),
          number("grad_clip", &TrainConfig::grad_clip, 0, 1e9, "Largest global norm of the gradient; 0: no clipping."),
          whole("max_bad_steps", &TrainConfig::max_bad_steps, 1, kMaxCount,
                "Updates in a row that a non-finite loss or gradient may void before the run stops."),
      });
}

std::vector<ConfigKey> progress_keys() {
  return section(
      "Evaluation, samples, logging and checkpoints",
      {
          whole("eval_interval", &TrainConfig::eval_interval, 0, kMaxCount, "Updates between evaluations; 0: never."),
          whole(
              "eval_iters", &TrainConfig::eval_iters, 0, kMaxCount,
              "Batches per evaluation; auto: the whole of a small held-out text and a fixed sample of a large one; all, or 0: "
              "the whole of any.")
              .word("auto", kAutoEvalIters)
              .word("all", 0),
          whole("patience", &TrainConfig::patience, 0, kMaxCount,
                "Evaluations in a row without a new best loss after which the run ends before max_iters; 0: it does not."),
          number("target_loss", &TrainConfig::target_loss, 0, 1000,
                 "Validation loss, in nats a token, at which the run ends before max_iters; 0: it does not."),
          whole("log_interval", &TrainConfig::log_interval, 0, kMaxCount, "Updates between console lines; 0: none."),
          whole("save_interval", &TrainConfig::save_interval, 0, kMaxCount,
                "Updates between checkpoints; 0: only best and last."),
          whole("sample_interval", &TrainConfig::sample_interval, 0, kMaxCount, "Updates between sample texts; 0: none."),
          whole("sample_tokens", &TrainConfig::sample_tokens, 1, 1048576, "Tokens of a sample text."),
          text("sample_prompt", &TrainConfig::sample_prompt, "Text that samples continue."),
          number("sample_temperature", &TrainConfig::sample_temperature, 0, 100,
                 "Divides the logits of a sample; 0: always the likeliest token."),
          whole("sample_top_k", &TrainConfig::sample_top_k, 0, 16777216,
                "Samples draw from so many likeliest tokens; 0: from all."),
          whole("keep_last", &TrainConfig::keep_last, 0, kMaxCount,
                "Newest step checkpoints kept beside the best one; 0: all."),
          toggle("tensorboard", &TrainConfig::tensorboard, "Write an event file for TensorBoard into the run's folder."),
      });
}

std::vector<ConfigKey> run_keys() {
  return section(
      "Run",
      {
          text("out_dir", &TrainConfig::out_dir, "Folder of all runs."),
          text("model_name", &TrainConfig::model_name, "Folder of this run inside out_dir.").checked_by(check_model_name),
          text(
              "init_from", &TrainConfig::init_from,
              "Folder whose weights, sizes and tokenizer a new run starts with: a checkpoint, a run, or a Hugging Face model; empty: random weights."),
          toggle("resume", &TrainConfig::resume, "Resume from the run's newest checkpoint.").for_one_invocation(),
          toggle("overwrite", &TrainConfig::overwrite, "Replace a run of the same name.").for_one_invocation(),
          toggle("dry_run", &TrainConfig::dry_run, "Do all that precedes the first step, then stop.").for_one_invocation(),
          toggle("print_config", &TrainConfig::print_config,
                 "Print every key with its value, as a config file that --config takes, and stop.")
              .for_one_invocation(),
          text("device", &TrainConfig::device,
               "cpu; cuda, the first GPU, or cuda:N; auto: cuda where there is one and the program is built for it, else cpu.")
              .checked_by(check_device),
          choice(
              "dtype", &TrainConfig::dtype, {"auto", "float32", "bfloat16", "float16"},
              "Type of weights and activations; auto: the fastest that the device has: bfloat16 on GPUs from compute capability 8.0 on and on processors where it is measured to be faster, else float16 on GPUs and float32 on processors. With 16 bits, float32 master weights are kept beside; float16, on GPUs only, also scales the loss."),
          toggle(
              "master_weights", &TrainConfig::master_weights,
              "Keep a float32 copy of 16-bit weights, which the optimizer updates; false, with bfloat16 only: no copy, and updates are rounded stochastically. Where dtype auto is float32 it has no effect."),
          choice("optimizer_state_dtype", &TrainConfig::optimizer_state_dtype, state_storage_names(),
                 "Type of AdamW's two moments; bfloat16 halves them and is rounded stochastically."),
          toggle(
              "cuda_graph", &TrainConfig::cuda_graph,
              "A GPU records the training pass once, as a CUDA graph, and repeats it: the same bits, and the host starts one graph instead of each kernel. No effect on the CPU."),
          toggle("tf32", &TrainConfig::tf32,
                 "Products of float32 may round their factors to TF32 on GPUs that have it: faster, with 10 bits of mantissa."),
          choice(
              "attention", &TrainConfig::attention, {"auto", "virgil", "cudnn"},
              "Whose attention kernels a GPU trains with: virgil's own; cudnn: NVIDIA's, in a program built with cuDNN, in 16-bit types and without dropout; auto: cudnn on compute capability 9.0 where all of that holds, else virgil."),
          toggle(
              "cublaslt_tuning", &TrainConfig::cublaslt_tuning,
              "A GPU times cuBLASLt's algorithms for each product once and keeps the choice in the user's cache, so that later runs have the same bits; false: the library's first. No effect on the CPU."),
          choice(
              "recompute", &TrainConfig::recompute, {"none", "gelu", "norm", "block"},
              "What the backward pass computes again instead of storing: nothing; GELU; also layernorms; whole blocks. true stands for block, false for none.")
              .also({"gradient_checkpointing"}),
          whole(
              "logits_chunk", &TrainConfig::logits_chunk, 0, 16777216,
              "Most tokens whose logits exist at one time in a step; 0: 64 MiB of float32 logits, on a GPU 256 MiB, at least 256."),
          whole("threads", &TrainConfig::threads, 0, 4096, "CPU threads; 0: as many as the process may use."),
          toggle(
              "thread_invariant", &TrainConfig::thread_invariant,
              "The same bits for any number of threads: matrix products, too, are cut by their sizes alone, which makes them slower."),
          seed("seed", &TrainConfig::seed, "Seed of everything random."),
          text(
              "max_memory", &TrainConfig::max_memory,
              "Memory the plan may use, such as 12GB, 1.5 TB, 12GiB or bytes, and at most what the machine has free; empty: all of that.")
              .checked_by(check_max_memory),
      });
}

std::vector<ConfigKey> process_keys() {
  return section(
      "Several processes",
      {
          whole(
              "zero_stage", &TrainConfig::zero_stage, 0, 2,
              "What each process holds only its part of: 0: nothing; 1: optimizer state and master weights; 2: also gradients."),
          choice(
              "grad_reduce_dtype", &TrainConfig::grad_reduce_dtype, {"float32", "bfloat16"},
              "Type in which gradients travel; bfloat16 halves the bytes and rounds each process's gradient once. Sums are float32."),
          whole(
              "rank_timeout", &TrainConfig::rank_timeout, 1, 86400,
              "Seconds after which a process that the others wait for counts as lost, and the run ends; evaluations and samples on one process must take less."),
      });
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
  const ForeignName* foreign = find_foreign_name(wanted);
  const bool is_same = foreign != nullptr && foreign->kind == ForeignName::Kind::kSame;
  return is_same ? find_config_key(foreign->key) : nullptr;
}

}  // namespace virgil
