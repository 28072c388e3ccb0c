/* A daemon with a family: it forks twice, but the process in the middle lingers before it exits,
 * and the daemon then spawns children that each begin a session of their own.
 *
 *   family LINGER_MS CHILDREN
 *
 * For LINGER_MS after the first process exited, the topmost process of the tree is one that is
 * about to go: whoever takes it for the main process is wrong soon afterwards.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static void rest(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&left, &left) != 0)
		;
}

static void child(int number)
{
	setsid();
	prctl(PR_SET_NAME, "family-child");
	printf("child %d is here\n", number);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: family LINGER_MS CHILDREN\n");
		return 2;
	}
	long linger = atol(argv[1]);
	int children = atoi(argv[2]);
	setvbuf(stdout, NULL, _IOLBF, 0);

	if (fork() > 0) /* the first process */
		_exit(0);
	setsid();
	if (fork() > 0) { /* the middle */
		prctl(PR_SET_NAME, "family-middle");
		rest(linger);
		_exit(0);
	}
	prctl(PR_SET_NAME, "family-daemon");
	signal(SIGCHLD, SIG_IGN);
	for (int i = 1; i <= children; i++)
		if (fork() == 0)
			child(i);
	printf("the daemon is ready\n");
	for (;;)
		pause();
}
