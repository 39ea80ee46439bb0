#pragma once

#include <array>
#include <cstdint>

// How the bytes of a token become its 46 characters, fast. Private to token.cc.

namespace voketag::processors {

// A token's 34 bytes, and room so that a register may be loaded from any of them.
struct alignas(16) RawToken {
  std::array<std::uint8_t, 48> bytes;
};

// Writes the 46 characters of `raw` to `text` and again to `leaf`, and no more than those. Twice,
// because a copy would read what was stored an instant before in other pieces, and wait for it.
using TokenEncoder = void (*)(const RawToken& raw, char* text, std::uint8_t* leaf);

// The encoder to use: with byte shuffles when asked for and the CPU has them (SSSE3), else plain.
TokenEncoder token_encoder(bool want_shuffles);

}  // namespace voketag::processors
