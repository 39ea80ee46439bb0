#pragma once

#include <array>
#include <cstdint>

// How the bytes of a token become its 46 characters, fast. Private to token.cc.

namespace voketag::processors {

// A token's 34 bytes, and room so that a register may be loaded from any of them.
struct alignas(16) RawToken {
  std::array<std::uint8_t, 48> bytes;
};

// Writes the 46 characters of `raw` to `text`, and no more than those.
using TokenEncoder = void (*)(const RawToken& raw, char* text);

// The encoder to use: with byte shuffles when asked for and the CPU has them (SSSE3), else plain.
TokenEncoder token_encoder(bool want_shuffles);

}  // namespace voketag::processors
