/* A fork bomb with an end: every process forks, until there are COUNT of them; from then on each
 * forks its successor and exits, twice in a second. All are deaf to polite signals.
 *
 *   bomb COUNT
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void rest(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&left, &left) != 0)
		;
}

int main(int argc, char **argv)
{
	int most = argc > 1 ? atoi(argv[1]) : 100;
	atomic_int *alive = mmap(NULL, sizeof *alive, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (alive == MAP_FAILED)
		return 1;
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	atomic_store(alive, 1);
	for (;;) {
		while (atomic_fetch_add(alive, 1) < most)
			if (fork() < 0) /* the place is free again */
				break;
		atomic_fetch_sub(alive, 1);
		rest(500);
		if (fork() > 0)
			_exit(0);
	}
}
