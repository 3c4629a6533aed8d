# Ikada. `make` builds the program and the libraries; the other targets stand in CONTRIBUTING.md.
B ?= build
ifeq ($(origin CC),default)
CC = gcc
endif
OPT ?= -O2
SAN ?=
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wno-unused-parameter
COMMON = -g $(OPT) $(WARN) $(SAN) -Iinclude -Isrc -fvisibility=hidden -fno-strict-aliasing -D_FILE_OFFSET_BITS=64
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

$(B)/libikada-core.a: $(call room,base) $(call room,raft)
	@rm -f $@
	ar rcs $@ $^

$(B)/libikada.a: $(foreach r,base raft wal wire store env node server,$(call room,$(r)))
	@rm -f $@
	ar rcs $@ $^

$(B)/ikada: $(OBJ)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -luv

# Unit tests: test/unit/test_NAME.c with the rooms it is linked with.
UNIT_base = base
UNIT_raft = raft base
UNIT_script = raft base
UNIT_store = store base
UNIT_wal = wal base env
UNIT_wire = wire base
UNIT_env_uv = env base
UNIT_sim_env = sim_env env base
UNIT_linear = sim_linear base
UNIT_resp = server store node wal wire raft env base
UNITS = $(patsubst test/unit/test_%.c,%,$(wildcard test/unit/test_*.c))

$(B)/unit/%.o: test/unit/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -Itest -MMD -MP -c -o $@ $<

room_sim_env = $(patsubst src/%.c,$(B)/%.o,$(wildcard src/sim/sim_*.c))
room_sim_linear = $(patsubst src/%.c,$(B)/%.o,$(wildcard src/sim/linear*.c))
define unit_rule
$(B)/unit/test_$(1): $(B)/unit/test_$(1).o $(foreach r,$(UNIT_$(1)),$(or $(room_$(r)),$(call room,$(r))))
	$(CC) $(LDFLAGS_ALL) -o $$@ $$^ -lcmocka $$(if $$(filter env,$(UNIT_$(1))),-luv)
endef
$(foreach u,$(UNITS),$(eval $(call unit_rule,$(u))))

.PHONY: units unit-%
units: $(UNITS:%=$(B)/unit/test_%)
unit-%: $(B)/unit/test_%
	$<

-include $(OBJ:.o=.d) $(wildcard $(B)/unit/*.d)

.PHONY: clean
clean:
	rm -rf $(B)
