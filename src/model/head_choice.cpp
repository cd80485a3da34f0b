#include "virgil/model/head_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "virgil/model/architecture.h"

namespace virgil {

namespace {

constexpr std::int64_t kHeadSizeStep = 8;
constexpr std::int64_t kUsualHeadSize = 64;
// What the keys n_head and n_embd may be.
constexpr std::int64_t kMostHeads = 1024;
constexpr std::int64_t kLeastWidth = kHeadSizeStep;
constexpr std::int64_t kMostWidth = 65536;

/// How far a head size is from the usual one, as a ratio.
double unusualness(std::int64_t head_size) {
  return std::abs(std::log2(static_cast<double>(head_size) / static_cast<double>(kUsualHeadSize)));
}

/// Of the nearest width that has heads; of two as near the one with the more usual heads.
HeadChoice nearest_width(std::int64_t embedding_dim) {
  const std::int64_t width = std::clamp(embedding_dim, kLeastWidth, kMostWidth);
  for (std::int64_t distance = 0;; ++distance) {
    std::optional<HeadChoice> nearest;
    for (const std::int64_t near : {width - distance, width + distance}) {
      if (near < kLeastWidth || near > kMostWidth) continue;
      const auto choice = usual_heads(near);
      if (choice && (!nearest || unusualness(choice->head_size()) < unusualness(nearest->head_size()))) nearest = choice;
    }
    if (nearest) return *nearest;
  }
}

/// The nearest width for so many heads; nothing where it is not near.
std::optional<HeadChoice> nearest_width_for(std::int64_t embedding_dim, std::int64_t num_heads) {
  if (num_heads > kMostHeads) return std::nullopt;
  const std::int64_t step = num_heads * kHeadSizeStep;
  const std::int64_t most = std::min(num_heads * kMaxHeadSize, kMostWidth / step * step);
  if (most < step) return std::nullopt;
  const std::int64_t width = std::clamp((embedding_dim + step / 2) / step * step, step, most);
  if (std::abs(width - embedding_dim) > embedding_dim / 4) return std::nullopt;
  return HeadChoice{width, num_heads};
}

}  // namespace

bool heads_fit(std::int64_t embedding_dim, std::int64_t num_heads) {
  if (embedding_dim % num_heads != 0) return false;
  const std::int64_t head_size = embedding_dim / num_heads;
  return head_size % kHeadSizeStep == 0 && head_size <= kMaxHeadSize;
}

std::optional<HeadChoice> usual_heads(std::int64_t embedding_dim) {
  std::optional<HeadChoice> best;
  for (std::int64_t size = kHeadSizeStep; size <= kMaxHeadSize; size += kHeadSizeStep) {
    if (embedding_dim % size != 0 || embedding_dim / size > kMostHeads) continue;
    if (!best || unusualness(size) <= unusualness(best->head_size())) best = HeadChoice{embedding_dim, embedding_dim / size};
  }
  return best;
}

std::vector<HeadChoice> head_choices(std::int64_t embedding_dim, std::int64_t num_heads) {
  std::vector<HeadChoice> choices = {usual_heads(embedding_dim).value_or(nearest_width(embedding_dim))};
  const auto wider = nearest_width_for(embedding_dim, num_heads);
  if (wider && std::ranges::find(choices, *wider) == choices.end()) choices.push_back(*wider);
  return choices;
}

std::string head_remedy(std::int64_t embedding_dim, std::int64_t num_heads) {
  std::string text;
  for (const HeadChoice& choice : head_choices(embedding_dim, num_heads)) {
    const bool same_width = choice.embedding_dim == embedding_dim;
    const std::string start = !text.empty() ? ", or"
                              : same_width  ? fmt::format("with n_embd {} choose", embedding_dim)
                                            : "choose";
    const std::string width = same_width ? "" : fmt::format(" n_embd {} with", choice.embedding_dim);
    text += fmt::format("{}{} n_head {} (heads of {})", start, width, choice.num_heads, choice.head_size());
  }
  return text;
}

std::string width_problem(std::int64_t embedding_dim, std::int64_t num_heads) {
  if (usual_heads(embedding_dim)) return {};
  return fmt::format("n_embd is {}, and no n_head divides it into heads whose size is a multiple of {} up to {}; {}",
                     embedding_dim, kHeadSizeStep, kMaxHeadSize, head_remedy(embedding_dim, num_heads));
}

std::string head_problem(std::int64_t embedding_dim, std::int64_t num_heads) {
  if (heads_fit(embedding_dim, num_heads)) return {};
  if (std::string problem = width_problem(embedding_dim, num_heads); !problem.empty()) return problem;
  const std::string size = embedding_dim % num_heads == 0 ? fmt::format("the heads would be {} wide", embedding_dim / num_heads)
                                                          : fmt::format("{} is not a multiple of {}", embedding_dim, num_heads);
  return fmt::format("n_embd is {} and n_head is {}: {}, and the head size must be a multiple of {} up to {}; {}",
                     embedding_dim, num_heads, size, kHeadSizeStep, kMaxHeadSize, head_remedy(embedding_dim, num_heads));
}

}  // namespace virgil
