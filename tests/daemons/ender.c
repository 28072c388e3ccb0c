/* An init that ends as it is told, for every way there is.
 *
 *   ender exit N         exits with N
 *   ender crash          a fault that the kernel punishes
 *   ender reboot WORD    reboot(2) with restart, restart2, poweroff, halt, cad-on, cad-off or kexec
 *   ender child WORD     the same, called by a child
 *
 * A refused reboot(2) makes it exit with the errno. It does nothing at all unless it is process 1
 * of a pid namespace, for elsewhere the call would be meant for the machine.
 */
#include <errno.h>
#include <linux/reboot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int call(const char *word)
{
	static const struct {
		const char *word;
		unsigned int command;
	} known[] = {
		{ "restart", LINUX_REBOOT_CMD_RESTART },   { "restart2", LINUX_REBOOT_CMD_RESTART2 },
		{ "poweroff", LINUX_REBOOT_CMD_POWER_OFF }, { "halt", LINUX_REBOOT_CMD_HALT },
		{ "cad-on", LINUX_REBOOT_CMD_CAD_ON },	    { "cad-off", LINUX_REBOOT_CMD_CAD_OFF },
		{ "kexec", LINUX_REBOOT_CMD_KEXEC },
	};
	for (unsigned int i = 0; i < sizeof known / sizeof *known; i++) {
		if (strcmp(word, known[i].word) != 0)
			continue;
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, known[i].command, "x");
		return errno;
	}
	return 99;
}

int main(int argc, char **argv)
{
	int status;

	if (getpid() != 1 || argc < 2)
		return 98;
	if (strcmp(argv[1], "crash") == 0)
		*(volatile int *)NULL = 0;
	if (argc < 3)
		return 97;
	if (strcmp(argv[1], "exit") == 0)
		return atoi(argv[2]);
	if (strcmp(argv[1], "reboot") == 0)
		return call(argv[2]);
	if (fork() == 0)
		_exit(call(argv[2]));
	wait(&status);
	return WEXITSTATUS(status);
}
