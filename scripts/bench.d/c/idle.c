/* bench-idle SLOTS INDEX: the service. Notes the time of its first instruction and sleeps. */
#include "slots.h"

int main(int argc, char **argv)
{
    uint64_t first = now();
    if (argc != 3)
        return 100;
    stamp_at(argv[1], strtoul(argv[2], NULL, 10), first);
    for (;;)
        pause();
}
