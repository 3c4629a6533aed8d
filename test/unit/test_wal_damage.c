/*
 * A log that was cut or changed anywhere: what no crash can have left is refused, and says so; all else is a prefix of
 * what was put.
 */
#include "test_wal_model.h"

#include "wal/format.h"

/* ---- One log, cut and damaged everywhere ---- */

static const char segment_1[] = "d/wal/0000000000000001.wal";
static const char segment_2[] = "d/wal/0000000000000002.wal";
static const char segment_3[] = "d/wal/0000000000000003.wal";

static void cut_at_each_byte(bool garbage)
{
	struct world *w = finished_log();
	struct image image;
	image_take(w->disk, &image);
	struct model *before = malloc(sizeof *before);
	memcpy(before, &w->model, sizeof *before);
	const struct model *m = before;
	size_t first = m->write_count - 3;
	uint64_t end = m->writes[m->write_count - 1].offset + m->writes[m->write_count - 1].size;
	for (uint64_t length = m->writes[first].offset; length <= end; length += garbage ? 37 : 1) {
		image_put(w->disk, &image);
		struct inode *inode = disk_file(w->disk, segment_2);
		for (size_t i = (size_t)length; i < inode->size; i++)
			inode->now[i] = inode->durable[i] = garbage ? (uint8_t)rng_next(&w->disk->rng) : 0;
		if (!garbage)
			inode->size = inode->durable_size = length;
		size_t least = 0;
		size_t most = 0;
		for (size_t i = 0; i < m->write_count; i++) {
			if (m->writes[i].segment < 2 || m->writes[i].offset + m->writes[i].size <= length)
				least = m->writes[i].atoms;
			if (m->writes[i].segment < 2 || m->writes[i].offset < length)
				most = m->writes[i].atoms;
		}
		for (int again = 0; again < 2; again++) {
			if (!open_log(w))
				fail_msg("cut at %d: refused: %s", (int)length, w->error);
			check_read(w, least);
			assert_true(w->model.atom_count <= most);
			close_log(w);
		}
		memcpy(&w->model, before, sizeof *before);
	}
	free(before);
	image_free(&image);
	world_free(w);
}

static void test_cut_at_each_byte(void **unused)
{
	(void)unused;
	cut_at_each_byte(false);
}

static void test_garbage_behind_each_cut(void **unused)
{
	(void)unused;
	cut_at_each_byte(true);
}

/* S04: a flip is refused, or nothing is lost but the last batch, which nothing proves; with a seal not even that. */
static void flip_each_byte(bool sealed)
{
	struct world *w = finished_log();
	if (sealed) {
		assert_true(open_log(w));
		check_read(w, w->model.durable);
		put_entries(w, w->model.now.last_index + 1, 2, 100);
		drain(w);
		seal(w);
		close_log(w);
	}
	struct image image;
	image_take(w->disk, &image);
	struct model *before = malloc(sizeof *before);
	memcpy(before, &w->model, sizeof *before);
	size_t proven = before->writes[before->write_count - 2].atoms;
	assert_true(sealed == (proven == before->atom_count));
	size_t refused = 0;
	size_t lost = 0;
	static const char *const paths[] = {segment_1, segment_2, segment_3};
	for (size_t p = 0; p < 3; p++) {
		const uint8_t *original = disk_file(w->disk, paths[p])->now;
		uint8_t *used = malloc(SEGMENT);
		memcpy(used, original, SEGMENT);
		size_t step = 1;
		for (size_t at = 0; at < SEGMENT; at += step) {
			/* Long runs of the same byte are looked at here and there. */
			bool dull = at >= 8 && at + 8 < SEGMENT && memcmp(used + at - 8, used + at - 7, 16) == 0;
			step = dull ? 61 : 1;
			image_put(w->disk, &image);
			disk_file(w->disk, paths[p])->now[at] ^= (uint8_t)(1u << at % 8);
			if (!open_log(w)) {
				refused++;
				assert_non_null(strstr(w->error, "d/wal/000000000000000"));
				continue;
			}
			check_read(w, proven);
			lost += w->model.atom_count < before->atom_count;
			memcpy(&w->model, before, sizeof *before);
			close_log(w);
		}
		free(used);
	}
	assert_true(refused > 1000);
	assert_true(sealed ? lost == 0 : lost > 100);
	free(before);
	image_free(&image);
	world_free(w);
}

static void test_flip_each_byte(void **unused)
{
	(void)unused;
	flip_each_byte(false);
}

static void test_flip_each_byte_sealed(void **unused)
{
	(void)unused;
	flip_each_byte(true);
}

/* ---- What is refused, and how ---- */

static void test_refusals(void **unused)
{
	(void)unused;
	struct world *w = finished_log();
	struct disk *d = w->disk;
	struct image image;
	image_take(d, &image);
	const struct model *m = &w->model;

	/* A damaged batch before a good one: file, offset and sequence. */
	char words[200];
	disk_file(d, segment_1)->now[m->writes[1].offset + 100] ^= 1;
	snprintf(words, sizeof words,
		 "segment d/wal/0000000000000001.wal has batch 4 at offset %d, but batch 3, which should be at offset "
		 "%d",
		 (int)m->writes[2].offset, (int)m->writes[1].offset);
	refused(w, words);

	/* The same when the proof is in the next segment. */
	image_put(d, &image);
	size_t last = 0;
	while (m->writes[last + 1].segment == 1)
		last++;
	disk_file(d, segment_1)->now[m->writes[last].offset + 5000] ^= 1;
	refused(w, "segment d/wal/0000000000000002.wal has batch");

	/* Versions, headers, names. */
	image_put(d, &image);
	uint8_t *head = disk_file(d, segment_2)->now;
	struct segment_header header;
	assert_int_equal(segment_header_decode(head, &header), SEGMENT_GOOD);
	header.version = 9;
	segment_header_encode(head, &header);
	refused(w, "0000000000000002.wal has format version 9; this program knows version 2");
	image_put(d, &image);
	disk_file(d, segment_2)->now[20] ^= 1;
	refused(w, "0000000000000002.wal is damaged: its header is not valid");
	image_put(d, &image);
	disk_file(d, segment_2)->size = 0;
	refused(w, "0000000000000002.wal is damaged: it has 0 bytes, less than a header");
	image_put(d, &image);
	disk_file(d, segment_2)->size = 63;
	refused(w, "it has 63 bytes");
	image_put(d, &image);
	memcpy(disk_file(d, segment_2)->now, disk_file(d, segment_1)->now, SEGMENT);
	refused(w, "0000000000000002.wal has the header of segment 0000000000000001");

	/* Segments that are not there. */
	image_put(d, &image);
	name_set(d->names, segment_1, NULL);
	refused(w, "0000000000000002.wal is the oldest, but the base of the log was in an earlier one");
	image_put(d, &image);
	name_set(d->names, segment_2, NULL);
	refused(w, "0000000000000002.wal is missing");

	/* A half-made segment of a crash, and files of others, are no harm. */
	image_put(d, &image);
	struct env_file *file;
	assert_int_equal(disk_open(&d->env, "d/wal/segment.tmp", ENV_OPEN_CREATE, &file), 0);
	disk_close(file);
	assert_int_equal(disk_open(&d->env, "d/wal/0000000000000009.wax", ENV_OPEN_CREATE, &file), 0);
	disk_close(file);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	close_log(w);
	assert_null(name_in(d->names, "d/wal/segment.tmp"));
	image_free(&image);
	world_free(w);
}

/* Never below a recorded commit, even where the chain is whole. */
static void test_recorded_commit_is_proof(void **unused)
{
	(void)unused;
	struct world *w = world_new(3);
	born(w);
	put_hard(w, 1, 1);
	put_entries(w, 1, 1, 10);
	note(w, 1);
	drain(w);
	const struct model *m = &w->model;
	uint64_t offset = m->writes[m->write_count - 1].offset;
	close_log(w);
	uint8_t *at = disk_file(w->disk, segment_1)->now + offset;
	struct batch_header header;
	struct segment_header segment;
	assert_int_equal(segment_header_decode(disk_file(w->disk, segment_1)->now, &segment), SEGMENT_GOOD);
	assert_true(batch_header_decode(at, &segment, offset, &header));
	batch_header_encode(at, &header, 2);
	refused(w, "it names a commit that the log does not reach");
	batch_header_encode(at, &header, 1);
	assert_true(open_log(w));
	check_read(w, m->durable);
	assert_int_equal(w->state.commit, 1);
	world_free(w);
}

/* A commit noted while replacing entries wait for a later batch says nothing of the ones they replace. */
static void test_commit_of_replaced_entries(void **unused)
{
	(void)unused;
	struct world *w = world_new(4);
	born(w);
	put_hard(w, 1, 1);
	put_entries(w, 1, 6, 10);
	note(w, 4);
	drain(w);
	put_entries(w, 7, 1, 20000);
	put_hard(w, 2, 1);
	put_entries(w, 5, 1, 20000); /* Does not fit in the batch any more. */
	note(w, 5);
	flush(w);
	complete(w);
	assert_false(wal_idle(w->wal));
	uint64_t one = w->model.durable;
	w->wal = NULL;
	disk_crash(w->disk, 100);
	assert_true(open_log(w));
	check_read(w, one);
	assert_int_equal(w->state.commit, 4);
	assert_true(w->state.last_index > 5);
	world_free(w);
}

/* ---- Recycled content ---- */

/* A segment's earlier life: good batches of another salt where the tail is, and where the chain will go on. */
static void test_stale_batches_behind_the_tail(void **unused)
{
	(void)unused;
	struct world *w = finished_log();
	struct disk *d = w->disk;
	struct world *other = NULL;
	const struct model *m = &w->model;
	uint64_t end = m->writes[m->write_count - 1].offset + m->writes[m->write_count - 1].size;
	struct disk *mine = the_disk;
	other = world_new(77); /* The same log with other salts, and longer. */
	born(other);
	put_hard(other, 1, 2);
	for (uint64_t i = 1; i < 60; i++) {
		put_entries(other, i, 1, 10);
		drain(other);
	}
	const uint8_t *stale = disk_file(other->disk, segment_1)->now;
	struct inode *tail = disk_file(d, segment_2);
	memcpy(tail->now + end, stale + end, SEGMENT - end);
	memcpy(disk_file(d, segment_3)->now + 4096, stale + 4096, SEGMENT - 4096);
	/* The first batch of this very segment, salt and all, but elsewhere, is none. */
	struct segment_header segment;
	struct batch_header batch;
	memcpy(tail->now + SEGMENT - 4096, tail->now + 4096, 4096);
	assert_int_equal(segment_header_decode(tail->now, &segment), SEGMENT_GOOD);
	assert_true(batch_header_decode(tail->now + 4096, &segment, 4096, &batch));
	assert_false(batch_header_decode(tail->now + SEGMENT - 4096, &segment, SEGMENT - 4096, &batch));
	memcpy(tail->durable, tail->now, SEGMENT);
	memcpy(disk_file(d, segment_3)->durable, disk_file(d, segment_3)->now, SEGMENT);
	d->slow_refused = true; /* No zeros over it. */
	the_disk = other->disk;
	world_free(other);
	the_disk = mine;
	for (int life = 0; life < 3; life++) {
		if (!open_log(w))
			fail_msg("refused: %s", w->error);
		check_read(w, w->model.durable);
		for (int i = 0; i < 7; i++) {
			put_entries(w, w->model.now.last_index + 1, 2, 3000);
			drain(w);
		}
		put_entries(w, w->model.now.last_index + 1, 1, 30000);
		flush(w); /* In flight when the power goes. */
		w->wal = NULL;
		disk_crash(d, 60);
	}
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_each_byte),
		cmocka_unit_test(test_garbage_behind_each_cut),
		cmocka_unit_test(test_flip_each_byte),
		cmocka_unit_test(test_flip_each_byte_sealed),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_recorded_commit_is_proof),
		cmocka_unit_test(test_commit_of_replaced_entries),
		cmocka_unit_test(test_stale_batches_behind_the_tail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
