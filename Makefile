# Ikada. `make` builds the program and the libraries, `make help` tells the other targets.
B ?= build
ifeq ($(origin CC),default)
CC = gcc
endif
OPT ?= -O2
SAN ?=
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wno-unused-parameter
COMMON = -g $(OPT) $(WARN) $(SAN) -Iinclude -Isrc -fvisibility=hidden -fPIC -fno-strict-aliasing -D_FILE_OFFSET_BITS=64
CFLAGS_STRICT = -std=c11 -pedantic $(COMMON)
CFLAGS_GNU = -std=gnu11 $(COMMON)
LDFLAGS_ALL = $(SAN) $(LDFLAGS)

ROOMS = base raft wal wire store env node server sim cli
SRC = $(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c))
OBJ = $(SRC:src/%.c=$(B)/%.o)
room = $(patsubst src/%.c,$(B)/%.o,$(wildcard src/$(1)/*.c))

.PHONY: all core
all: $(B)/ikada $(B)/libikada.a $(B)/libikada-core.a

core: $(B)/libikada-core.a

$(B)/base/%.o $(B)/raft/%.o: CFLAGS_ROOM = $(CFLAGS_STRICT)
$(B)/%.o: CFLAGS_ROOM ?= $(CFLAGS_GNU)

$(B)/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ROOM) -MMD -MP -c -o $@ $<

# Only these rooms see libraries that others wrote.
$(call room,env): | $(B)/found/libuv1-dev
$(call room,cli): | $(B)/found/libuv1-dev $(B)/found/libhiredis-dev $(B)/found/libjansson-dev
$(B)/found/libuv1-dev: HEADER = uv.h
$(B)/found/libhiredis-dev: HEADER = hiredis/hiredis.h
$(B)/found/libjansson-dev: HEADER = jansson.h
$(B)/found/%:
	@mkdir -p $(@D)
	@echo '#include <$(HEADER)>' | $(CC) $(CPPFLAGS) -E -xc - >/dev/null 2>&1 || \
		{ echo '$(HEADER) is missing: install $*, or run script/bootstrap'; exit 1; }
	@touch $@

include make/install.mk make/fuzz.mk make/bench.mk make/labs.mk

$(B)/ikada: $(OBJ)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -luv -lhiredis -ljansson

# Unit tests: test/unit/test_NAME.c, linked with what it needs of the rooms below cli.
UNITS = $(patsubst test/unit/test_%.c,%,$(wildcard test/unit/test_*.c))

$(B)/unit/%.o: test/unit/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -Itest -MMD -MP -c -o $@ $<

$(B)/libikada-test.a: $(filter-out $(B)/cli/%,$(OBJ))
	@rm -f $@
	ar rcs $@ $^
$(UNITS:%=$(B)/unit/test_%): %: %.o $(B)/libikada-test.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -luv

.PHONY: units unit-%
UNIT_LIMIT_S ?= 120
units: $(UNITS:%=$(B)/unit/test_%)
	test/run --timeout $(UNIT_LIMIT_S) $^
unit-%: $(B)/unit/test_%
	$<

# Integration: real processes. test/integration/test_NAME.c is linked with the harness, test_NAME.sh is run as it is.
INTEGRATION_C = $(patsubst test/integration/%.c,$(B)/integration/%,$(wildcard test/integration/test_*.c))
INTEGRATION = $(INTEGRATION_C) $(wildcard test/integration/test_*.sh)
INTEGRATION_OBJ = $(patsubst test/integration/%.c,$(B)/integration/%.o,\
	$(filter-out test/integration/test_%,$(wildcard test/integration/*.c)))

$(B)/integration/%.o: test/integration/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -D_GNU_SOURCE -MMD -MP -c -o $@ $<
$(INTEGRATION_C): $(B)/integration/%: $(B)/integration/%.o $(INTEGRATION_OBJ) $(B)/libikada-test.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lhiredis -pthread

.PHONY: integration integration-%
integration: $(B)/ikada $(INTEGRATION_C)
	IKADA=$(abspath $(B)/ikada) test/run --timeout 600 $(INTEGRATION)
integration-%: $(B)/ikada $(B)/integration/test_%
	IKADA=$(abspath $(B)/ikada) $(B)/integration/test_$*

# Clients that others wrote.
.PHONY: clients
clients: $(B)/ikada
	B=$(B) IKADA=$(abspath $(B)/ikada) test/clients/run

# The simulator. SEEDS=A..B.
SEEDS ?= 1..2000
.PHONY: sim same-hash mutants scripts-rewrite
sim: $(B)/ikada
	$(B)/ikada sim --seeds $(SEEDS) --jobs 2

# One seed, one trace hash: twice, and whatever the compiler.
same-hash: $(B)/ikada
	$(MAKE) B=$(B)/gcc-O0 CC=gcc OPT=-O0 $(B)/gcc-O0/ikada
	$(MAKE) B=$(B)/clang-O3 CC=clang OPT=-O3 $(B)/clang-O3/ikada
	test/same-hash $(B)/ikada $(B)/ikada $(B)/gcc-O0/ikada $(B)/clang-O3/ikada

mutants:
	test/mutants/run

# Rewrites the traces in test/scripts; `expect` lines stay. The commit says why they changed.
scripts-rewrite: $(B)/unit/test_script
	$< --rewrite

# The same tests under the sanitizers, each in a build directory of its own.
ASAN = B=$(B)/asan OPT=-O1 SAN='-fsanitize=address,undefined -fno-sanitize-recover=all'
TSAN = B=$(B)/tsan OPT=-O1 SAN=-fsanitize=thread
.PHONY: asan tsan
asan:
	$(MAKE) $(ASAN) UNIT_LIMIT_S=600 all units
	$(MAKE) $(ASAN) sim SEEDS=1..20
	$(MAKE) $(ASAN) integration-basics
tsan:
	$(MAKE) $(TSAN) UNIT_LIMIT_S=900 all units
	$(MAKE) $(TSAN) integration-basics

.PHONY: test fmt tidy lint bench-store bench-sync help clean
test:
	script/test

SOURCES = $(wildcard src/*/*.[ch] include/ikada/*.h test/*/*.[ch] bench/*.[ch])
fmt:
	clang-format -i $(SOURCES)
# Looks at the sources, and at the objects of the rooms that the simulator runs too; at the core's with both compilers.
SIMULATED = base raft wal wire store node server sim
tidy: $(foreach r,$(SIMULATED),$(call room,$(r)))
	$(MAKE) B=$(B)/clang CC=clang core
	B=$(B) test/tidy
# Opinions of a checker, for reading; nothing depends on them. Wants clang-tidy.
lint:
	clang-tidy --quiet $(SRC) -- $(CFLAGS_GNU)

$(B)/bench/store: bench/store.c $(call room,store) $(call room,base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) $(LDFLAGS_ALL) -o $@ $^
$(B)/bench/sync: bench/sync.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -o $@ $^
bench-store: $(B)/bench/store
	$<
bench-sync: $(B)/bench/sync
	$< $(B)

help:
	@echo 'make                  the program and the libraries, in build/ (B=DIR: elsewhere; CC=clang; OPT=-O0)'
	@echo 'make core             libikada-core.a: consensus alone, without libuv'
	@echo 'make test             everything that script/test runs, about a quarter of an hour'
	@echo 'make units            unit tests and scripts; make unit-NAME runs one'
	@echo 'make integration      real processes; make integration-NAME runs one'
	@echo 'make sim              2000 seeds in the simulator; SEEDS=A..B'
	@echo 'make labs             each lab 20 times; labs-20000 and sim-million go on where they were interrupted'
	@echo 'make exhaust          every run of three small cores; make elections, real-time, worth: docs/testing.md'
	@echo 'make mutants          that each dangerous mistake of test/mutants is found'
	@echo 'make same-hash        that a seed gives one trace hash with every compiler'
	@echo 'make asan, make tsan  the tests under the sanitizers'
	@echo 'make tidy             includes, purity, public headers, format; make lint: clang-tidy'
	@echo 'make fmt              formats all C'
	@echo 'make scripts-rewrite  the traces of test/scripts as they are now'
	@echo 'make clients          clients that others wrote, across a killed leader'
	@echo 'make bench            against the peers, half an hour; bench-core, bench-floor, bench-snapshot: parts of it'
	@echo 'make bench-store      the store alone; bench-sync: what a sync costs here'
	@echo 'make fuzz             each fuzzer for FUZZ_SECONDS=600; make fuzz-NAME; make fuzz-coverage'
	@echo 'make install          DESTDIR= PREFIX=/usr/local; make install-test tries it out; make dist: a tarball'
	@echo 'make clean'

clean:
	rm -rf $(B)

-include $(OBJ:.o=.d) $(wildcard $(B)/unit/*.d $(B)/integration/*.d)
