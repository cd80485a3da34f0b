// The files of data/ that are compiled in, so that the programs work from any folder (embedded_data.cpp.in).
#pragma once

#include <string_view>

namespace virgil::embedded {

extern const std::string_view kModelsJson;
extern const std::string_view kGpusJson;

}  // namespace virgil::embedded
