/* A daemon that is never what it was: it forks twice, executes itself again under the name of a
 * kernel thread, and from then on executes itself again under another name at each SIGHUP.
 *
 *   changeling
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *const NAMES[] = { "kworker/7:1", "sshd", "init" };
enum { COUNT = sizeof NAMES / sizeof *NAMES };

static void become(int which)
{
	char self[4096], number[16];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length < 0)
		_exit(1);
	self[length] = '\0';
	snprintf(number, sizeof number, "%d", which % COUNT);
	execl(self, NAMES[which % COUNT], number, (char *)NULL);
	_exit(1);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2) {
		if (fork() > 0)
			_exit(0);
		setsid();
		if (fork() > 0)
			_exit(0);
		become(0);
	}
	int which = atoi(argv[1]);
	prctl(PR_SET_NAME, NAMES[which % COUNT]);

	sigset_t wait_for;
	sigemptyset(&wait_for);
	sigaddset(&wait_for, SIGHUP);
	sigprocmask(SIG_BLOCK, &wait_for, NULL);
	printf("now called %s\n", argv[0]);
	int got;
	while (sigwait(&wait_for, &got) == 0)
		become(which + 1);
	return 1;
}
