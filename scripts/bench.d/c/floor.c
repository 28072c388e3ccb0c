/* bench-floor CGROUP SLOTS COUNT PROGRAM: what no supervisor can be much faster than. Makes a leaf
 * and spawns PROGRAM SLOTS INDEX into it, COUNT times, and does nothing else. On SIGTERM it kills
 * all leaves at once, waits for every process and exits. */
#define _GNU_SOURCE
#include "slots.h"
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The kernel's own struct clone_args up to `cgroup` (clone3(2), Linux 5.7): <linux/sched.h> and
 * <sched.h> cannot be included together on every distribution. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
    uint64_t stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define INTO_CGROUP 0x200000000ULL

static void die(const char *what)
{
    perror(what);
    exit(111);
}

static void spawn_in_leaf(int top, unsigned long index, char **command)
{
    char number[24];
    snprintf(number, sizeof number, "%lu", index);
    if (mkdirat(top, number, 0755) != 0)
        die("mkdir of a leaf");
    int leaf = openat(top, number, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (leaf < 0)
        die("open of a leaf");
    struct clone_arguments arguments = {
        .flags = INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)leaf,
    };
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child < 0)
        die("clone3");
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        command[2] = number;
        execv(command[0], command);
        _exit(111);
    }
    close(leaf);
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 5)
        return 100;
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);

    snprintf(path, sizeof path, "%s/leaves", argv[1]);
    if (mkdir(path, 0755) != 0)
        die(path);
    int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        die(path);
    unsigned long count = strtoul(argv[3], NULL, 10);
    char *command[] = {argv[4], argv[2], NULL, NULL};
    for (unsigned long i = 0; i < count; i++)
        spawn_in_leaf(top, i, command);

    int signal_number;
    sigwait(&term, &signal_number);
    int kill_all = openat(top, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (kill_all < 0 || write(kill_all, "1", 1) != 1)
        die("cgroup.kill");
    while (wait(NULL) > 0)
        ;
    return 0;
}
