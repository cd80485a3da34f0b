#include "virgil/model/parameter_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {

namespace {

constexpr float kInitStd = 0.02F;  // GPT-2

/// Lists the parameters in model order, without offsets.
class Lister {
 public:
  explicit Lister(const ModelConfig& config) : config_(config) {}

  std::vector<ParameterSpec> list() {
    const std::int64_t C = config_.embedding_dim();
    embedding("transformer.wte.weight", config_.padded_vocab_size(), config_.vocab_size());
    embedding("transformer.wpe.weight", config_.block_size(), config_.block_size());
    for (layer_ = 0; layer_ < config_.num_layers(); ++layer_) block(fmt::format("transformer.h.{}.", layer_));
    layer_ = -1;
    norm("transformer.ln_f", C);
    if (!config_.tie_weights()) embedding("lm_head.weight", config_.padded_vocab_size(), config_.vocab_size());
    return std::move(specs_);
  }

 private:
  void block(const std::string& prefix) {
    const std::int64_t C = config_.embedding_dim();
    const std::int64_t F = config_.d_ff();
    // GPT-2 scales the projections into the residual stream by the number of branches that add to it.
    const float residual_std = kInitStd / std::sqrt(2.0F * static_cast<float>(config_.num_layers()));
    norm(prefix + "ln_1", C);
    linear(prefix + "attn.c_attn", C, checked_multiply(3, C), kInitStd);
    linear(prefix + "attn.c_proj", C, C, residual_std);
    norm(prefix + "ln_2", C);
    linear(prefix + "mlp.c_fc", C, F, kInitStd);
    linear(prefix + "mlp.c_proj", F, C, residual_std);
  }

  void embedding(const std::string& name, std::int64_t rows, std::int64_t stored_rows) {
    const std::int64_t C = config_.embedding_dim();
    add({.name = name,
         .shape = {rows, C},
         .stored_shape = {stored_rows, C},
         .init = InitKind::kNormal,
         .init_std = kInitStd,
         .decayed = true});
  }
  void linear(const std::string& name, std::int64_t inputs, std::int64_t outputs, float std) {
    add({.name = name + ".weight",
         .shape = {inputs, outputs},
         .stored_shape = {inputs, outputs},
         .init = InitKind::kNormal,
         .init_std = std,
         .decayed = true});
    if (config_.bias()) add({.name = name + ".bias", .shape = {outputs}, .stored_shape = {outputs}});
  }
  void norm(const std::string& name, std::int64_t channels) {
    add({.name = name + ".weight", .shape = {channels}, .stored_shape = {channels}, .init = InitKind::kOnes});
    if (config_.bias()) add({.name = name + ".bias", .shape = {channels}, .stored_shape = {channels}});
  }
  void add(ParameterSpec spec) {
    spec.layer = static_cast<int>(layer_);
    specs_.push_back(std::move(spec));
  }

  const ModelConfig& config_;
  std::vector<ParameterSpec> specs_;
  std::int64_t layer_ = -1;
};

BucketKind bucket_kind(const ParameterSpec& spec) {
  if (!spec.decayed) return BucketKind::kVectors;
  if (spec.layer >= 0) return BucketKind::kLayer;
  return spec.name == "lm_head.weight" ? BucketKind::kHead : BucketKind::kEmbeddings;
}

}  // namespace

ParameterLayout::ParameterLayout(const ModelConfig& config, std::int64_t num_shards)
    : parameters_(Lister(config).list()), num_shards_(num_shards) {
  VIRGIL_CHECK(num_shards >= 1, "{} shards", num_shards);
  const std::int64_t bucket_alignment = checked_multiply(kAlignment, num_shards);
  std::int64_t lone_offset = 0;
  const auto close_bucket = [&] {
    if (buckets_.empty()) return;
    ParameterBucket& bucket = buckets_.back();
    if (bucket.num_elements > 0) return;  // closed
    const std::int64_t elements = flat_elements_ - bucket.offset;
    lone_offset += elements;
    bucket.num_elements = round_up(elements, bucket_alignment);
    flat_elements_ = checked_add(bucket.offset, bucket.num_elements);
  };
  for (const bool decayed : {true, false}) {
    ParameterRange range{.offset = flat_elements_, .num_elements = 0, .decayed = decayed};
    for (ParameterSpec& spec : parameters_) {
      if (spec.decayed != decayed) continue;
      const BucketKind kind = bucket_kind(spec);
      const int layer = kind == BucketKind::kLayer ? spec.layer : -1;
      if (buckets_.empty() || buckets_.back().kind != kind || buckets_.back().layer != layer) {
        close_bucket();
        buckets_.push_back(
            {.kind = kind, .layer = layer, .offset = flat_elements_, .lone_offset = lone_offset, .decayed = decayed});
      }
      spec.offset = flat_elements_;
      flat_elements_ = checked_add(flat_elements_, round_up(spec.num_elements(), kAlignment));
      num_parameters_ = checked_add(num_parameters_, spec.num_elements());
      num_stored_parameters_ += spec.stored_shape.num_elements();  // at most num_parameters_
    }
    close_bucket();
    range.num_elements = flat_elements_ - range.offset;
    ranges_.push_back(range);
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) index_.emplace(parameters_[i].name, i);
}

std::size_t ParameterLayout::find_bucket(BucketKind kind, std::int64_t layer) const {
  const auto matches = [&](const ParameterBucket& bucket) {
    return bucket.kind == kind && (kind != BucketKind::kLayer || bucket.layer == layer);
  };
  return static_cast<std::size_t>(std::ranges::find_if(buckets_, matches) - buckets_.begin());
}

std::size_t ParameterLayout::bucket_of(std::int64_t offset) const {
  VIRGIL_CHECK(offset >= 0 && offset < flat_elements_, "element {} of {}", offset, flat_elements_);
  const auto next = std::ranges::upper_bound(buckets_, offset, {}, &ParameterBucket::offset);
  return static_cast<std::size_t>(next - buckets_.begin()) - 1;
}

const ParameterSpec& ParameterLayout::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  VIRGIL_CHECK(found != index_.end(), "no parameter is named {}", name);
  return parameters_[found->second];
}

}  // namespace virgil
