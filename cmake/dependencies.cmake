# Everything that is not ours. docs/dependencies.md says why each is here.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)

# Found under a compiler's default include path: named only so that users of a target say what they use.
pkg_check_modules(SIMDJSON REQUIRED IMPORTED_TARGET simdjson)
pkg_check_modules(ROCKSDB REQUIRED IMPORTED_TARGET rocksdb)
pkg_check_modules(SPDLOG REQUIRED IMPORTED_TARGET spdlog)
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

# librdkafka 2.15.1, built by `./dev setup` from its maintainers' own package
# with our changes (docs/decisions/0002-librdkafka.md). Another one of 2.15 or later, without them:
# -DVOKETAG_LIBRDKAFKA_PREFIX=<where its include/ and lib/ are>. Those of Debian 12 and Ubuntu 24.04 are older.
set(VOKETAG_LIBRDKAFKA_PREFIX "${CMAKE_SOURCE_DIR}/.dev/librdkafka" CACHE PATH
    "Where the include/ and lib/ of a librdkafka 2.15 or later are")
include(${CMAKE_CURRENT_LIST_DIR}/librdkafka_version.cmake)
require_librdkafka("${VOKETAG_LIBRDKAFKA_PREFIX}" 2.15)
find_library(RDKAFKA_LIBRARY NAMES librdkafka.a rdkafka REQUIRED
             PATHS "${VOKETAG_LIBRDKAFKA_PREFIX}/lib" "${VOKETAG_LIBRDKAFKA_PREFIX}/lib/x86_64-linux-gnu"
             NO_DEFAULT_PATH)
add_library(rdkafka INTERFACE)
target_include_directories(rdkafka SYSTEM INTERFACE "${VOKETAG_LIBRDKAFKA_PREFIX}/include")
target_link_libraries(rdkafka INTERFACE ${RDKAFKA_LIBRARY} OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB
                      PkgConfig::ZSTD Threads::Threads ${CMAKE_DL_LIBS} m)

if(VOKETAG_TESTS)
  find_package(GTest REQUIRED)
endif()
if(VOKETAG_BENCH)
  find_package(benchmark REQUIRED)
endif()
