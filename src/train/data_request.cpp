#include "virgil/train/data_request.h"

#include <cstdint>
#include <filesystem>

namespace virgil {

DataRequest data_request(const TrainConfig& config) {
  constexpr std::int64_t kCacheFromBytes = std::int64_t{64} << 20;  // shorter texts are tokenised in a moment
  DataRequest request;
  request.inputs = config.input;
  request.val_inputs = config.val_input;
  request.val_fraction = config.val_fraction;
  request.tokenizer = config.tokenizer;
  request.text = {.allow_nul = config.force, .text_field = config.text_field, .split_documents = config.split_documents};
  request.token_type = parse_token_type(config.token_type);
  if (config.cache_dir == "auto") {
    request.cache_directory = std::filesystem::path(config.out_dir) / kTokenCacheFolder;
    request.cache_min_bytes = kCacheFromBytes;
  } else if (config.cache_dir != "none") {
    request.cache_directory = config.cache_dir;
  }
  return request;
}

}  // namespace virgil
