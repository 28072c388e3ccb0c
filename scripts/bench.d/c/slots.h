/* The file all programs of the benchmark share: one slot per service, mapped by everybody.
 * A program says "I run" by storing the time into its slot, so every supervisor is timed by the
 * same clock and no pipe, signal or poll stands in between. */
#ifndef SLOTS_H
#define SLOTS_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct slot {
    uint64_t nanoseconds; /* CLOCK_MONOTONIC; 0 is "never" */
    uint64_t pid;
};

static inline uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Stores `when` and the caller's process id into slot `index` of the file `path`. The time goes
 * last: who sees a new time sees the process id that belongs to it. */
static inline void stamp_at(const char *path, unsigned long index, uint64_t when)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    off_t length = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    if (length < (off_t)((index + 1) * sizeof(struct slot)))
        _exit(111);
    struct slot *slots = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (slots == MAP_FAILED)
        _exit(111);
    close(file);
    slots[index].pid = (uint64_t)getpid();
    __atomic_store_n(&slots[index].nanoseconds, when, __ATOMIC_RELEASE);
    munmap(slots, (size_t)length);
}

static inline void stamp(const char *path, unsigned long index)
{
    stamp_at(path, index, now());
}

#endif
