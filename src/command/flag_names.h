// Flags of the small programs under the names that other programs give them.
#pragma once

#include "virgil/config/program_flags.h"

namespace virgil {

inline constexpr FlagName kFlagNames[] = {
    {"--max_tokens", "max_new_tokens", ""},
    {"--n_predict", "max_new_tokens", ""},
    {"--num_tokens", "max_new_tokens", ""},
    {"--max_gen_len", "max_new_tokens", ""},
    {"-n", "max_new_tokens", ""},
    {"--max_length", "", "Hugging Face's counts the prompt too; --max_new_tokens counts what is added to it"},
    {"--start", "prompt", ""},
    {"--p", "prompt", ""},
    {"-p", "prompt", ""},
    {"--file", "prompt_file", ""},
    {"--num_return_sequences", "num_samples", ""},
    {"--temp", "temperature", ""},
    {"--topk", "top_k", ""},
    {"--topp", "top_p", ""},
    {"--repeat_penalty", "repetition_penalty", ""},
    {"--model", "checkpoint", ""},
    {"--model_path", "checkpoint", ""},
    {"--model_name_or_path", "checkpoint", ""},
    {"--ckpt", "checkpoint", ""},
    {"--ckpt_path", "checkpoint", ""},
    {"--init_from", "checkpoint", ""},
    {"--run", "checkpoint", ""},
    {"-m", "checkpoint", ""},
    {"--out_dir", "", "a run is named by its folder: --checkpoint runs/NAME"},
    {"--model_name", "", "a run is named by its folder: --checkpoint runs/NAME"},
    {"--config", "", "a checkpoint holds its own configuration; leave it out"},
    {"--do_sample", "", "tokens are drawn unless --temperature is 0; leave it out"},
    {"--num_beams", "", "there is no beam search; --temperature 0 takes the likeliest token each time"},
    {"--data", "input", ""},
    {"--file_path", "input", ""},
    {"--dataset", "input", ""},
    {"--train_file", "input", ""},
    {"--test_file", "input", ""},
    {"-i", "input", ""},
    {"--per_device_eval_batch_size", "batch_size", ""},
    {"--eval_batch_size", "batch_size", ""},
    {"--num_threads", "threads", ""},
    {"--random_seed", "seed", ""},
    {"--output_dir", "output", ""},
    {"-o", "output", ""},
    {"--vocab_size", "", "the size belongs to the tokenizer: --tokenizer bpe:4096"},
    {"--tokenizer_name", "tokenizer", ""},
    {"--max_shard_size", "", "--shard_tokens N begins a new file after N ids"},
};

}  // namespace virgil
