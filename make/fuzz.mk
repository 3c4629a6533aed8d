# Fuzzers, with libFuzzer of clang.
