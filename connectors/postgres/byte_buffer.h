#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace voketag::postgres {

// Bytes that grow at the end, written in network order. Unlike std::string it does not clear what
// is about to be overwritten. Keeps its memory over clear().
class ByteBuffer {
 public:
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  std::string_view view() const { return {bytes_.get(), size_}; }
  std::string_view view(std::size_t begin, std::size_t end) const {
    assert(begin <= end && end <= size_);
    return {bytes_.get() + begin, end - begin};
  }

  // Written bytes, to be changed; valid until the next one is appended.
  char* at(std::size_t position) {
    assert(position <= size_);
    return bytes_.get() + position;
  }

  void clear() { size_ = 0; }
  void truncate(std::size_t size) {
    assert(size <= size_);
    size_ = size;
  }
  // Gives memory back beyond what a usual fill needs.
  void release_above(std::size_t capacity) {
    if (capacity_ <= capacity || size_ > 0) return;
    bytes_.reset();
    capacity_ = 0;
  }

  // Room for `count` more bytes, which the caller fills; valid until the next call.
  char* extend(std::size_t count) {
    if (size_ + count > capacity_) grow(size_ + count);
    char* const room = bytes_.get() + size_;
    size_ += count;
    return room;
  }
  void append(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
  }
  void append_int16(std::int16_t value) { store16(extend(2), static_cast<std::uint16_t>(value)); }
  void append_int32(std::int32_t value) { store32(extend(4), static_cast<std::uint32_t>(value)); }
  void append_int64(std::int64_t value) { store64(extend(8), static_cast<std::uint64_t>(value)); }

  static void store16(char* to, std::uint16_t value) {
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap16(value);
    std::memcpy(to, &value, sizeof value);
  }
  static void store32(char* to, std::uint32_t value) {
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap32(value);
    std::memcpy(to, &value, sizeof value);
  }
  static void store64(char* to, std::uint64_t value) {
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
    std::memcpy(to, &value, sizeof value);
  }
  static std::uint16_t load16(const char* from) {
    std::uint16_t value = 0;
    std::memcpy(&value, from, sizeof value);
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap16(value);
    return value;
  }
  static std::uint32_t load32(const char* from) {
    std::uint32_t value = 0;
    std::memcpy(&value, from, sizeof value);
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap32(value);
    return value;
  }
  static std::uint64_t load64(const char* from) {
    std::uint64_t value = 0;
    std::memcpy(&value, from, sizeof value);
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
    return value;
  }

 private:
  static constexpr std::size_t kFirstBytes = 64U << 10;

  void grow(std::size_t needed) {
    std::size_t capacity = capacity_ == 0 ? kFirstBytes : capacity_ * 2;
    while (capacity < needed) capacity *= 2;
    std::unique_ptr<char[]> bytes(new char[capacity]);
    if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace voketag::postgres
