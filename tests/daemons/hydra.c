/* A daemon that forks workers for ever and is deaf to every polite request to end. A worker lives
 * a fifth of a second, and when its parent is gone it forks a successor before it dies: killing
 * processes one after the other never finishes.
 *
 *   hydra
 *
 * The population stays near 20, so that it is a nuisance and not a fork bomb.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static void rest(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&left, &left) != 0)
		;
}

static void worker(pid_t head)
{
	setsid();
	prctl(PR_SET_NAME, "hydra-worker");
	for (;;) {
		rest(200);
		if (getppid() == head || fork() > 0)
			_exit(0);
	}
}

int main(void)
{
	const int deaf_to[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM };
	for (unsigned i = 0; i < sizeof deaf_to / sizeof *deaf_to; i++)
		signal(deaf_to[i], SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);

	if (fork() > 0)
		_exit(0);
	setsid();
	if (fork() > 0)
		_exit(0);
	prctl(PR_SET_NAME, "hydra-head");
	printf("the head is ready\n");
	for (pid_t head = getpid();;) {
		if (fork() == 0)
			worker(head);
		rest(10);
	}
}
