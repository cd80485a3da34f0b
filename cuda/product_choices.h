// Which of the algorithms that cuBLASLt offers for a product is taken, kept in a file so that a product keeps its bits.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace virgil::cuda {

/// What tells one algorithm of a library from another: cublasLtMatmulAlgoConfigAttributes_t from CUBLASLT_ALGO_CONFIG_ID to
/// CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, in their order.
using AlgorithmSettings = std::array<std::uint32_t, 9>;

struct ProductChoice {
  AlgorithmSettings settings{};
  double microseconds = 0;  // that the product took
};

/// The choices for one kind of GPU with one version of the library, which share a file. Of processes that use the same folder
/// one chooses for a product, and all others take that; so do later runs. What stands in the file is compared with what the
/// library offers and never handed to it.
class ProductChoices {
 public:
  /// Nothing is ever kept.
  ProductChoices() = default;
  /// `device` names the GPU and the library. `keeps`: new choices may be kept, and the folder is made where it is missing; else
  /// those that are there are used. `note` gets a line for a damaged file, which counts as empty, and where nothing can be
  /// kept; it is not called later.
  ProductChoices(const std::filesystem::path& folder, std::string device, bool keeps,
                 const std::function<void(const std::string&)>& note);

  [[nodiscard]] std::optional<AlgorithmSettings> find(const std::string& product) const;
  /// What is kept for the product by now, if `is_usable` says so; else what `choose` returns, which is kept. `choose` runs
  /// while other processes wait, so it must not wait for them. Nothing where nothing can be kept: then later runs could not
  /// choose the same.
  [[nodiscard]] std::optional<AlgorithmSettings> find_or_keep(const std::string& product,
                                                              const std::function<bool(const AlgorithmSettings&)>& is_usable,
                                                              const std::function<ProductChoice()>& choose);

 private:
  /// Throws UserError for a file that is not of this format; an absent one is empty.
  void read();
  void write() const;

  std::filesystem::path file_;  // empty: none
  bool keeps_ = false;
  std::string device_;
  std::map<std::string, ProductChoice> choices_;  // by product
};

}  // namespace virgil::cuda
