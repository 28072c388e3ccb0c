/* bench-forker SLOTS INDEX [--pid-file FILE] [--children N] [--ignore-term] [--foreground]
 * A daemon of the old school: forks twice, starts a session, points its standard files at
 * /dev/null, writes its PID file, and keeps N children (10) that start sessions of their own.
 * With --foreground it stays the process that was started; its children leave all the same. */
#include "slots.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

/* The parent leaves with exit status 0, the child goes on. */
static void fork_and_leave(void)
{
    pid_t child = fork();
    if (child != 0)
        _exit(child < 0 ? 111 : 0);
}

static void become_daemon(void)
{
    fork_and_leave();
    setsid();
    fork_and_leave();
    if (chdir("/") != 0)
        _exit(111);
    int null = open("/dev/null", O_RDWR);
    for (int standard = 0; standard < 3; standard++)
        dup2(null, standard);
    if (null > 2)
        close(null);
}

static void write_pid_file(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fprintf(file, "%d\n", (int)getpid()) < 0 || fclose(file) != 0)
        _exit(111);
}

int main(int argc, char **argv)
{
    unsigned long children = 10;
    const char *pid_file = NULL;
    int foreground = 0;
    if (argc < 3)
        return 100;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--pid-file") == 0 && i + 1 < argc)
            pid_file = argv[++i];
        else if (strcmp(argv[i], "--children") == 0 && i + 1 < argc)
            children = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--ignore-term") == 0)
            signal(SIGTERM, SIG_IGN);
        else if (strcmp(argv[i], "--foreground") == 0)
            foreground = 1;
        else
            return 100;
    }
    if (!foreground)
        become_daemon();
    if (pid_file != NULL)
        write_pid_file(pid_file);
    for (unsigned long i = 0; i < children; i++) {
        pid_t child = fork();
        if (child < 0)
            _exit(111);
        if (child == 0) {
            setsid();
            sleep_for_ever();
        }
    }
    stamp(argv[1], strtoul(argv[2], NULL, 10));
    sleep_for_ever();
}
