#include "virgil/base/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil {

struct Sha256::State {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  const bool ready = state_->context != nullptr && EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1;
  VIRGIL_CHECK(ready, "libcrypto offers no SHA-256");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  VIRGIL_CHECK(state_ != nullptr, "update after finish");
  VIRGIL_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1, "libcrypto failed");
}

std::string Sha256::finish() {
  VIRGIL_CHECK(state_ != nullptr, "finish twice");
  std::array<unsigned char, 32> digest{};
  VIRGIL_CHECK(EVP_DigestFinal_ex(state_->context.get(), digest.data(), nullptr) == 1, "libcrypto failed");
  state_.reset();
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(bytes)));
  return digest.finish();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  Sha256 digest;
  digest.update(file.bytes());
  return digest.finish();
}

}  // namespace virgil
