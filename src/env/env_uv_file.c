/*
 * Files and directories of the real env. All calls block. Files are buffered, but for a write_sync of whole blocks.
 *
 * A write_sync is only noted when it is submitted, and performed when the turn is over and its output was sent: so the
 * followers get their messages while this disk writes. Then it is told. A large one may begin in the middle of a turn,
 * and the loop goes on meanwhile; so may any, when many streams have something to say. Closing a file forgets its
 * writes: what was submitted and not performed is lost, as in a crash, and nothing is told.
 */
#define _GNU_SOURCE
#include "env/env_uv_internal.h"

#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGE_BYTES ((size_t)32 * 1024)
#define HEARD_MANY 8	      /* Streams in a wake-up: those who wait are worth a thread's switches. */
#define DIRECT_ALIGNMENT 4096 /* Of memory, size and place. */

int env_uv_open(struct env *env, const char *path, enum env_open how, struct env_file **file)
{
	int flags = O_CLOEXEC;
	if (how & ENV_OPEN_CREATE)
		flags |= O_RDWR | O_CREAT;
	else
		flags |= how & ENV_OPEN_WRITE ? O_RDWR : O_RDONLY;
	int fd = open(path, flags, 0644);
	if (fd < 0)
		return -errno;
	*file = mem_zero(env->mem, sizeof **file);
	(*file)->u = uv_of(env);
	(*file)->fd = fd;
	(*file)->direct = DIRECT_UNTRIED;
	list_init(&(*file)->slow);
	return 0;
}

static void forget_writes(struct list *writes, const struct env_file *file)
{
	struct list *next;
	for (struct list *at = writes->next; at != writes; at = next) {
		struct write *w = LIST_OF(at, struct write, at);
		next = at->next;
		if (w->file != file)
			continue;
		list_remove(&w->at);
		mem_free(file->u->env.mem, w);
	}
}

void env_uv_close(struct env_file *file)
{
	env_uv_wait_for_writer(file->u, file);
	forget_writes(&file->u->writes, file);
	forget_writes(&file->u->completed, file);
	env_uv_forget_slow(file);
	if (file->direct >= 0)
		close(file->direct);
	close(file->fd);
	mem_free(file->u->env.mem, file);
}

int64_t env_uv_size(struct env_file *file)
{
	struct stat st;
	return fstat(file->fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

int64_t env_uv_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pread(file->fd, (char *)bytes + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

int env_uv_write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pwrite(fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int env_uv_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset)
{
	return env_uv_write_all(file->fd, bytes, size, offset);
}

int env_uv_allocate(struct env_file *file, uint64_t size)
{
	int error;
	do {
		error = posix_fallocate(file->fd, 0, (off_t)size);
	} while (error == EINTR);
	return -error;
}

/* Not repeated after an error: the kernel may have dropped what it could not write, and would then report success. */
int env_uv_sync(struct env_file *file)
{
	return fsync(file->fd) == 0 ? 0 : -errno;
}

int env_uv_lock(struct env_file *file)
{
	return flock(file->fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
}

int env_uv_make_dir(struct env *env, const char *path)
{
	(void)env;
	if (mkdir(path, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	struct stat st;
	if (stat(path, &st) != 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int env_uv_list_dir(struct env *env, const char *path, void (*each)(void *context, const char *name), void *context)
{
	(void)env;
	DIR *dir = opendir(path);
	if (dir == NULL)
		return -errno;
	const struct dirent *entry;
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(context, entry->d_name);
		errno = 0;
	}
	int status = -errno;
	closedir(dir);
	return status;
}

int env_uv_rename(struct env *env, const char *from, const char *to)
{
	(void)env;
	return rename(from, to) == 0 ? 0 : -errno;
}

/* The name goes at once. What a large file holds takes long to free, which the last close does: on another thread. */
int env_uv_unlink(struct env *env, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int status = unlink(path) == 0 ? 0 : -errno;
	if (fd >= 0)
		env_uv_close_slowly(env, fd);
	return status;
}

int env_uv_sync_dir(struct env *env, const char *path)
{
	(void)env;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int status = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return status;
}

void env_uv_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	struct env_uv *u = file->u;
	struct write *w = mem_alloc(u->env.mem, sizeof *w);
	*w = (struct write){.file = file, .bytes = bytes, .size = size, .offset = offset, .io = io};
	list_push(&u->writes, &w->at);
}

static bool goes_direct(struct write *w)
{
	struct env_file *file = w->file;
	if (((uintptr_t)w->bytes | w->size | w->offset) % DIRECT_ALIGNMENT != 0)
		return false;
	if (file->direct == DIRECT_UNTRIED) {
		char path[32];
		snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
		file->direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (file->direct < 0)
			file->direct = DIRECT_REFUSED;
	}
	return file->direct >= 0;
}

/*
 * One call writes and syncs what is aligned, and copies nothing. A file system that cannot do so says so before it has
 * written anything. What a short write leaves is written the other way, whose sync covers all of it.
 */
int env_uv_write_and_sync(struct write *w)
{
	size_t done = 0;
	if (goes_direct(w)) {
		struct iovec all = {(void *)w->bytes, w->size};
		ssize_t n = pwritev2(w->file->direct, &all, 1, (off_t)w->offset, RWF_DSYNC);
		if (n == (ssize_t)w->size)
			return 0;
		bool refused = n < 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS);
		if (n < 0 && !refused && errno != EINTR)
			return -errno;
		if (refused) {
			close(w->file->direct);
			w->file->direct = DIRECT_REFUSED;
		}
		done = n > 0 ? (size_t)n : 0;
	}
	int status = env_uv_write_all(w->file->fd, (const char *)w->bytes + done, w->size - done, w->offset + done);
	return status == 0 && fdatasync(w->file->fd) != 0 ? -errno : status;
}

void env_uv_perform_large_writes(struct env_uv *u)
{
	while (!list_empty(&u->writes)) {
		struct write *w = LIST_OF(u->writes.next, struct write, at);
		if (w->size < LARGE_BYTES && u->heard < HEARD_MANY && u->writer.count == 0)
			return;
		env_uv_hand_over(u, w);
	}
}

void env_uv_perform_writes(struct env_uv *u)
{
	while (!list_empty(&u->writes)) {
		env_uv_perform_large_writes(u);
		if (list_empty(&u->writes))
			break;
		struct write *w = LIST_OF(u->writes.next, struct write, at);
		w->status = env_uv_write_and_sync(w);
		list_remove(&w->at);
		list_push(&u->completed, &w->at);
	}
	u->heard = 0;
}

void env_uv_complete_writes(struct env_uv *u)
{
	env_uv_take_back(u);
	while (!list_empty(&u->completed)) {
		struct write *w = LIST_OF(u->completed.next, struct write, at);
		struct env_io *io = w->io;
		int status = w->status;
		list_remove(&w->at);
		mem_free(u->env.mem, w);
		u->happened = true;
		io->done(io, status);
	}
}
