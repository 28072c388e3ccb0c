/* Counts, one number in a line, and exits when a line cannot be written: whoever loses a line, tears
 * one or lets the daemon die of SIGPIPE is found out by its log.
 *
 *   counter MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: counter MS\n");
		return 2;
	}
	long ms = atol(argv[1]);
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned long number = 1;; number++) {
		if (printf("%lu\n", number) < 0)
			return 1;
		nanosleep(&pause, NULL);
	}
}
