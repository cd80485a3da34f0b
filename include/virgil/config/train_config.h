// Everything a run can be told, as plain values. The keys users write are the names of these fields (nanoGPT's where it has
// them); config_schema.h tells each key's type, default, range, aliases and meaning, and is what reads and writes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace virgil {

/// Where cache_dir "auto" keeps tokens, inside out_dir; no run may bear that name.
inline constexpr const char* kTokenCacheFolder = "token_cache";

/// eval_iters "auto": all of a small held-out text, a fixed sample of a large one (auto_eval_tokens).
inline constexpr std::int64_t kAutoEvalIters = -1;

/// A resolved run configuration. Defaults here are the documented ones. "0: ..." in a comment tells what 0 stands for.
struct TrainConfig {
  // Model
  std::string family = "gpt2";  // gpt2 | llama | mistral | qwen2: whose parts and files
  std::int64_t n_layer = 12;
  std::int64_t n_head = 12;
  std::int64_t n_embd = 768;
  std::int64_t block_size = 1024;
  std::int64_t vocab_size = 0;  // 0: the tokenizer's
  std::int64_t d_ff = 0;        // 0: 4 * n_embd; gated: usual_d_ff()
  std::string mlp = "auto";     // auto, the family's | gelu | relu2 | swiglu | geglu
  std::int64_t n_kv_head = 0;   // 0: n_head
  std::int64_t head_size = 0;   // 0: n_embd / n_head
  double rope_theta = 10000;
  std::string rope_scaling = "none";  // RotaryScaling's text
  std::int64_t window = 0;            // 0: all positions
  double norm_epsilon = 0;            // 0: 1e-5
  std::int64_t conv_taps = 0;
  bool bias = false;
  bool tie_weights = true;
  double dropout = 0.0;

  // Data
  std::vector<std::string> input;      // texts or token files: files, folders, patterns
  std::vector<std::string> val_input;  // likewise; empty: the tail of the input is held out
  double val_fraction = 0.1;
  std::string tokenizer = "gpt2";   // byte | char | gpt2 | bpe:<size> | <file>
  std::string text_field = "text";  // of JSON lines; none: read as plain text
  bool split_documents = true;      // at <|endoftext|> in a text
  std::string token_type = "auto";  // of token files without a header: auto | uint16 | uint32 | uint64
  std::string sampling = "random";  // random | epoch
  std::string cache_dir = "auto";   // auto | none | <folder>
  bool force = false;               // take texts that hold NUL bytes

  // Batch
  std::int64_t batch_size = 12;  // sequences per micro-step; 0: auto, as many as fit
  std::int64_t grad_accum_steps = 1;
  std::int64_t total_batch_size = 0;  // tokens per step; 0: batch_size * block_size * grad_accum_steps * processes

  // Optimizer and schedule
  std::int64_t max_iters = 1000;
  double epochs = 0;  // passes over the training text, from which max_iters follows; 0: max_iters as it is
  double learning_rate = 6e-4;
  double min_lr = 6e-5;
  std::int64_t warmup_iters = 100;
  std::int64_t lr_decay_iters = 0;     // 0: max_iters
  std::string lr_schedule = "cosine";  // cosine | linear | constant | wsd
  double wsd_decay_fraction = 0.2;     // share of the steps in which wsd decays
  std::string optimizer = "adamw";     // adamw | muon | normuon: of the matrices of blocks; the rest is AdamW's
  double muon_momentum = 0.95;
  double muon_beta2 = 0.95;               // normuon's
  std::vector<std::string> param_groups;  // parameters with rates or an optimizer of their own, as GroupOverride says
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double grad_clip = 1.0;          // 0: off
  std::int64_t max_bad_steps = 3;  // non-finite steps in a row before the run stops

  // Evaluation, samples, logging, checkpoints (intervals in steps; 0: never)
  std::int64_t eval_interval = 250;
  std::int64_t eval_iters = kAutoEvalIters;  // batches per evaluation; 0: the whole held-out text
  std::int64_t patience = 0;                 // evaluations without a new best after which the run ends; 0: never
  double target_loss = 0;                    // validation loss at which the run ends; 0: it does not
  std::int64_t log_interval = 1;
  std::int64_t save_interval = 500;
  std::int64_t sample_interval = 250;
  std::int64_t sample_tokens = 200;
  std::string sample_prompt = "\n";
  double sample_temperature = 0.8;
  std::int64_t sample_top_k = 0;  // 0: all
  std::int64_t keep_last = 2;     // step checkpoints kept besides best
  bool tensorboard = true;        // the figures once more, in an event file

  // Run
  std::string out_dir = "runs";
  std::string model_name = "model";  // the run's folder is out_dir/model_name
  std::string init_from;             // checkpoint, run or Hugging Face model to start from; empty: random weights
  bool resume = false;
  bool overwrite = false;
  bool dry_run = false;
  bool print_config = false;
  std::string device = "auto";                    // auto | cpu | cuda | cuda:N
  std::string dtype = "auto";                     // auto | float32 | bfloat16 | float16
  bool master_weights = true;                     // false: bfloat16 weights without a float32 copy
  std::string optimizer_state_dtype = "float32";  // float32 | bfloat16
  bool cuda_graph = true;                         // a GPU repeats a recorded training pass
  bool tf32 = false;                              // products of float32 may use TF32
  std::string attention = "auto";                 // auto | virgil | cudnn: whose kernels, on GPUs
  bool cublaslt_tuning = true;                    // a GPU times cuBLASLt's algorithms once for each product
  std::string recompute = "none";                 // none | gelu | norm | block
  std::int64_t logits_chunk = 0;                  // most tokens whose logits exist at one time; 0: as the backend wants
  std::int64_t threads = 0;                       // 0: as many as the process may use
  bool thread_invariant = false;                  // the same bits for any number of threads
  std::int64_t zero_stage = 0;                    // of several processes: 0 | 1 | 2
  std::string grad_reduce_dtype = "float32";      // in which their gradients travel: float32 | bfloat16
  std::int64_t rank_timeout = 600;                // seconds after which a rank that is waited for counts as lost
  std::uint64_t seed = 1337;
  std::string max_memory;  // such as 12GB; empty: what the machine has free

  friend bool operator==(const TrainConfig&, const TrainConfig&) = default;
};

}  // namespace virgil
