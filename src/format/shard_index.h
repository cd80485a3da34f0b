// model.safetensors.index.json of Hugging Face: which of several safetensors files holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace virgil {

/// Tensor name -> name of the file that holds it.
using ShardIndex = std::map<std::string, std::string>;

/// Reads an index as untrusted text. Throws UserError naming `where`: not JSON, nested too deep, no weight_map, a tensor listed
/// twice, or a file name that leads out of the folder or names no safetensors file.
[[nodiscard]] ShardIndex parse_shard_index(std::string_view text, const std::string& where);

}  // namespace virgil
