#include "data/unicode_tables.h"

namespace virgil {
namespace {

#include "data/unicode_properties.inc"

}  // namespace

std::span<const std::uint32_t> category_starts() { return kCategoryStarts; }
std::span<const CodePointRange> han_ranges() { return kHanRanges; }
std::span<const CombiningRange> combining_ranges() { return kCombiningRanges; }
std::span<const Decomposition> canonical_decompositions() { return kDecompositions; }

}  // namespace virgil
