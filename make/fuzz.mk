# Fuzzers, with libFuzzer of clang: test/fuzz/fuzz_NAME.c, from the seeds of test/fuzz/corpus/NAME. What they find beyond
# goes into $(B)/fuzz/corpus/NAME and is where the next run starts; an input that fails is kept as $(B)/fuzz/NAME-*.
FUZZERS = $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 600
FUZZ_SAN = -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_COVER = -fprofile-instr-generate -fcoverage-mapping
FUZZ_CFLAGS = $(CFLAGS_GNU) -Itest/fuzz -Itest/unit -D_GNU_SOURCE

$(B)/libikada-fuzz.a: $(foreach r,base raft wal wire store server,$(call room,$(r))) $(B)/env/env.o
	@rm -f $@
	ar rcs $@ $^
# In a build of their own: see below.
$(FUZZERS:%=$(B)/fuzz_%): $(B)/fuzz_%: test/fuzz/fuzz_%.c $(wildcard test/fuzz/*.h) $(B)/libikada-fuzz.a
	$(CC) $(FUZZ_CFLAGS) $(FUZZ_LINK) -o $@ $< $(B)/libikada-fuzz.a -lcmocka

.PHONY: fuzz fuzz-build fuzz-seeds fuzz-coverage fuzz-%
fuzz-build:
	@$(MAKE) -s B=$(B)/fuzz CC=clang OPT=-O1 SAN='-fsanitize=fuzzer-no-link $(FUZZ_SAN)' \
		FUZZ_LINK='-fsanitize=fuzzer $(FUZZ_SAN)' $(FUZZERS:%=$(B)/fuzz/fuzz_%)

# One after another; each must end without a finding.
fuzz: fuzz-build
	@test/fuzz/run $(B)/fuzz $(FUZZ_SECONDS) $(FUZZERS)
fuzz-%: fuzz-build
	@test/fuzz/run $(B)/fuzz $(FUZZ_SECONDS) $*

# After a format has changed; corpus/resp is written by hand.
fuzz-seeds: fuzz-build
	for f in $(filter-out resp,$(FUZZERS)); do \
		mkdir -p test/fuzz/corpus/$$f && $(B)/fuzz/fuzz_$$f --seeds test/fuzz/corpus/$$f || exit 1; done

# Lines that the seeds, and what the runs found beyond, reach of what reads bytes of strangers. Wants llvm.
FUZZ_READERS = src/server/resp_parse.c src/wire/wire.c src/wire/wire_config.c src/wire/wire_snapshot.c src/base/entry.c \
	src/wal/format.c src/wal/recover.c src/wal/replay.c src/wal/snapshot_read.c src/server/machine_state.c
fuzz-coverage:
	@$(MAKE) -s B=$(B)/fuzz-coverage CC=clang OPT=-O0 SAN='$(FUZZ_COVER)' FUZZ_LINK='-fsanitize=fuzzer $(FUZZ_COVER)' \
		$(FUZZERS:%=$(B)/fuzz-coverage/fuzz_%)
	@test/fuzz/coverage $(B) "$(FUZZERS)" $(wildcard $(FUZZ_READERS))
