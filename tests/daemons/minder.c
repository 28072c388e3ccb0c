/* A service that tells its watchdog that it is well, from a grandchild, as often as the watchdog asks
 * for, until the file named on the command line exists. Then it hangs. Before the first keep-alive it
 * says what else is given.
 *
 *   minder HANG_FILE [TEXT]
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int socket_fd;
static struct sockaddr_un to = { .sun_family = AF_UNIX };
static socklen_t size;

static void notify(const char *text)
{
	if (sendto(socket_fd, text, strlen(text), 0, (struct sockaddr *)&to, size) < 0) {
		perror("sendto NOTIFY_SOCKET");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
	if (argc < 2 || path == NULL || usec == NULL || strlen(path) >= sizeof to.sun_path)
		return 2;
	if (getenv("WATCHDOG_PID") != NULL)
		return 3;
	memcpy(to.sun_path, path, strlen(path));
	size = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fork() > 0)
		_exit(0);
	setsid();
	if (fork() > 0)
		_exit(0);
	if (argc > 2)
		notify(argv[2]);
	const long pause_usec = atol(usec) / 3;
	const struct timespec moment = { pause_usec / 1000000, pause_usec % 1000000 * 1000 };
	while (access(argv[1], F_OK) != 0) {
		notify("WATCHDOG=1");
		nanosleep(&moment, NULL);
	}
	for (;;)
		pause();
}
