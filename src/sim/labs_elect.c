/* Elections alone (paper, 5.2). */
#include "sim/labs_internal.h"

#include <inttypes.h>

/* One leader, one term; and both stay while nothing fails. */
void lab_initial_election(struct lab *lab)
{
	uint32_t leader = lab_leader(lab);
	lab_run(lab, LAB_ELECTION_NS / 4);
	uint64_t term = lab_term(lab);
	if (term == 0)
		lab_fail(lab, "there is a leader in term 0");
	lab_run(lab, 4 * LAB_ELECTION_NS);
	if (lab_term(lab) != term)
		lab_fail(lab, "the term changed from %" PRIu64 " without a failure", term);
	if (lab_leader(lab) != leader)
		lab_fail(lab, "the leader changed without a failure");
}

/* A new leader whenever there is a majority, none when there is not; who comes back disturbs nobody. */
void lab_re_election(struct lab *lab)
{
	uint32_t first = lab_leader(lab);
	lab_cut(lab, first);
	uint32_t second = lab_leader(lab);
	if (second == first)
		lab_fail(lab, "the leader that was cut off is the only one");
	lab_run(lab, LAB_ELECTION_NS / 4);
	uint64_t term = lab_term(lab);
	lab_join(lab, first);
	lab_run(lab, 2 * LAB_ELECTION_NS);
	if (lab_leader(lab) != second || lab_term(lab) != term)
		lab_fail(lab, "the return of a leader of the past deposed the one there was");

	lab_cut(lab, second);
	lab_cut(lab, lab_after(lab, second, 1));
	lab_run(lab, 4 * LAB_ELECTION_NS);
	lab_no_leader(lab);
	lab_join(lab, lab_after(lab, second, 1));
	lab_leader(lab);
	lab_join(lab, second);
	lab_run(lab, 2 * LAB_ELECTION_NS);
	lab_leader(lab);
	lab_term(lab);
}

/* Three of seven are cut off at a time: the others have a leader, the old one or a new one. */
void lab_many_elections(struct lab *lab)
{
	lab_leader(lab);
	for (uint32_t round = 0; round < 10 && lab_ok(lab); round++) {
		uint32_t cut = 0;
		while (cut < 3) {
			uint32_t node = (uint32_t)lab_draw(lab, lab->count);
			if (lab->nodes[node].cut)
				continue;
			lab_cut(lab, node);
			cut++;
		}
		lab_run(lab, 2 * LAB_ELECTION_NS);
		lab_leader(lab);
		lab_join_all(lab);
		lab_run(lab, lab_draw(lab, LAB_ELECTION_NS));
	}
	lab_leader(lab);
}
