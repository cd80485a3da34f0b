#include "data/input_stream.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "data/foreign_input.h"
#include "virgil/base/error.h"
#include "virgil/base/input_file.h"
#include "virgil/base/shell_quote.h"

namespace virgil {
namespace {

class PlainStream final : public InputStream {
 public:
  explicit PlainStream(InputFile file) : file_(std::move(file)) {}
  [[nodiscard]] std::size_t read(std::span<char> out) override { return file_.read(out); }
  [[nodiscard]] bool is_compressed() const override { return false; }

 private:
  InputFile file_;
};

class GzipStream final : public InputStream {
 public:
  explicit GzipStream(InputFile file) : file_(std::move(file)), packed_(kPackedBytes) {
    constexpr int kGzipOnly = 16;
    VIRGIL_CHECK(::inflateInit2(&state_, MAX_WBITS + kGzipOnly) == Z_OK, "zlib {}", zlibVersion());
  }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;
  ~GzipStream() override { ::inflateEnd(&state_); }

  [[nodiscard]] std::size_t read(std::span<char> out) override {
    constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;  // zlib counts in 32 bits
    std::size_t done = 0;
    while (done < out.size() && !ended_) {
      const auto room = static_cast<uInt>(std::min(out.size() - done, kMostAtOnce));
      state_.next_out = reinterpret_cast<Bytef*>(out.data() + done);
      state_.avail_out = room;
      unpack();
      done += room - state_.avail_out;
    }
    return done;
  }
  [[nodiscard]] bool is_compressed() const override { return true; }

 private:
  static constexpr std::size_t kPackedBytes = std::size_t{1} << 18;

  void unpack() {
    if (state_.avail_in == 0) refill();
    if (state_.avail_in == 0) throw defect("it ends in the middle");
    const int status = ::inflate(&state_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) return begin_member();
    if (status != Z_OK && status != Z_BUF_ERROR) throw defect(state_.msg != nullptr ? state_.msg : "its data is not valid");
  }

  void refill() {
    state_.next_in = reinterpret_cast<Bytef*>(packed_.data());
    state_.avail_in = static_cast<uInt>(file_.read(packed_));
  }

  // After a member comes the next, or the end; zeros fill the last block of a tape.
  void begin_member() {
    for (;;) {
      if (state_.avail_in == 0) refill();
      if (state_.avail_in == 0) {
        ended_ = true;
        return;
      }
      if (*state_.next_in != 0) break;
      ++state_.next_in;
      --state_.avail_in;
    }
    constexpr Bytef kFirstByte = 0x1F;
    if (*state_.next_in != kFirstByte) throw defect("something that is not gzip's follows its end");
    ::inflateReset(&state_);
  }

  [[nodiscard]] UserError defect(std::string_view what) const {
    return user_error("{}: compressed with gzip, and damaged: {}; fetch it again (gzip -t {} checks it)", file_.path().string(),
                      what, shell_quote(file_.path().string()));
  }

  InputFile file_;
  std::vector<char> packed_;
  z_stream state_{};
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<InputStream> open_input_stream(const std::filesystem::path& path) {
  std::array<char, 3> start{};
  const std::size_t size = InputFile(path).read(start);
  if (is_gzip(std::string_view(start.data(), size))) return std::make_unique<GzipStream>(InputFile(path));
  return std::make_unique<PlainStream>(InputFile(path));
}

}  // namespace virgil
