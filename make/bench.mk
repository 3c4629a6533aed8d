# Measuring: bench/NAME.c are programs of their own, script/bench runs them beside the peers.

# The load generator wants a logarithm, and its parts have a unit test.
$(B)/ikada $(B)/unit/test_histogram: LDFLAGS_ALL += -Wl,--no-as-needed -lm
$(B)/unit/test_histogram: $(addprefix $(B)/,cli/bench_histogram.o cli/bench_keys.o base/check.o)

$(B)/bench/floor $(B)/bench/ceiling $(B)/bench/failover $(B)/bench/report: $(B)/bench/%: bench/%.c bench/bench.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -D_GNU_SOURCE $(LDFLAGS_ALL) -o $@ $< -lm
$(B)/bench/core: bench/core.c bench/bench.h $(call room,raft) $(call room,base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -D_GNU_SOURCE $(LDFLAGS_ALL) -o $@ $(filter %.c %.o,$^)
# Wants libraft-dev, canonical's library; script/bench does without where that is missing.
$(B)/bench/libraft: bench/libraft.c bench/bench.h $(addprefix $(B)/,cli/bench_histogram.o base/check.o)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_GNU) -D_GNU_SOURCE $(LDFLAGS_ALL) -o $@ $(filter %.c %.o,$^) -lraft -luv
# The Debian packages golang-go and golang-etcd-server-dev have all that it needs.
$(B)/bench/etcdload: bench/etcdload/main.go
	@mkdir -p $(@D)
	GO111MODULE=off GOFLAGS= GOPATH=$(abspath $(B))/go:/usr/share/gocode GOCACHE=$(abspath $(B))/go-cache \
		go build -o $@ $<

# What a snapshot costs, with 5,000,000 keys.
bench-snapshot: $(B)/ikada
	B=$(B) bench/snapshot
.PHONY: bench bench-tools bench-core bench-floor bench-snapshot
bench-tools: $(B)/ikada $(patsubst %,$(B)/bench/%,floor ceiling core failover report)
bench-core: $(B)/bench/core
	$<
bench-floor: $(B)/bench/floor
	$< $(B)
bench:
	script/bench
