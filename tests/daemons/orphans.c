/* Many processes that lose their parent and end, all at the same moment.
 *
 *   orphans COUNT
 *
 * The children wait for the end of a pipe whose only writer is their parent. When that ends they
 * are orphans, and end themselves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0, ends[2];
	char byte;

	if (count <= 0 || pipe(ends) != 0)
		return 2;
	for (int i = 0; i < count; i++) {
		switch (fork()) {
		case -1:
			perror("fork");
			return 1;
		case 0:
			close(ends[1]);
			if (read(ends[0], &byte, 1) < 0)
				_exit(1);
			_exit(0);
		}
	}
	return 0;
}
