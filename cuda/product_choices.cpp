#include "cuda/product_choices.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "virgil/base/directory_lock.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/base/sha256.h"

namespace virgil::cuda {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFormat = 1;
constexpr std::size_t kMostChoices = 2048;
constexpr std::int64_t kMostBytes = 1 << 20;
constexpr std::size_t kLongestProduct = 200;
/// Others time a product within a fraction of a second, and do so for each that is new.
constexpr std::chrono::seconds kLongestWait(60);

AlgorithmSettings settings_of(const JsonObject& entry) {
  const nlohmann::ordered_json& list = entry.at("settings");
  AlgorithmSettings settings{};
  if (!list.is_array() || list.size() != settings.size()) throw user_error("{}: not a list of settings", entry.where());
  for (std::size_t i = 0; i < settings.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i].get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      throw user_error("{}: a setting is {}", entry.where(), describe_json(list[i]));
    }
    settings[i] = list[i].get<std::uint32_t>();
  }
  return settings;
}

void make_folder(const fs::path& folder) {
  make_posix_file_system()->create_directories(folder);
  if (::access(folder.c_str(), W_OK) != 0) throw user_error("{} cannot be written", folder.string());
}

/// Nothing where others keep it, or the folder has gone.
std::optional<DirectoryLock> lock_folder(const fs::path& folder) {
  try {
    return DirectoryLock::wait_for(folder, kLongestWait);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

ProductChoices::ProductChoices(const fs::path& folder, std::string device, bool keeps,
                               const std::function<void(const std::string&)>& note)
    : device_(std::move(device)) {
  constexpr std::size_t kDigits = 16;
  try {
    if (keeps) make_folder(folder);
  } catch (const std::exception& error) {
    note(fmt::format("products get cuBLASLt's first algorithm, since no choice can be kept: {}", error.what()));
    return;
  }
  file_ = folder / fmt::format("products-{}.json", sha256_hex(device_).substr(0, kDigits));
  keeps_ = keeps;
  try {
    read();
  } catch (const std::exception& error) {
    note(fmt::format("the choice among cuBLASLt's algorithms that was kept is ignored: {}", error.what()));
  }
}

std::optional<AlgorithmSettings> ProductChoices::find(const std::string& product) const {
  const auto found = choices_.find(product);
  return found == choices_.end() ? std::nullopt : std::optional(found->second.settings);
}

std::optional<AlgorithmSettings> ProductChoices::find_or_keep(const std::string& product,
                                                              const std::function<bool(const AlgorithmSettings&)>& is_usable,
                                                              const std::function<ProductChoice()>& choose) {
  if (!keeps_ || product.size() > kLongestProduct) return std::nullopt;
  const std::optional<DirectoryLock> lock = lock_folder(file_.parent_path());
  if (!lock) return std::nullopt;
  try {
    read();
  } catch (const std::exception&) {  // told when this was made, or damaged since; it is written anew
  }
  if (const std::optional<AlgorithmSettings> kept = find(product); kept && is_usable(*kept)) return kept;
  if (choices_.size() >= kMostChoices && !choices_.contains(product)) return std::nullopt;
  choices_[product] = choose();
  try {
    write();
  } catch (const std::exception&) {  // the disk is full: the next run could not choose the same
    choices_.erase(product);
    return std::nullopt;
  }
  return choices_[product].settings;
}

void ProductChoices::read() {
  if (!fs::exists(file_)) return;
  const nlohmann::ordered_json parsed = parse_json(read_file(file_, kMostBytes), file_.string());
  const JsonObject json(parsed, file_.string());
  if (json.integer("products") != kFormat || json.string("device") != device_) {
    throw user_error("{}: of another format, or another device", file_.string());
  }
  std::map<std::string, ProductChoice> choices;
  for (const JsonObject& entry : json.objects("choices")) {
    const double microseconds = entry.number("microseconds");
    const std::string product = entry.string("product");
    if (!std::isfinite(microseconds) || microseconds < 0 || product.size() > kLongestProduct) {
      throw user_error("{}: not a choice that Virgil writes", entry.where());
    }
    choices[product] = {settings_of(entry), microseconds};
  }
  if (choices.size() > kMostChoices) throw user_error("{}: more than {} choices", file_.string(), kMostChoices);
  choices_ = std::move(choices);
}

void ProductChoices::write() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& [product, choice] : choices_) {
    list.push_back({{"product", product}, {"settings", choice.settings}, {"microseconds", choice.microseconds}});
  }
  const nlohmann::ordered_json json = {{"products", kFormat}, {"device", device_}, {"choices", std::move(list)}};
  const auto files = make_posix_file_system();
  write_file_atomically(*files, file_, json.dump(1) + "\n");
}

}  // namespace virgil::cuda
