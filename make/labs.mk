# Labs, and what takes long: see docs/testing.md.
LAB_RUNS ?= 20
GRAPH_RUNS ?= 5
.PHONY: labs labs-20000 sim-million exhaust elections graphs real-time starve worth
labs: $(B)/ikada
	$(B)/ikada sim --lab all --runs $(LAB_RUNS) --jobs 2

# These go on where they were interrupted.
labs-20000 sim-million: $(B)/ikada
	IKADA=$(abspath $(B)/ikada) test/labs/proof $@

exhaust: $(B)/ikada
	$(B)/ikada sim --exhaust

elections: $(B)/ikada
	$(B)/ikada sim --elections --jobs 2 --svg docs/elections.svg

graphs: $(B)/ikada
	$(B)/ikada sim --graphs --runs $(GRAPH_RUNS) --jobs 2
	$(B)/ikada sim --graphs-cut --runs $(GRAPH_RUNS) --jobs 2

real-time: $(B)/ikada
	$(B)/ikada sim --real-time --clusters 400
	$(B)/ikada sim --real-time --clusters 1000

# Twenty minutes; test/starve/run says what can be set.
starve: $(B)/ikada
	IKADA=$(abspath $(B)/ikada) test/starve/run

worth:
	test/mutants/worth
