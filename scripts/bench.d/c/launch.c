/* bench-launch CGROUP SLOTS INDEX COMMAND...: moves into the cgroup, notes the time and becomes
 * the command, so that the noted time is that of the command's exec. */
#include "slots.h"
#include <stdio.h>

int main(int argc, char **argv)
{
    char path[4096];
    if (argc < 5)
        return 100;
    snprintf(path, sizeof path, "%s/cgroup.procs", argv[1]);
    int procs = open(path, O_WRONLY | O_CLOEXEC);
    if (procs < 0 || write(procs, "0", 1) != 1) {
        perror(path);
        return 111;
    }
    close(procs);
    /* Moving a process makes every fork of the machine slower until a grace period of RCU has
     * passed; the command shall not pay for that. */
    usleep(50000);
    stamp(argv[2], strtoul(argv[3], NULL, 10));
    execvp(argv[4], argv + 4);
    perror(argv[4]);
    return 111;
}
