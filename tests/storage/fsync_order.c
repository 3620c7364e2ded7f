/* In which order does a process write, sync and acknowledge? Preloaded, this library notes it.

   CALLBOARD_ORDER_LOG   the file that it appends a line to for each
   CALLBOARD_ORDER_OF    only what lies in the folder of this path is noted, and the folder
   CALLBOARD_ORDER_ACK   the descriptor to which a write is an acknowledgement

       W name 17 18     a write has returned whose bytes hold row-17 and row-18
       s name           a sync begins
       S name 0         a sync has returned this
       U name           a file was deleted
       A 17             row-17 is about to be acknowledged
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char MARK[] = "row-";

static void note(const char *line, size_t size) {
    static int log = -1;
    if (log < 0)
        log = open(getenv("CALLBOARD_ORDER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* One write, appended: lines of several threads never mix. Not by our own `write`. */
    if (syscall(SYS_write, log, line, size) != (long)size)
        abort();
}

/* Put into `name` what a descriptor is called in our folder; "." is the folder. 0: not ours. */
static int named(int file, char *name, size_t size) {
    char link[32], path[4096];
    const char *folder = getenv("CALLBOARD_ORDER_OF");
    size_t length = folder ? strlen(folder) : 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t found = readlink(link, path, sizeof path - 1);
    if (!length || found < 0)
        return 0;
    path[found] = 0;
    if (strncmp(path, folder, length))
        return 0;
    if (path[length] == 0)
        return snprintf(name, size, ".");
    return path[length] == '/' && snprintf(name, size, "%s", path + length + 1);
}

static void note_rows(const char *head, const void *data, size_t size) {
    char line[65536];
    size_t used = snprintf(line, sizeof line, "%s", head);
    const char *at = data, *end = at + size;
    while ((at = memmem(at, end - at, MARK, sizeof MARK - 1)) && used < sizeof line - 32) {
        long row = 0;
        for (at += sizeof MARK - 1; at < end && *at >= '0' && *at <= '9'; at++)
            row = row * 10 + *at - '0';
        used += snprintf(line + used, sizeof line - used, " %ld", row);
    }
    line[used++] = '\n';
    note(line, used);
}

static void note_write(int file, const void *data, ssize_t size) {
    char name[4096], head[4200];
    if (size > 0 && named(file, name, sizeof name)) {
        snprintf(head, sizeof head, "W %s", name);
        note_rows(head, data, size);
    }
}

ssize_t write(int file, const void *data, size_t size) {
    const char *acknowledges = getenv("CALLBOARD_ORDER_ACK");
    if (acknowledges && file == atoi(acknowledges))
        note_rows("A", data, size);
    ssize_t done = REAL(write)(file, data, size);
    note_write(file, data, done);
    return done;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    ssize_t done = REAL(pwrite)(file, data, size, offset);
    note_write(file, data, done);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    ssize_t done = REAL(pwrite64)(file, data, size, offset);
    note_write(file, data, done);
    return done;
}

static int synced(int file, int (*sync)(int)) {
    char name[4096], line[4200];
    int is_ours = named(file, name, sizeof name);
    if (is_ours)
        note(line, snprintf(line, sizeof line, "s %s\n", name));
    int done = sync(file);
    if (is_ours)
        note(line, snprintf(line, sizeof line, "S %s %d\n", name, done));
    return done;
}

int fsync(int file) { return synced(file, REAL(fsync)); }

int fdatasync(int file) { return synced(file, REAL(fdatasync)); }

int unlink(const char *path) {
    char line[4200];
    const char *folder = getenv("CALLBOARD_ORDER_OF");
    int done = REAL(unlink)(path);
    if (!done && folder && !strncmp(path, folder, strlen(folder)) && path[strlen(folder)] == '/')
        note(line, snprintf(line, sizeof line, "U %s\n", path + strlen(folder) + 1));
    return done;
}
