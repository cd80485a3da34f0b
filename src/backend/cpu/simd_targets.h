// Which instruction sets the vector sources are compiled for. Include before any Highway header.
//
// AVX-512, AVX2, NEON and the baseline that the platform guarantees; the best one that the processor has is chosen at run time.
// What lies between adds compile time and little speed.
#pragma once

// Bits 0 to 7 of Highway's mask are the x86 sets beyond AVX-512 (F, BW, CD, DQ, VL); not every release names all of them.
#define HWY_DISABLED_TARGETS (0xFFLL | HWY_SSE4 | HWY_SSSE3 | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)
