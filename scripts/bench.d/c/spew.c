/* bench-spew SLOTS INDEX LINES: writes LINES lines of 100 bytes, each with its number and each by
 * a write(2) of its own, and exits. Notes the time before the first line in its slot. */
#include "slots.h"
#include <stdio.h>
#include <string.h>

#define LINE 100

int main(int argc, char **argv)
{
    char line[LINE + 1];
    if (argc != 4)
        return 100;
    unsigned long lines = strtoul(argv[3], NULL, 10);
    memset(line, 'x', LINE);
    memcpy(line, "line 0000000000 ", 16);
    line[LINE - 1] = '\n';
    stamp(argv[1], strtoul(argv[2], NULL, 10));
    for (unsigned long i = 0; i < lines; i++) {
        if (write(1, line, LINE) != LINE)
            return 111;
        for (char *digit = line + 14; ++*digit > '9'; digit--)
            *digit = '0';
    }
    return 0;
}
