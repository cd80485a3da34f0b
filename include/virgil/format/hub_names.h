// Models that people name as the Hugging Face Hub does.
#pragma once

#include <string>
#include <string_view>

namespace virgil {

/// How to get the model that `name` means on the Hub ("gpt2", "openai-community/gpt2"): "...: hf download ... --local-dir
/// gpt2". Empty for a name that is none, such as a path of more folders.
[[nodiscard]] std::string describe_hub_download(std::string_view name);

}  // namespace virgil
