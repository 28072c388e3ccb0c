/* A daemon whose grandchild says that the service is ready (sd_notify(3)), and names itself as the
 * main process. The notice is sent once the file named on the command line exists, so that a test
 * can see the service not ready first.
 *
 *   notifier GO_FILE
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (path == NULL || strlen(path) >= sizeof to.sun_path) {
		fprintf(stderr, "no usable NOTIFY_SOCKET\n");
		return 1;
	}
	size_t length = strlen(path);
	memcpy(to.sun_path, path, length);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + length;
	if (sendto(socket_fd, text, strlen(text), 0, (struct sockaddr *)&to, size) < 0) {
		perror("sendto NOTIFY_SOCKET");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (fork() > 0)
		_exit(0);
	setsid();
	if (fork() > 0)
		_exit(0);
	const struct timespec moment = { 0, 10000000 };
	while (access(argv[1], F_OK) != 0)
		nanosleep(&moment, NULL);
	char text[128];
	snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=the grandchild speaks", getpid());
	if (notify(text) != 0)
		return 1;
	for (;;)
		pause();
}
