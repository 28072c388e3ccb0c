/* A service that leaves COUNT orphans, which all end at the same moment: when the first process,
 * which stays, gets SIGUSR1.
 *
 *   orphans COUNT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void wake(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	char byte;
	int gate[2];
	if (argc != 2 || pipe(gate) != 0)
		return 2;
	int count = atoi(argv[1]);
	sigset_t usr1, before;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &before);
	signal(SIGUSR1, wake);
	pid_t spawner = fork();
	if (spawner == 0) {
		close(gate[1]);
		for (int i = 0; i < count; i++) {
			pid_t child = fork();
			if (child < 0)
				_exit(1);
			if (child == 0) /* until the other end is closed */
				_exit(read(gate[0], &byte, 1) < 0);
		}
		_exit(0); /* orphans from now on */
	}
	int status;
	waitpid(spawner, &status, 0);
	printf("%s\n", status == 0 ? "all are here" : "too few");
	fflush(stdout);
	sigsuspend(&before);
	close(gate[1]);
	for (;;)
		pause();
}
