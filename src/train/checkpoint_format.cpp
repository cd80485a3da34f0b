#include "checkpoint_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "virgil/base/error.h"
#include "virgil/base/sha256.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormatName = "virgil-checkpoint";
constexpr std::int64_t kFormatVersion = 1;

/// JSON has no NaN and no infinity, and decimals invite rounding: the bits count, the decimal is for readers.
Json write_exact(double value) {
  const Json decimal = std::isfinite(value) ? Json(value) : Json(nullptr);
  return {{"value", decimal}, {"bits", fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value))}};
}

double read_exact(const Json& json, const std::string& where) {
  const std::string text = json.at("bits").get<std::string>();
  std::uint64_t bits = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (error != std::errc() || stop != text.data() + text.size() || text.size() != 16) {
    throw user_error("{}: \"{}\" is not 16 hexadecimal digits", where, text);
  }
  return std::bit_cast<double>(bits);
}

/// Runs `read`, turning the JSON library's exceptions into UserErrors that name the file.
template <typename Read>
auto with_file_name(const std::string& where, Read&& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw user_error("{}: malformed: {}", where, error.what());
  }
}

void read_file_table(const Json& json, const std::string& where, FileTable& files) {
  for (const auto& [name, entry] : json.items()) {
    // A checkpoint speaks of its own folder only.
    if (name.empty() || name.front() == '.' || name.find('/') != name.npos) {
      throw user_error("{}: \"{}\" is not the name of a file in the checkpoint", where, name);
    }
    files[name] = {entry.at("sha256").get<std::string>(), entry.at("size_bytes").get<std::int64_t>()};
  }
}

bool is_flat(const Json& config) {
  const auto is_plain = [](const Json& value) { return !value.is_structured(); };
  return config.is_object() && std::ranges::all_of(config, [&](const Json& value) {
           return is_plain(value) || (value.is_array() && std::ranges::all_of(value, is_plain));
         });
}

std::vector<ExpectedTensor> tensors_of(const ModelConfig& model) {
  std::vector<ExpectedTensor> tensors;
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.parameters()) tensors.push_back({spec.name, spec.stored_shape});
  return tensors;
}

}  // namespace

std::string write_state(const TrainingState& state, const FileTable& files) {
  Json table = Json::object();
  for (const auto& [name, file] : files) table[name] = {{"size_bytes", file.size_bytes}, {"sha256", file.sha256}};
  Json json = {
      {"format", kFormatName},
      {"version", kFormatVersion},
      {"step", state.step},
      {"tokens_seen", state.tokens_seen},
      {"seed", state.seed},
      {"best_val_loss", write_exact(state.best_val_loss)},
      {"best_step", state.best_step},
      {"last_val_loss", write_exact(state.last_val_loss)},
      {"last_eval_step", state.last_eval_step},
      {"data_fingerprint", state.data_fingerprint},
      {"val_fingerprint", state.val_fingerprint},
      {"config", state.config_json.empty() ? Json::object() : Json::parse(state.config_json)},
      {"files", table},
  };
  if (state.loss_scaler.scale > 0) {
    json["loss_scale"] = write_exact(state.loss_scaler.scale);
    json["loss_scale_good_steps"] = state.loss_scaler.good_steps;
  }
  return json.dump(2) + "\n";
}

void read_state(std::string_view text, const std::string& where, TrainingState& state, FileTable& files) {
  with_file_name(where, [&] {
    const Json json = Json::parse(text);
    const std::string format = json.at("format").get<std::string>();
    const std::int64_t version = json.at("version").get<std::int64_t>();
    if (format != kFormatName || version != kFormatVersion) {
      throw user_error(
          "{}: its format is \"{}\" version {}, this program reads \"{}\" version {}; use the version of Virgil that "
          "wrote it",
          where, format, version, kFormatName, kFormatVersion);
    }
    json.at("step").get_to(state.step);
    json.at("tokens_seen").get_to(state.tokens_seen);
    json.at("seed").get_to(state.seed);
    state.best_val_loss = read_exact(json.at("best_val_loss"), where);
    json.at("best_step").get_to(state.best_step);
    state.last_val_loss = read_exact(json.at("last_val_loss"), where);
    json.at("last_eval_step").get_to(state.last_eval_step);
    json.at("data_fingerprint").get_to(state.data_fingerprint);
    state.val_fingerprint = json.value("val_fingerprint", std::string());
    state.loss_scaler = {};
    if (json.contains("loss_scale")) {
      state.loss_scaler.scale = read_exact(json.at("loss_scale"), where);
      json.at("loss_scale_good_steps").get_to(state.loss_scaler.good_steps);
    }
    const Json& config = json.at("config");
    if (!is_flat(config)) throw user_error("{}: \"config\" is not a flat JSON object", where);
    state.config_json = config.dump(2);
    read_file_table(json.at("files"), where, files);
  });
}

bool is_flat_config(std::string_view config_text) { return is_flat(Json::parse(config_text, nullptr, false)); }

std::string write_state_hash(std::string_view state_text) {
  return fmt::format("{}  {}\n", sha256_hex(state_text), kStateFile);
}

std::string write_model_config(const ModelConfig& model, std::int32_t end_of_text) {
  // Through text, so that 0.1F is written as 0.1 and not as 0.10000000149.
  const double dropout = Json::parse(fmt::format("{}", model.dropout())).get<double>();
  const Json end_id = end_of_text >= 0 ? Json(end_of_text) : Json(nullptr);
  const bool usual_width = model.d_ff() == 4 * model.embedding_dim();
  const Json json = {
      {"architectures", Json::array({"GPT2LMHeadModel"})},
      {"model_type", "gpt2"},
      {"vocab_size", model.vocab_size()},
      {"n_positions", model.block_size()},
      {"n_ctx", model.block_size()},
      {"n_embd", model.embedding_dim()},
      {"n_layer", model.num_layers()},
      {"n_head", model.num_heads()},
      {"n_inner", usual_width ? Json(nullptr) : Json(model.d_ff())},
      {"activation_function", "gelu_new"},
      {"resid_pdrop", dropout},
      {"embd_pdrop", dropout},
      {"attn_pdrop", dropout},
      {"layer_norm_epsilon", 1e-5},
      {"initializer_range", 0.02},
      {"tie_word_embeddings", model.tie_weights()},
      {"bos_token_id", end_id},
      {"eos_token_id", end_id},
      {"torch_dtype", "float32"},
      {"use_cache", true},
      {"virgil", {{"bias", model.bias()}}},
  };
  return json.dump(2) + "\n";
}

ModelSizes read_model_config(std::string_view text, const std::string& where) {
  return with_file_name(where, [&] {
    const Json json = Json::parse(text);
    const Json& inner = json.at("n_inner");
    const ModelSizes sizes{.num_layers = json.at("n_layer").get<std::int64_t>(),
                           .num_heads = json.at("n_head").get<std::int64_t>(),
                           .embedding_dim = json.at("n_embd").get<std::int64_t>(),
                           .block_size = json.at("n_positions").get<std::int64_t>(),
                           .vocab_size = json.at("vocab_size").get<std::int64_t>(),
                           .d_ff = inner.is_null() ? 0 : inner.get<std::int64_t>(),
                           .bias = json.at("virgil").at("bias").get<bool>(),
                           .tie_weights = json.at("tie_word_embeddings").get<bool>(),
                           .dropout = json.at("resid_pdrop").get<float>()};
    try {
      return ModelConfig(sizes).sizes();
    } catch (const UserError& error) {
      throw user_error("{}: {}", where, error.what());
    }
  });
}

std::vector<ExpectedTensor> expected_parameters(const ModelConfig& model) { return tensors_of(model); }

std::vector<ExpectedTensor> absent_biases(const ModelConfig& model) {
  if (model.bias()) return {};
  ModelSizes sizes = model.sizes();
  sizes.bias = true;
  std::vector<ExpectedTensor> tensors = tensors_of(ModelConfig(sizes));
  std::erase_if(tensors, [](const ExpectedTensor& tensor) { return !tensor.name.ends_with(".bias"); });
  return tensors;
}

std::vector<ExpectedTensor> expected_moments(const ModelConfig& model) {
  std::vector<ExpectedTensor> tensors;
  for (const ExpectedTensor& parameter : tensors_of(model)) {
    tensors.push_back({"m." + parameter.name, parameter.shape});
    tensors.push_back({"v." + parameter.name, parameter.shape});
  }
  return tensors;
}

}  // namespace virgil
